"""A database's directory: whose it is, what is in it, and where it goes when it is damaged."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from slip_rocks.failures import advised
from slip_rocks.layout import FORMAT
from slipcore.interfaces import (
    ConnectError,
    Scope,
    StateError,
    StateFormatError,
    StateInUseError,
)

logger = logging.getLogger(__name__)

MARKER: Final = "SLIP-ROCKS"
"""The file that says what a directory is without a database being opened, which changes it."""

NAME_LENGTH: Final = 150
"""Bytes of a cache's name that a directory shows; systems allow 255, and a suffix needs room."""

_UNFINISHED: Final = "unfinished"
_SQLITE: Final = b"SQLite format 3\0"


def directory_name(name: str) -> str:
    """The directory's name of a cache: readable, of one part, and no other cache's.

    It has no dot, so that what is put beside it with a suffix is no cache's either.
    """
    encoded = quote(name, safe="", errors="surrogatepass")
    encoded = encoded.replace(".", "%2E").replace("~", "%7E") or "%"
    if len(encoded) <= NAME_LENGTH:
        return encoded
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{encoded[:NAME_LENGTH]}%-{digest[:32]}"


def state_path(name: str, path: str | None, scope: Scope) -> Path:
    """The directory of a cache's database.

    Args:
        path: as it is set; None: one of the cache's own.
    """
    if path is not None:
        return Path(os.path.abspath(path))
    return Path(os.path.abspath(scope.state_dir)) / "rocks" / directory_name(name)


def checkpoints_path(path: str | None, scope: Scope) -> Path:
    """The directory of the checkpoints' database; None: among the app's state."""
    if path is not None:
        return Path(os.path.abspath(path))
    return Path(os.path.abspath(scope.state_dir)) / "rocks-checkpoints"


