"""What stands in for your server: logs, groups' positions and keyed values, in memory.

Replace it by the connection to yours, and what `topic.py` and `cache.py` ask of it by calls of its
client. Each app has one, by `scope.shared`: that is the place for a pool of connections too.
"""

from __future__ import annotations

import asyncio
import time
from threading import Lock

from slipcore.interfaces import Changes, ConfigError, Out, Positions, Record, partition_for


class Log:
    """The records of a topic, by partition. A record's offset is its index.

    Attributes:
        readers: set when there is something new.
    """

    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self.partitions: list[list[Record]] = [[] for _ in range(partitions)]
        self.readers: set[asyncio.Event] = set()

    def append(self, output: Out) -> None:
        """Add one output to its partition: the one it names, or the one of its key."""
        place = output.partition
        if place is None:
            place = partition_for(output.key or b"", len(self.partitions))
        log = self.partitions[place]
        timestamp = output.timestamp
        if timestamp is None:
            timestamp = time.time_ns() // 1_000_000
        log.append(
            Record(output.value, output.key, self.name, place, len(log), timestamp, output.headers)
        )
        for reader in self.readers:
            reader.set()


class Server:
    """Everything that outlives a topic or a store object.

    Attributes:
        committed: (group, topic) -> partition -> offset of the last record that is finished.
        owners: space -> the store object that has claimed it.
    """

    def __init__(self) -> None:
        self.committed: dict[tuple[str, str], dict[int, int]] = {}
        self.owners: dict[str, object] = {}
        self._logs: dict[str, Log] = {}
        self._spaces: dict[str, dict[bytes, bytes]] = {}
        self._positions: dict[str, dict[int, int]] = {}
        # A generation of state may be written in a worker thread while the loop reads.
        self._lock = Lock()

    def log(self, name: str, partitions: int | None) -> Log:
        """The log of a topic, made with `partitions` (None: 1) if it is not there.

        Raises:
            ConfigError: it has another number of partitions.
        """
        log = self._logs.setdefault(name, Log(name, partitions or 1))
        if partitions not in (None, len(log.partitions)):
            raise ConfigError(
                f"the topic {name} has {len(log.partitions)} partitions, not {partitions}: "
                f"leave partitions out, or name what it has"
            )
        return log

    def get(self, space: str, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self._spaces.get(space, {}).get(key)

    def pairs(self, space: str) -> list[tuple[bytes, bytes]]:
        """All keys and values of a space in the order of keys."""
        with self._lock:
            return sorted(self._spaces.get(space, {}).items())

    def write(self, changes: Changes, positions: dict[str, Positions]) -> None:
        """Store values and positions together; None deletes."""
        with self._lock:
            for space, written in changes.items():
                values = self._spaces.setdefault(space, {})
                for key, value in written.items():
                    if value is None:
                        values.pop(key, None)
                    else:
                        values[key] = value
            for reader, reached in positions.items():
                self._positions.setdefault(reader, {}).update(reached)

    def positions(self, reader: str) -> Positions:
        """How far a reader's sources are in what is stored."""
        return dict(self._positions.get(reader, {}))
