"""Topics in a SQLite file as the standard library sees them."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from slipcore.backends.sqlite.file import SlipFile
from slipcore.backends.sqlite.log import Log as OwnLog
from tests.faults.bare import Entry, Unreachable

BATCH: Final = 200
BATCH_SECONDS: Final = 0.02


class SqliteLog:
    """Topics of an app's file. Any thread may call it.

    Only what makes the file is the product's: nobody else knows its tables beforehand.

    Args:
        file: where it is.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def create(self, topic: str, partitions: int) -> None:
        file = SlipFile(self._file)
        file.acquire()
        try:
            OwnLog(file, topic, partitions).close()
        finally:
            file.release()

    def write(self, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> set[int]:
        number = -1
        batch: list[tuple[bytes, bytes]] = []
        due = time.monotonic() + BATCH_SECONDS
        for number, pair in enumerate(pairs):  # noqa: B007  # how many there were
            batch.append(pair)
            if len(batch) >= BATCH or time.monotonic() >= due:
                self._add(topic, batch)
                batch, due = [], time.monotonic() + BATCH_SECONDS
        self._add(topic, batch)
        return set(range(number + 1))

    def _add(self, topic: str, batch: list[tuple[bytes, bytes]]) -> None:
        if not batch:
            return
        with closing(sqlite3.connect(self._file, timeout=60.0, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            ((number,),) = db.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchall()
            query = "SELECT partition, next_offset FROM partitions WHERE topic = ?"
            ends = dict(db.execute(query, (number,)).fetchall())
            for key, value in batch:
                partition = zlib.crc32(key) % len(ends)
                row = (number, partition, ends[partition], time.time_ns() // 1_000_000, key, value)
                db.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
                ends[partition] += 1
            for partition, end in ends.items():
                db.execute(
                    "UPDATE partitions SET next_offset = ? WHERE topic = ? AND partition = ?",
                    (end, number, partition),
                )
            db.execute("COMMIT")

    def read(self, topic: str) -> list[Entry]:
        rows = self._ask(
            "SELECT partition, offset, timestamp, key, value, headers FROM records"
            " WHERE topic = (SELECT id FROM topics WHERE name = ?) ORDER BY partition, offset",
            topic,
        )
        return [_entry(*row) for row in rows]

    def ends(self, topic: str) -> dict[int, int]:
        return dict(
            self._ask(
                "SELECT partition, next_offset FROM partitions"
                " WHERE topic = (SELECT id FROM topics WHERE name = ?)",
                topic,
            )
        )

    def count(self, topic: str) -> int:
        return sum(self.ends(topic).values())

    def committed(self, group: str, topic: str) -> dict[int, int]:
        rows = self._ask(
            "SELECT partition, position FROM committed WHERE consumer_group = ?"
            " AND topic = (SELECT id FROM topics WHERE name = ?)",
            group,
            topic,
        )
        return {partition: position + 1 for partition, position in rows}

    def close(self) -> None:
        """There is nothing to let go of: each call has a connection of its own."""

    def _ask(self, query: str, *values: Any) -> list[Any]:
        try:
            with closing(sqlite3.connect(self._file, timeout=2.0)) as db:
                return db.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            raise Unreachable(str(error)) from error


def _entry(
    partition: int,
    offset: int,
    timestamp: int,
    key: bytes | None,
    value: bytes | None,
    packed: bytes | None,
) -> Entry:
    found = msgspec.msgpack.decode(packed) if packed is not None else ()
    headers = tuple((name, content) for name, content in found)
    return Entry(partition, offset, timestamp, key, value, headers)
