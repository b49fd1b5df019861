"""Locks on files that end with their owner's process, however it ends."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from threading import Event, Thread
from time import monotonic
from typing import Final

from slipcore.backends.sqlite.file import make_directory

_HEARTBEAT: Final = struct.Struct("<d")
"""Seconds of the system's monotonic clock, which all processes share."""

_BEATS_PER_TIMEOUT: Final = 5


def take_lock(path: Path) -> int | None:
    """Lock a file, which is made if need be; its descriptor, or None where another has it.

    The lock ends when the descriptor is closed. Other objects of this process are others too.
    """
    make_directory(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Life:
    """What shows others that a member lives: a locked file with a heartbeat in it.

    The lock shows the end of the process at once, the heartbeat that it is stopped. The heart is
    a thread, so that a busy event loop does not count as dead. Neither needs the database, whose
    write lock or full disk would otherwise cost a member its place.

    Attributes:
        token: the member's name, a new one each time.
    """

    def __init__(self, directory: Path, session_timeout: float) -> None:
        while True:
            self.token = token_hex(8)
            self._path = directory / self.token
            descriptor = take_lock(self._path)
            if descriptor is None:
                continue
            if _is_at(descriptor, self._path):
                break
            os.close(descriptor)  # `sweep` came between creating and locking
        self._descriptor = descriptor
        self._over = Event()
        try:
            self._beat()
        except BaseException:
            os.close(descriptor)
            raise
        self._heart = Thread(
            target=self._live,
            args=(min(1.0, session_timeout / _BEATS_PER_TIMEOUT),),
            name=f"slipcore-member-{self.token}",
            daemon=True,
        )
        self._heart.start()

    def end(self) -> None:
        """Stop the heart and remove the file. May be called twice."""
        if self._over.is_set():
            return
        self._over.set()
        self._heart.join()
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def _beat(self) -> None:
        os.pwrite(self._descriptor, _HEARTBEAT.pack(monotonic()), 0)

    def _live(self, interval: float) -> None:
        while not self._over.wait(interval):
            with suppress(OSError):  # the next beat is soon
                self._beat()


def is_alive(directory: Path, token: str, session_timeout: float) -> bool:
    """Whether a member's process is there and has shown itself in the last `session_timeout`."""
    try:
        descriptor = os.open(directory / token, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at once do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        beat = os.pread(descriptor, _HEARTBEAT.size, 0)
    else:
        return False
    finally:
        os.close(descriptor)
    # A beat of the future is one from before a reboot.
    return len(beat) == _HEARTBEAT.size and (
        -1.0 <= monotonic() - _HEARTBEAT.unpack(beat)[0] <= session_timeout
    )


def sweep(directory: Path) -> None:
    """Remove the files that nobody holds any more."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        with suppress(OSError):  # another one may sweep too
            descriptor = take_lock(path)
            if descriptor is not None:
                path.unlink(missing_ok=True)
                os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
