"""State by hand: what one would write with each client alone, with values of 8 bytes.

Writes are gathered and made durable together every 1,000 records, as slipcore does with what one
read of a source gave.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from bisect import bisect_left
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

TOGETHER: Final = 1000


class Store(ABC):
    """Bytes by key in one client."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, bytes] = {}

    @abstractmethod
    def read(self, key: bytes) -> bytes | None:
        """The durable value."""

    @abstractmethod
    def write(self, values: dict[bytes, bytes]) -> None:
        """Make all of it durable."""

    @abstractmethod
    def scan(self, start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """So many pairs from a key on."""

    def close(self) -> None:
        """Let go of the client."""

    def get(self, key: bytes) -> bytes | None:
        """The value that was put last."""
        waiting = self._waiting.get(key)
        return self.read(key) if waiting is None else waiting

    def put(self, key: bytes, value: bytes) -> None:
        """Put a value; it is durable with the others."""
        self._waiting[key] = value
        if len(self._waiting) >= TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Make durable what waits."""
        if self._waiting:
            self.write(self._waiting)
            self._waiting = {}


class Memory(Store):
    """A dict; to scan it its keys are sorted once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._values: dict[bytes, bytes] = {}
        self._order: list[bytes] = []

    def read(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def write(self, values: dict[bytes, bytes]) -> None:
        self._values.update(values)

    def scan(self, start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        if len(self._order) != len(self._values):
            self._order = sorted(self._values)
        first = bisect_left(self._order, start)
        return [(key, self._values[key]) for key in self._order[first : first + count]]


class Sqlite(Store):
    """A table of the stdlib's sqlite3, WAL, fsync at each commit."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._db = sqlite3.connect(folder / "bare.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"
        )

    def read(self, key: bytes) -> bytes | None:
        row = self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def write(self, values: dict[bytes, bytes]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())
        self._db.execute("COMMIT")

    def scan(self, start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        statement = "SELECT key, value FROM state WHERE key >= ? ORDER BY key LIMIT ?"
        return self._db.execute(statement, (start, count)).fetchall()

    def close(self) -> None:
        self._db.close()


class Rocks(Store):
    """A RocksDB of rocksdict in raw mode; the log is with the system at each write."""

    def __init__(self, folder: Path) -> None:
        from rocksdict import Options, Rdict

        super().__init__()
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        self._db: Any = Rdict(str(folder / "bare"), options)

    def read(self, key: bytes) -> bytes | None:
        found: bytes | None = self._db.get(key)
        return found

    def write(self, values: dict[bytes, bytes]) -> None:
        from rocksdict import WriteBatch

        batch = WriteBatch(raw_mode=True)
        for key, value in values.items():
            batch.put(key, value)
        self._db.write(batch)

    def scan(self, start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        for pair in self._db.items(from_key=start):
            found.append(pair)
            if len(found) == count:
                break
        return found

    def close(self) -> None:
        self._db.close()


class Redis(Store):
    """Keys of Redis: one GET for each read, one MSET for all writes. There are no scans."""

    def __init__(self, url: str) -> None:
        from redis import Redis as Client

        super().__init__()
        self._client: Any = Client.from_url(url)
        self._prefix = b"bench:%s:" % uuid4().hex.encode()
        self._written: set[bytes] = set()

    def read(self, key: bytes) -> bytes | None:
        found: bytes | None = self._client.get(self._prefix + key)
        return found

    def write(self, values: dict[bytes, bytes]) -> None:
        self._client.mset({self._prefix + key: value for key, value in values.items()})
        self._written.update(values)

    def scan(self, start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        raise NotImplementedError("Redis keeps no order of keys")

    def close(self) -> None:
        if self._written:
            self._client.delete(*(self._prefix + key for key in self._written))
        self._client.close()
