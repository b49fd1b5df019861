"""Which offsets the rows of each file have, once and for all.

A row's offset must be the same in each run. Counted anew each time it would not be: a file may come
whose name sorts before those that were read, and files that were read may be removed. So a file is
given its offsets when it is first seen, and that is written down before any of its rows is read.
"""

from __future__ import annotations

import fcntl
from bisect import bisect_right
from io import BufferedRandom
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
from slipcore.interfaces import ConnectError, SourceError, StateError

from slip_example.files import translated, write_whole
from slip_example.probing import require_directory


class Entry(msgspec.Struct, frozen=True):
    """A file of the directory.

    Attributes:
        name: of the file.
        first: the offset of its first row.
        rows: how many it has.
    """

    name: str
    first: int
    rows: int


class Catalogue:
    """The files of a directory in the order in which they are read. Any thread may call it.

    Args:
        directory: where the files are.
        path: where the catalogue itself is kept.
    """

    def __init__(self, directory: Path, path: Path) -> None:
        self.directory = directory
        self.end = 0
        self._path = path
        self._lock: BufferedRandom | None = None
        self._entries: list[Entry] = []
        self._filled: list[Entry] = []

    def open(self) -> None:
        """Read what is written down.

        Raises:
            ConnectError: the directory is not there, or another process has the catalogue.
            StateError: the catalogue can't be read.
        """
        require_directory(self.directory)
        with translated(StateError, f"open the catalogue {self._path}"):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = self._path.with_suffix(".lock").open("a+b")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ConnectError(
                f"another reader of this app has {self.directory}: stop it, for one reads at a time"
            ) from None
        if self._path.exists():
            self._load()

    def _load(self) -> None:
        with translated(StateError, f"read the catalogue {self._path}"):
            data = self._path.read_bytes()
        try:
            entries = msgspec.json.decode(data, type=list[Entry])
        except msgspec.DecodeError as reason:
            raise StateError(
                f"{self._path} is no catalogue of Parquet files ({reason}): put a backup in its "
                f"place, or remove it to begin with the first file again"
            ) from reason
        for entry in entries:
            self._add(entry)

    def close(self) -> None:
        """Let another process have it. May be called twice."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def refresh(self) -> None:
        """Take up the files that are new, in the order of their names.

        Raises:
            SourceError: the directory or a file can't be read.
            StateError: the catalogue can't be written.
        """
        known = {entry.name for entry in self._entries}
        with translated(SourceError, f"list {self.directory}"):
            names = sorted(
                path.name
                for path in self.directory.glob("*.parquet")
                if path.name not in known and not path.name.startswith((".", "_"))
            )
        if not names:
            return
        first, added = self.end, list[Entry]()
        for name in names:
            with translated(SourceError, f"read the file {self.directory / name}"):
                rows = pq.read_metadata(self.directory / name).num_rows
            added.append(Entry(name, first, rows))
            first += rows
        data = msgspec.json.encode([*self._entries, *added])
        with translated(StateError, f"write the catalogue {self._path}"):
            write_whole(self._path, lambda path: _write(path, data))
        for entry in added:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        if entry.rows:
            self._filled.append(entry)
        self._entries.append(entry)
        self.end = entry.first + entry.rows

    def find(self, offset: int) -> Entry | None:
        """The file that has the row of this offset; None: none has it yet."""
        if offset >= self.end:
            return None
        return self._filled[bisect_right(self._filled, offset, key=_first) - 1]

    def oldest(self) -> int:
        """The offset of the first row of the first file that is still there."""
        for entry in self._entries:
            if (self.directory / entry.name).exists():
                return entry.first
        return self.end


def _first(entry: Entry) -> int:
    return entry.first


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
