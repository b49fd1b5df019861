"""What tests use and no Python package brings: Kafka's jars, fetched once and checked."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tests.servers.process import ServerError

KAFKA = "4.1.0"
MIRROR = "SLIP_TEST_MAVEN"
"""The variable that names another repository than Maven Central."""
CENTRAL = "https://repo.maven.apache.org/maven2"

Fetched = Future[None]

THREADS = 8
ATTEMPTS = 3
TIMEOUT = 30.0
"""Seconds a server may say nothing."""
BETWEEN_LINES = 3.0
"""Seconds between two lines of progress where no bar can be drawn."""


@dataclass(frozen=True, slots=True)
class Jar:
    """A file of a Maven repository and the hash it must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def url(self, repository: str) -> str:
        group = self.group.replace(".", "/")
        return f"{repository.rstrip('/')}/{group}/{self.artifact}/{self.version}/{self.name}"


def cache() -> Path:
    """The directory of this user that keeps what has been fetched or made once."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "slipcore" / f"kafka-{KAFKA}"


def jars() -> list[Jar]:
    """What Kafka needs to run: its runtime dependencies, and slf4j-simple, without which it is
    silent about why it does not start.
    """
    found = []
    for line in Path(__file__).with_name("jars.txt").read_text(encoding="utf-8").splitlines():
        coordinate, sha256 = line.split()
        group, artifact, version = coordinate.split(":")
        found.append(Jar(group, artifact, version, sha256))
    return found


def fetched(directory: Path, wanted: Iterable[Jar]) -> Path:
    """The directory with all these files in it; those which are not there yet are downloaded.

    Processes that do this at once don't disturb each other: a file appears when it is whole.

    Raises:
        ServerError: one of them can't be had, or is not what it should be.
    """
    directory.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in wanted if not _is_whole(directory / jar.name, jar)]
    if not missing:
        return directory
    repository = os.environ.get(MIRROR) or CENTRAL
    with ThreadPoolExecutor(THREADS) as threads:
        futures = [threads.submit(_fetch, jar, repository, directory) for jar in missing]
        try:
            for future in _shown(as_completed(futures), len(futures)):
                future.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return directory


def _is_whole(file: Path, jar: Jar) -> bool:
    return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == jar.sha256


def _fetch(jar: Jar, repository: str, directory: Path) -> None:
    url = jar.url(repository)
    content = _download(url)
    found = hashlib.sha256(content).hexdigest()
    if found != jar.sha256:
        raise ServerError(
            f"{url} has the SHA-256 {found} and should have {jar.sha256}: what answers there is "
            f"not Maven Central's file; {_ways_out()}"
        )
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as part:
        part.write(content)
    Path(part.name).replace(directory / jar.name)


def _download(url: str) -> bytes:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
                content: bytes = response.read()
                return content
        except (OSError, HTTPException) as error:
            absent = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if absent or attempt == ATTEMPTS:
                raise ServerError(
                    f"Kafka {KAFKA} can't be downloaded, {url} fails ({error}): {_ways_out()}"
                ) from error
            time.sleep(0.5 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _ways_out() -> str:
    return (
        f"name a mirror with {MIRROR}=https://..., or a broker that runs with "
        "SLIP_TEST_KAFKA=host:port, or leave out what needs servers with `make test-offline`."
    )


def _shown(done: Iterable[Fetched], total: int) -> Iterable[Fetched]:
    """Say on stderr how many of `total` are done: a bar, or a line now and then."""
    title = f"Downloading Kafka {KAFKA}"
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(done, title, total=total, console=console, transient=True)
        return
    said = time.monotonic()
    for number, each in enumerate(done, start=1):
        if time.monotonic() - said > BETWEEN_LINES:
            said = time.monotonic()
            print(f"{title}: {number} of {total} files", file=sys.stderr, flush=True)
        yield each
