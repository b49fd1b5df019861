"""Backends that die between two calls, as a killed process does: a wrapper around sqlite.

Every call of a backend counts; at the chosen one `Crash` is raised, before the call or after it,
and every later call raises too: nothing more reaches the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipcore import hookimpl
from slipcore.backends.sqlite.state import SqliteStateOptions, open_state_store
from slipcore.backends.sqlite.topic import SqliteTopic, SqliteTopicOptions
from slipcore.interfaces import Changes, IStateStore, ITopic, Out, Positions, Record, Scope


class Crash(BaseException):
    """The process is dead."""


class Fuse:
    """Counts calls and burns at the chosen one.

    Attributes:
        calls: how many calls there were.
        burns_at: the call at which it burns; None: never.
        before: whether that call is not made any more.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.burns_at: int | None = None
        self.before = True
        self.burnt = False

    def arm(self, burns_at: int | None, before: bool = True) -> None:
        self.calls, self.burns_at, self.before, self.burnt = 0, burns_at, before, False

    def enter(self) -> bool:
        """Count a call; whether to die after it."""
        if self.burnt:
            raise Crash
        self.calls += 1
        if self.calls != self.burns_at:
            return False
        self.burnt = True
        if self.before:
            raise Crash
        return True


FUSE = Fuse()


class CrashingTopic(ITopic):
    """A sqlite topic that hands over few records at a time, and dies."""

    capabilities = SqliteTopic.capabilities

    def __init__(self, name: str, options: SqliteTopicOptions, scope: Scope) -> None:
        self._topic = SqliteTopic(name, options, scope)

    async def open(self) -> None:
        await self._topic.open()

    async def close(self) -> None:
        await self._topic.close()

    async def read(self, max_records: int) -> Sequence[Record]:
        dies = FUSE.enter()
        records = await self._topic.read(3)
        if dies:
            raise Crash
        return records

    async def commit(self, positions: Positions, epoch: int) -> None:
        dies = FUSE.enter()
        await self._topic.commit(positions, epoch)
        if dies:
            raise Crash

    def send(self, output: Out) -> Any:
        dies = FUSE.enter()
        waiting = self._topic.send(output)
        if dies:
            raise Crash
        return waiting

    async def flush(self) -> None:
        dies = FUSE.enter()
        await self._topic.flush()
        if dies:
            raise Crash

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        return await self._topic.seek(offsets)

    async def assignment(self) -> Any:
        return await self._topic.assignment()

    async def accept(self, assignment: Any, positions: Positions) -> None:
        await self._topic.accept(assignment, positions)


class CrashingStore(IStateStore):
    """A sqlite store that dies."""

    def __init__(self, store: IStateStore) -> None:
        self._store = store

    def attach(self, space: str) -> None:
        self._store.attach(space)

    def detach(self, space: str) -> None:
        self._store.detach(space)

    def get(self, space: str, key: bytes) -> bytes | None:
        return self._store.get(space, key)

    def scan(self, space: str, *args: Any, **kwargs: Any) -> list[tuple[bytes, bytes]]:
        return self._store.scan(space, *args, **kwargs)

    def positions(self, reader: str) -> Positions:
        return self._store.positions(reader)

    def close(self) -> None:
        self._store.close()

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        dies = FUSE.enter()
        self._store.write(changes, positions)
        if dies:
            raise Crash

    async def awrite(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        self.write(changes, positions)


def open_crashing_store(name: str, options: SqliteStateOptions, scope: Scope) -> IStateStore:
    store = open_state_store(name, options, scope)
    return scope.shared(("crashing", id(store)), lambda: CrashingStore(store))


@hookimpl
def register_sources(register: Any) -> None:
    register("crashing", CrashingTopic, options=SqliteTopicOptions)


@hookimpl
def register_sinks(register: Any) -> None:
    register("crashing", CrashingTopic, options=SqliteTopicOptions)


@hookimpl
def register_caches(register: Any) -> None:
    register("crashing", open_crashing_store, options=SqliteStateOptions)
