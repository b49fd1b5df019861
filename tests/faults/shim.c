/* Stands between a process and the system, where the yard says so in a file that both have in
   memory: the wall clock is wrong, the disk is slow, or has no room. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t clock_ns; /* how far the wall clock is ahead */
    volatile int64_t stands_ns; /* what it shows while it stands; 0: it goes */
    volatile int64_t sync_us; /* how long a sync takes longer */
    volatile int64_t full; /* whether files below the directory can't grow */
};

static struct control nothing;
static struct control *control = &nothing;
static const char *directory = "";

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS_CONTROL");
    const char *below = getenv("FAULTS_DIRECTORY");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *shared = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (below)
        directory = below;
    if (shared != MAP_FAILED)
        control = shared;
}

#define REAL(type, name, ...)                                                                      \
    static type (*real)(__VA_ARGS__);                                                              \
    if (!real)                                                                                     \
        real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* --- the clock --------------------------------------------------------------------------- */

static void turn(struct timespec *at)
{
    int64_t stands = control->stands_ns;
    int64_t now = stands ? stands : at->tv_sec * 1000000000LL + at->tv_nsec + control->clock_ns;
    at->tv_sec = now / 1000000000LL;
    at->tv_nsec = now % 1000000000LL;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = real(clock, at);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        turn(at);
    return result;
}

int gettimeofday(struct timeval *at, void *zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

/* --- the disk ---------------------------------------------------------------------------- */

int fsync(int file)
{
    REAL(int, "fsync", int);
    usleep((useconds_t)control->sync_us);
    return real(file);
}

int fdatasync(int file)
{
    REAL(int, "fdatasync", int);
    usleep((useconds_t)control->sync_us);
    return real(file);
}

static int is_full(int file)
{
    char link[64], path[4096];
    if (!control->full)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, directory, strlen(directory)))
        return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t count)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    return is_full(file) ? -1 : real(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return is_full(file) ? -1 : real(file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at)
{
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return is_full(file) ? -1 : real(file, bytes, count, at);
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    return is_full(file) ? -1 : real(file, parts, count);
}
