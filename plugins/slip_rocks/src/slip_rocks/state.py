"""State in RocksDB: keyed bytes, and how far their sources are, in one write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from slip_rocks.database import Database
from slip_rocks.layout import (
    SPACES,
    end_of,
    pack_number,
    pack_position,
    partition_of,
    position_key,
    reader_prefix,
    space_key,
    unpack_number,
    unpack_position,
    value_prefix,
)
from slip_rocks.options import RocksStateOptions
from slip_rocks.place import Place, state_path
from slipcore.interfaces import (
    Changes,
    IStateStore,
    Positions,
    Scope,
    StateError,
    StateInUseError,
)

if TYPE_CHECKING:
    from rocksdict import Rdict


class RocksStateStore(IStateStore):
    """Spaces of a database, which is open while one of them is attached. Any thread may call it.

    Args:
        path: the database's directory.
        options: its settings.
    """

    def __init__(self, path: Path, options: RocksStateOptions) -> None:
        self._path = path
        self._database = Database(
            Place(path, "state"), sync=options.sync, write_buffer_size=options.write_buffer_size
        )
        self._lock = RLock()
        self._attached: set[str] = set()
        self._prefixes: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"<RocksStateStore {self._path}>"

    def attach(self, space: str) -> None:
        with self._lock:
            if space in self._attached:
                raise StateInUseError(
                    f"the state {space} in {self._path} is in use by another cache of this app: "
                    f"share one Cache object, or give each a name of its own"
                )
            self._database.open()
            try:
                self._prefixes[space] = value_prefix(self._number(space))
            except BaseException:
                self._close_if_idle()
                raise
            self._attached.add(space)

    def _number(self, space: str) -> int:
        """The space's number in the database, a new one if need be."""
        key, doing = space_key(space), f"open the state {space} in"
        found = self._database.get(key, doing)
        if found is not None:
            return unpack_number(found)
        numbers = [
            unpack_number(value) for _, value in self._database.scan(SPACES, end_of(SPACES), doing)
        ]
        number = max(numbers, default=-1) + 1
        self._database.write([(key, pack_number(number))], [], doing)
        return number

    def detach(self, space: str) -> None:
        with self._lock:
            self._attached.discard(space)
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self._attached:
            self._database.close()
            self._prefixes.clear()

    def get(self, space: str, key: bytes) -> bytes | None:
        prefix = self._prefixes.get(space)
        if prefix is None:
            raise self._unattached(space)
        return self._database.get(prefix + key, f"read the state {space} in")

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> list[tuple[bytes, bytes]]:
        prefix = self._prefixes.get(space)
        if prefix is None:
            raise self._unattached(space)
        found = self._database.scan(
            prefix + (start or b""),
            prefix + end if end is not None else end_of(prefix),
            f"read the state {space} in",
            backwards=backwards,
            limit=limit,
        )
        skipped = len(prefix)
        return [(key[skipped:], value) for key, value in found]

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        puts: list[tuple[bytes, bytes]] = []
        deletes: list[bytes] = []
        for space, written in changes.items():
            if space not in self._attached:
                raise self._unattached(space)
            prefix = self._prefixes[space]
            for key, value in written.items():
                if value is None:
                    deletes.append(prefix + key)
                else:
                    puts.append((prefix + key, value))
        puts += [
            (position_key(reader, partition), pack_position(position))
            for reader, reached in positions.items()
            for partition, position in reached.items()
        ]
        self._database.write(puts, deletes, "write state to")

    def positions(self, reader: str) -> Positions:
        prefix = reader_prefix(reader)
        found = self._database.scan(prefix, end_of(prefix), "read positions in")
        return {partition_of(key): unpack_position(value) for key, value in found}

    def database(self, space: str) -> Rdict:
        """The `Rdict` itself, in raw mode: keys and values are bytes, laid out as in `layout`.

        Ask for it anew each time: after a failed write another one takes its place. What it has
        made (iterators, snapshots) keeps the directory from being opened again until it is gone.
        """
        return self._database.rdict

    def close(self) -> None:
        with self._lock:
            self._attached.clear()
            self._close_if_idle()

    def _unattached(self, space: str) -> StateError:
        return StateError(
            f"the state {space} in {self._path} is not attached: attach it before it is used"
        )


def open_state_store(name: str, options: RocksStateOptions, scope: Scope) -> IStateStore:
    """A database of a cache's own, or the one that the settings name."""
    path = state_path(name, options.path, scope)
    return scope.shared(("rocks-state", path), lambda: RocksStateStore(path, options))
