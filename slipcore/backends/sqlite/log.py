"""The records of a topic in the file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import time_ns
from typing import TYPE_CHECKING, Final

import msgspec

from slipcore.backends.sqlite.file import SlipFile
from slipcore.interfaces import (
    ConfigError,
    ConnectError,
    Out,
    Record,
    SinkError,
    SourceError,
    partition_for,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

logger = logging.getLogger(__name__)

_decode_headers: Final = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode


class Log:
    """A topic's partitions: records with contiguous offsets from 0.

    `append` may run in any thread; the other methods belong to one.

    Args:
        file: an open file.
        name: the topic's name.
        partitions: how many it is created with; None: 1, or what it has.

    Raises:
        ConfigError: it has another number of partitions.
        ConnectError: the file can't be read or written.
    """

    def __init__(self, file: SlipFile, name: str, partitions: int | None) -> None:
        self.name = name
        self.subject = ("records", name)
        self._file = file
        with file.translated(ConnectError, f"open the topic {name} in"):
            self.id, self.partitions = self._find(partitions or 1)
        if partitions not in (None, self.partitions):
            raise ConfigError(
                f"the topic {name} in {file.path} has {self.partitions} partitions, not "
                f"{partitions}: leave partitions out, or name what it has"
            )
        self._reader = file.reader()

    def _find(self, partitions: int) -> tuple[int, int]:
        with self._file.transaction() as db:
            query = "SELECT id, partitions FROM topics WHERE name = ?"
            for found in db.execute(query, (self.name,)).fetchall():
                return int(found[0]), int(found[1])
            created = db.execute(
                "INSERT INTO topics (name, partitions) VALUES (?, ?)", (self.name, partitions)
            ).lastrowid
            assert created is not None
            db.executemany(
                "INSERT INTO partitions VALUES (?, ?, 0)",
                [(created, partition) for partition in range(partitions)],
            )
        logger.info(
            "Created the topic %s with %d partitions in %s.", self.name, partitions, self._file.path
        )
        return created, partitions

    def append(self, outputs: Sequence[Out]) -> None:
        """Write outputs in order and durably, or none of them.

        Those without key and partition go to one partition, the next one each time.

        Raises:
            SinkError: nothing was written.
        """
        topic, count = self.id, self.partitions
        now = time_ns() // 1_000_000
        rows = []
        with self._file.translated(SinkError, "write to"), self._file.transaction() as db:
            ends = self._ends(db)
            keyless: int | None = None
            for output in outputs:
                place = output.partition
                if place is None:
                    if output.key is not None:
                        place = partition_for(output.key, count)
                    elif keyless is None:
                        place = keyless = self._next_keyless(db)
                    else:
                        place = keyless
                offset = ends[place]
                ends[place] = offset + 1
                timestamp = now if output.timestamp is None else output.timestamp
                headers = msgspec.msgpack.encode(output.headers) if output.headers else None
                rows.append((topic, place, offset, timestamp, output.key, output.value, headers))
            db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            db.executemany(
                "UPDATE partitions SET next_offset = ? WHERE topic = ? AND partition = ?",
                [(end, topic, partition) for partition, end in ends.items()],
            )
        self._file.bells.ring(self.subject)

    def take(self, partition: int, start: int, limit: int) -> list[Record]:
        """Up to `limit` records from offset `start` on.

        Raises:
            SourceError: they can't be read.
        """
        with self._file.translated(SourceError, "read"):
            rows = self._reader.execute(
                "SELECT value, key, offset, timestamp, headers FROM records"
                " WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (self.id, partition, start, limit),
            ).fetchall()
        name = self.name
        return [
            Record(
                value,
                key,
                name,
                partition,
                offset,
                timestamp,
                () if headers is None else _decode_headers(headers),
            )
            for value, key, offset, timestamp, headers in rows
        ]

    def ends(self) -> dict[int, int]:
        """Partition -> offset of the next record to be written."""
        with self._file.translated(SourceError, "read"):
            return self._ends(self._reader)

    def version(self) -> int:
        """Differs from what it was when something else has written to the file since."""
        with self._file.translated(SourceError, "read"):
            ((version,),) = self._reader.execute("PRAGMA data_version").fetchall()
        return int(version)

    def close(self) -> None:
        self._reader.close()

    def _ends(self, db: Connection) -> dict[int, int]:
        return dict(
            db.execute("SELECT partition, next_offset FROM partitions WHERE topic = ?", (self.id,))
        )

    def _next_keyless(self, db: Connection) -> int:
        ((turn,),) = db.execute("SELECT keyless FROM topics WHERE id = ?", (self.id,)).fetchall()
        db.execute(
            "UPDATE topics SET keyless = ? WHERE id = ?", ((turn + 1) % self.partitions, self.id)
        )
        return int(turn)