class Place:
    """The directory of one database.

    Attributes:
        path: where it is.
        kind: what the database keeps.
    """

    def __init__(self, path: Path, kind: Literal["state", "checkpoints"]) -> None:
        self.path = path
        self.kind = kind
        self._claim: int | None = None

    @property
    def title(self) -> str:
        """What the marker and the database say of themselves."""
        return f"slip-rocks {FORMAT} {self.kind}"

    # --- who has it -----------------------------------------------------------------------

    def claim(self) -> None:
        """Take the directory until `release` or the end of the process.

        Raises:
            StateInUseError: another object or process has it.
            ConnectError: the lock beside it can't be made.
        """
        lock = self._beside(".lock")
        try:
            _make_directory(lock.parent)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as reason:
            raise self._unreachable(reason) from reason
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d" % os.getpid(), 0)
        except BlockingIOError as reason:
            owner = _owner(descriptor)
            os.close(descriptor)
            raise self.in_use(owner) from reason
        except OSError as reason:
            os.close(descriptor)
            raise self._unreachable(reason) from reason
        self._claim = descriptor

    def release(self) -> None:
        """Give the directory up. May be called twice."""
        claim, self._claim = self._claim, None
        if claim is not None:
            os.close(claim)

    def in_use(self, owner: str) -> StateInUseError:
        """What is said to the second who wants it."""
        return StateInUseError(
            f"the {self.kind} in {self.path} is in use by {owner}: stop the other one, share one "
            f"Cache object, or give each a path of its own"
        )

    # --- what is in it --------------------------------------------------------------------

    def prepare(self) -> bool:
        """Look at what is there, and make the directory ready for a new database if it is empty.

        Returns:
            whether a database of ours is there.

        Raises:
            StateFormatError: what is there is another program's, or of another format.
            ConnectError: it can't be read or made.
        """
        try:
            self._refuse_file()
            _make_directory(self.path)
            state = self._marker()
            if state is None:
                self._refuse_files()
                self._say_what_was_set_aside()
                self._mark(f"{self.title} {_UNFINISHED}")
            elif state == _UNFINISHED:
                self._empty()
        except ConnectError:  # is an OSError too
            raise
        except OSError as reason:
            raise self._unreachable(reason) from reason
        if not os.access(self.path, os.W_OK):
            raise self._unreachable(OSError(errno.EACCES, os.strerror(errno.EACCES)))
        return state == ""

    def look(self) -> bool:
        """Look at what is there and leave it as it is.

        Returns:
            whether a database of ours is there.

        Raises:
            StateFormatError: what is there is another program's, or of another format.
            ConnectError: it can't be read, or neither written nor made.
        """
        there = next(place for place in (self.path, *self.path.parents) if place.exists())
        try:
            self._refuse_file()
            if not there.is_dir():
                raise NotADirectoryError
            if not os.access(there, os.W_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            state = self._marker()
            if state is None and there == self.path:
                self._refuse_files()
        except ConnectError:  # is an OSError too
            raise
        except OSError as reason:
            raise self._unreachable(reason) from reason
        return state == ""

    def finish(self) -> None:
        """The new database is whole."""
        try:
            self._mark(self.title)
        except OSError as reason:
            raise self._unreachable(reason) from reason

    def quarantine(self, reason: str) -> StateError:
        """Move a damaged database aside as it is.

        Returns:
            the error that says what was found, where it is now and what can be done.
        """
        said = " ".join(reason.split())
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        aside = self._beside(f".corrupt-{now}")
        try:
            self.path.rename(aside)
        except OSError as failed:
            return StateError(
                f"the {self.kind} in {self.path} is damaged ({said}) and can't be moved aside "
                f"({failed.strerror}): put a backup in its place, or move it away to begin empty"
            )
        return StateError(
            f"the {self.kind} in {self.path} is damaged ({said}) and was moved to {aside} as it "
            f"is: put a backup in its place; else the next start begins with nothing, while "
            f"sources go on where their groups stand"
        )

    def refuse_format(self, found: str) -> StateFormatError:
        """What is said of a database that this version does not read."""
        return StateFormatError(
            f"{self.path} is '{found}', and this slip-rocks reads '{self.title}': use the version "
            f"that wrote it, or name another path"
        )

    def _refuse_file(self) -> None:
        """Only the last part counts: what is above it fails with the system's own words."""
        if self.path.is_dir() or not self.path.exists():
            return
        if _is_sqlite(self.path):
            raise StateFormatError(self._foreign("a SQLite file"))
        raise ConnectError(
            f"can't open the {self.kind} in {self.path}: it is a file, and is to be a directory; "
            f"move the file away, or name another path"
        )

    def _marker(self) -> str | None:
        """None: there is none; else "", or that the database was never finished."""
        marker = self.path / MARKER
        if not marker.exists():
            return None
        found = marker.read_text(encoding="utf-8", errors="replace").strip()
        if found == self.title:
            return ""
        if found == f"{self.title} {_UNFINISHED}":
            return _UNFINISHED
        raise self.refuse_format(found)

    def _mark(self, line: str) -> None:
        unready = self.path / f"{MARKER}.new"
        with unready.open("w", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        unready.replace(self.path / MARKER)
        _sync_directory(self.path)

    def _empty(self) -> None:
        for path in self.path.iterdir():
            if path.name == MARKER:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _refuse_files(self) -> None:
        found = {path.name: path for path in self.path.iterdir()}
        found.pop(f"{MARKER}.new", None)  # where the first mark was interrupted
        if not found or MARKER in found:  # who only looks may be overtaken by who makes it
            return
        if "rocksdict-config.json" in found:
            what = "a database of rocksdict"
        elif "CURRENT" in found:
            what = "a RocksDB database of another program"
        elif databases := [name for name, path in sorted(found.items()) if _is_sqlite(path)]:
            what = f"a directory with the SQLite file {databases[0]}"
        else:
            what = f"a directory with {len(found)} files of others, such as {min(found)}"
        raise StateFormatError(self._foreign(what))

    def _foreign(self, what: str) -> str:
        return (
            f"{self.path} is {what}, not the {self.kind} of slip-rocks (format {FORMAT}): name "
            f"another path, or move it away"
        )

    def _say_what_was_set_aside(self) -> None:
        aside = sorted(self.path.parent.glob(f"{_literal(self.path.name)}.corrupt-*"))
        if aside:
            logger.warning(
                "The %s in %s begins with nothing: it was damaged, and is in %s.",
                self.kind,
                self.path,
                aside[-1],
            )

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _unreachable(self, reason: OSError) -> ConnectError:
        if isinstance(reason, (FileExistsError, NotADirectoryError)):
            return ConnectError(
                f"can't open the {self.kind} in {self.path}: one of the directories above it is a "
                f"file; move the file away, or name another path"
            )
        what = f"can't open the {self.kind} in {self.path}"
        return ConnectError(advised(what, reason.strerror or str(reason), "name another path"))


def _owner(descriptor: int) -> str:
    """Who holds a lock, as its file tells."""
    pid = os.pread(descriptor, 32, 0)
    if pid == b"%d" % os.getpid():
        return "another object of this process"
    return f"process {pid.decode()}" if pid.isdigit() else "another process"


def _is_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _make_directory(path: Path) -> None:
    """Make a directory for the owner only, and those above it, durably."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
