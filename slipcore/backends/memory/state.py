"""State and checkpoints in memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from copy import copy
from threading import Lock
from typing import ClassVar, Final, Self

import msgspec

from slipcore.interfaces import (
    Changes,
    ICheckpointStore,
    IStateStore,
    Positions,
    Scope,
    StateError,
    StateInUseError,
    StateOptions,
)

_INSERTED_ONE_BY_ONE: Final = 64
"""New keys up to here are inserted; more of them are sorted together."""


class MemoryStateOptions(StateOptions, kw_only=True, forbid_unknown_fields=True):
    """State in memory has no settings."""

    outlives_process: ClassVar[bool] = False
    one_store: ClassVar[bool] = True


class MemoryCheckpointOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Checkpoints in memory have no settings."""


class _Space:
    """Values by key; the order of keys is made when somebody asks for it."""

    __slots__ = ("_new", "_sorted", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._sorted: list[bytes] = []
        self._new: set[bytes] = set()

    def update(self, changes: Mapping[bytes, bytes | None]) -> None:
        values = self.values
        for key, value in changes.items():
            if value is not None:
                if key not in values:
                    self._new.add(key)
                values[key] = value
            elif values.pop(key, None) is not None:
                self._forget(key)

    def _forget(self, key: bytes) -> None:
        if key in self._new:
            self._new.remove(key)
        else:
            del self._sorted[bisect_left(self._sorted, key)]

    def remains(self) -> _Space:
        left = _Space()
        left.update(self.values)
        return left

    def keys(self) -> list[bytes]:
        """All keys in order."""
        if len(self._new) <= _INSERTED_ONE_BY_ONE:
            for key in self._new:
                insort(self._sorted, key)
        else:
            self._sorted.extend(self._new)
            self._sorted.sort()
        self._new.clear()
        return self._sorted


class MemoryStateStore(IStateStore):
    """Keyed bytes that live as long as the store object."""

    def __init__(self) -> None:
        self._spaces: dict[str, _Space] = {}
        self._attached: set[str] = set()
        self._positions: dict[str, dict[int, int]] = {}
        self._lock = Lock()

    def attach(self, space: str) -> None:
        if space in self._attached:
            raise StateInUseError(
                f"the state {space} is in use by another cache of this app: "
                f"share one Cache object, or give each a name of its own"
            )
        self._attached.add(space)
        self._spaces.setdefault(space, _Space())

    def detach(self, space: str) -> None:
        self._attached.discard(space)

    def get(self, space: str, key: bytes) -> bytes | None:
        held = self._spaces.get(space)
        return None if held is None else held.values.get(key)

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> list[tuple[bytes, bytes]]:
        with self._lock:
            held = self._spaces.get(space)
            if held is None:
                return []
            keys = held.keys()
            first = 0 if start is None else bisect_left(keys, start)
            last = len(keys) if end is None else bisect_left(keys, end)
            if backwards:
                chosen = keys[max(first, last - limit) : last][::-1]
            else:
                chosen = keys[first : min(first + limit, last)]
            return [(key, held.values[key]) for key in chosen]

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        with self._lock:
            for space in changes:
                if space not in self._attached:
                    raise StateError(
                        f"the state {space} is not attached: attach it before it is written"
                    )
            for space, written in changes.items():
                self._spaces[space].update(written)
            for reader, places in positions.items():
                self._positions.setdefault(reader, {}).update(places)

    async def awrite(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        self.write(changes, positions)

    def positions(self, reader: str) -> Positions:
        return dict(self._positions.get(reader, {}))

    def close(self) -> None:
        self._attached.clear()

    def remains(self) -> Self:
        """What is left when its process dies now: all that was written, claimed by nobody."""
        left = copy(self)
        left._spaces = {name: space.remains() for name, space in self._spaces.items()}
        left._positions = {reader: places.copy() for reader, places in self._positions.items()}
        left._attached, left._lock = set(), Lock()
        return left


class MemoryCheckpointStore(ICheckpointStore):
    """Named states that live as long as the store object."""

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self._states.get(name)

    def save(self, name: str, state: bytes) -> None:
        self._states[name] = state

    def remains(self) -> MemoryCheckpointStore:
        """What is left when its process dies now: all that was saved."""
        left = MemoryCheckpointStore()
        left._states = self._states.copy()
        return left


def open_state_store(name: str, options: MemoryStateOptions, scope: Scope) -> IStateStore:
    """The app's state in memory: one store, each cache a space of it."""
    return scope.shared("memory-state", MemoryStateStore)


def open_checkpoint_store(
    name: str, options: MemoryCheckpointOptions, scope: Scope
) -> ICheckpointStore:
    """The app's checkpoints in memory."""
    return scope.shared("memory-checkpoints", MemoryCheckpointStore)
