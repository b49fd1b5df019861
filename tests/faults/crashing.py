"""The known backends with a fuse: at the chosen call the process kills itself."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from slipcore.interfaces import (
    Assignment,
    Changes,
    IStateStore,
    ITopic,
    Out,
    Positions,
    Record,
    Scope,
)
from tests.faults.wanted import Crash, Point, Wanted


class Fuse:
    """Counts the calls of each method, and kills the process at the chosen one."""

    def __init__(self, crash: Crash | None) -> None:
        self._crash = crash
        self._calls: Counter[str] = Counter()

    def before(self, point: Point) -> bool:
        """Count a call and die if it must not be made; whether to die after it."""
        self._calls[point] += 1
        crash = self._crash
        if crash is None or crash.point != point or crash.call != self._calls[point]:
            return False
        if crash.before:
            die()
        return True


def die() -> None:
    """End the process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


FUSE = Fuse(Wanted.from_environment().crash)


class CrashingTopic(ITopic):
    """A topic that dies between two calls."""

    def __init__(self, topic: ITopic) -> None:
        self._topic = topic
        self.capabilities = topic.capabilities

    def __repr__(self) -> str:
        return repr(self._topic)

    async def open(self) -> None:
        await self._topic.open()

    async def close(self) -> None:
        await self._topic.close()

    async def read(self, max_records: int) -> Sequence[Record]:
        dies = FUSE.before("read")
        records = await self._topic.read(max_records)
        if dies:
            die()
        return records

    async def commit(self, positions: Positions, epoch: int) -> None:
        dies = FUSE.before("commit")
        await self._topic.commit(positions, epoch)
        if dies:
            die()

    async def pause(self, partitions: frozenset[int]) -> None:
        await self._topic.pause(partitions)

    async def resume(self, partitions: frozenset[int]) -> None:
        await self._topic.resume(partitions)

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        return await self._topic.seek(offsets)

    async def lag(self) -> Mapping[int, int]:
        return await self._topic.lag()

    async def assignment(self) -> Assignment:
        return await self._topic.assignment()

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        dies = FUSE.before("accept")
        await self._topic.accept(assignment, positions)
        if dies:
            die()

    def send(self, output: Out) -> Awaitable[None] | None:
        dies = FUSE.before("send")
        waiting = self._topic.send(output)
        if dies:
            die()
        return waiting

    async def flush(self) -> None:
        dies = FUSE.before("flush")
        await self._topic.flush()
        if dies:
            die()


class CrashingStore(IStateStore):
    """A store that dies between two writes."""

    def __init__(self, store: IStateStore) -> None:
        self._store = store
        self.remote = store.remote

    def attach(self, space: str) -> None:
        dies = FUSE.before("attach")
        self._store.attach(space)
        if dies:
            die()

    def detach(self, space: str) -> None:
        self._store.detach(space)

    def get(self, space: str, key: bytes) -> bytes | None:
        return self._store.get(space, key)

    def scan(self, space: str, *args: Any, **kwargs: Any) -> list[tuple[bytes, bytes]]:
        return self._store.scan(space, *args, **kwargs)

    def positions(self, reader: str) -> Positions:
        dies = FUSE.before("positions")
        positions = self._store.positions(reader)
        if dies:
            die()
        return positions

    def close(self) -> None:
        self._store.close()

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        dies = FUSE.before("write")
        self._store.write(changes, positions)
        if dies:
            die()


def make_kafka_topic(name: str, options: Any, scope: Scope) -> ITopic:
    from slip_kafka.topic import KafkaTopic

    return CrashingTopic(KafkaTopic(name, options, scope))


def make_redis_topic(name: str, options: Any, scope: Scope) -> ITopic:
    from slip_redis.topic import RedisTopic

    return CrashingTopic(RedisTopic(name, options, scope))


def make_sqlite_topic(name: str, options: Any, scope: Scope) -> ITopic:
    from slipcore.backends.sqlite.topic import SqliteTopic

    return CrashingTopic(SqliteTopic(name, options, scope))


def open_rocks_store(name: str, options: Any, scope: Scope) -> IStateStore:
    from slip_rocks.state import open_state_store

    return _crashing(open_state_store(name, options, scope), scope)


def open_redis_store(name: str, options: Any, scope: Scope) -> IStateStore:
    from slip_redis.state import open_state_store

    return _crashing(open_state_store(name, options, scope), scope)


def open_sqlite_store(name: str, options: Any, scope: Scope) -> IStateStore:
    from slipcore.backends.sqlite.state import open_state_store

    return _crashing(open_state_store(name, options, scope), scope)


def _crashing(store: IStateStore, scope: Scope) -> IStateStore:
    return scope.shared(("crashing", id(store)), lambda: CrashingStore(store))
