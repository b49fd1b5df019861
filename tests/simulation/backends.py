"""The backends of a simulated app: slow, failing, dying, and watched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from slipcore.backends.memory.state import MemoryStateStore
from slipcore.interfaces import (
    Assignment,
    Capability,
    Changes,
    ConnectError,
    ICodec,
    ISink,
    ITopic,
    Out,
    Positions,
    Record,
    SinkError,
    SourceError,
    StateError,
    StateOptions,
    TopicOptions,
)
from slipcore.plugins.registry import Backend
from tests.simulation.judge import Judge, Output
from tests.simulation.world import World, key_at, value_of


class SimulatedTopicOptions(TopicOptions, kw_only=True, forbid_unknown_fields=True):
    """A simulated topic has no settings."""


class SimulatedStateOptions(StateOptions, kw_only=True, forbid_unknown_fields=True):
    """Simulated state has no settings."""

    one_store: ClassVar[bool] = True


class SimulatedTopic(ITopic):
    """A log whose offsets have gaps, read in batches of random sizes."""

    capabilities = frozenset({Capability.COMMIT, Capability.SEEK, Capability.PARTITIONS})

    def __init__(self, topic: int, world: World, judge: Judge) -> None:
        self._topic = topic
        self._world = world
        self._judge = judge
        self._group = world.groups[topic]
        self._next: dict[int, int] = {}

    async def read(self, max_records: int) -> Sequence[Record]:
        world = self._world
        await world.take_time()
        world.at("before read")
        if world.fails("read"):
            raise SourceError("the simulated read fails")
        while not (records := self._take(world.random.randint(1, 6))):
            world.arrived[self._topic].clear()
            await world.arrived[self._topic].wait()
        world.at("after read")
        return records

    def _take(self, count: int) -> list[Record]:
        records: list[Record] = []
        partitions = sorted(self._next)
        self._world.random.shuffle(partitions)
        for partition in partitions:
            waiting = [o for o in self._log(partition) if o >= self._next[partition]]
            for offset in waiting[: count - len(records)]:
                self._next[partition] = offset + 1
                value = value_of(self._topic, partition, offset)
                key = key_at(offset)
                records.append(Record(value, key, str(self._topic), partition, offset))
        return records

    def _log(self, partition: int) -> list[int]:
        return self._world.logs[self._topic][partition]

    async def commit(self, positions: Positions, epoch: int) -> None:
        for partition, position in positions.items():
            if self._holds(partition, epoch):
                self._judge.commits(self._topic, partition, position)
        await self._world.take_time()
        self._world.at("before commit")
        if self._world.fails("commit"):
            raise ConnectError("the simulated group does not answer")
        for partition, position in positions.items():
            if self._holds(partition, epoch):
                self._group.committed[partition] = position
                self._judge.committed(self._topic, partition, position)
        self._world.at("after commit")

    def _holds(self, partition: int, epoch: int) -> bool:
        return self._group.held.get(partition, epoch + 1) <= epoch

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        await self._world.take_time()
        self._world.at("before seek")
        for partition in offsets:
            if partition not in self._next:
                raise SourceError(f"partition {partition} is not assigned")
        self._next.update(offsets)
        places = {partition: offset - 1 for partition, offset in offsets.items()}
        self._judge.sought(self._topic, places)
        self._world.arrived[self._topic].set()
        self._world.at("after seek")
        return places

    async def assignment(self) -> Assignment:
        await self._world.take_time()
        while (change := self._group.change()) is None:
            self._group.changed.clear()
            await self._group.changed.wait()
        return change

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        await self._world.take_time()
        self._world.at("before accept")
        if self._group.accept(assignment):
            for partition in assignment.removed:
                self._next.pop(partition, None)
            for partition, committed in assignment.added.items():
                place = positions.get(partition, committed)
                self._next[partition] = 0 if place is None else place + 1
            self._judge.removed(self._topic, assignment.removed)
            self._judge.assigned(self._topic, assignment.added, positions)
            self._world.arrived[self._topic].set()
        self._world.at("after accept")

    def send(self, output: Out) -> None:
        raise AssertionError("nothing is sent to what is read here")


class SimulatedSink(ISink):
    """Outputs become durable some time after the flush that asks for it, or not at all."""

    def __init__(self, name: str, world: World, judge: Judge) -> None:
        self._name = name
        self._world = world
        self._judge = judge
        self._pending: list[Out] = []

    def send(self, output: Out) -> asyncio.Future[None] | None:
        self._world.at("before send")
        assert isinstance(output.value, Output)
        if self._world.fails("send"):
            self._judge.failed(*output.value[:4])
            raise SinkError("the simulated sink takes nothing", (output,))
        self._judge.sent(self._name, output.value)
        self._pending.append(output)
        self._world.at("after send")
        if self._world.random.random() < 0.1:
            return asyncio.ensure_future(self._world.take_time())
        return None

    async def flush(self) -> None:
        asked = self._pending[-1] if self._pending else None
        await self._world.take_time()
        self._world.at("before flush")
        if asked is None or not any(output is asked for output in self._pending):
            return
        count = 1 + next(i for i, output in enumerate(self._pending) if output is asked)
        if self._world.fails("flush"):
            count = self._world.random.randrange(count)
            self._harden(count)
            lost, self._pending = tuple(self._pending), []
            raise SinkError("the simulated sink fails", lost)
        self._harden(count)
        self._world.at("after flush")

    def _harden(self, count: int) -> None:
        durable, self._pending = self._pending[:count], self._pending[count:]
        self._world.outputs.setdefault(self._name, []).extend(durable)
        for output in durable:
            self._judge.durable(output.value)

    async def close(self) -> None:
        self._pending.clear()


class SimulatedStore(MemoryStateStore):
    """State in memory that takes its time, fails before it is written, and is watched."""

    def __init__(self, world: World, judge: Judge) -> None:
        super().__init__()
        self._world = world
        self._judge = judge

    async def awrite(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        await self._world.take_time()
        self.write(changes, positions)

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        self._world.at("before write")
        if self._world.fails("write"):
            raise StateError("the simulated disk is full")
        self._judge.stored(changes, positions)
        super().write(changes, positions)
        self._world.at("after write")


class SimulatedCodec(ICodec):
    """Bytes as they are, but for those that can't be read for now."""

    def __init__(self, world: World) -> None:
        self._poison = world.poison

    def encode(self, obj: Any) -> bytes:
        return bytes(obj)

    def decode(self, s: bytes) -> object:
        if self._poison.get(s):
            self._poison[s] -= 1
            raise ValueError("poison")
        return s


def simulated(world: World, judge: Judge) -> dict[str, Backend]:
    """Kind of resource -> its simulated backend."""

    def topic(name: str, options: Any, scope: Any) -> SimulatedTopic:
        return SimulatedTopic(int(name), world, judge)

    def cache(name: str, options: Any, scope: Any) -> MemoryStateStore:
        return world.store

    made: dict[str, tuple[Any, type]] = {
        "topic": (topic, SimulatedTopicOptions),
        "cache": (cache, SimulatedStateOptions),
    }
    return {
        kind: Backend(kind, "simulated", factory, options, owner="tests")
        for kind, (factory, options) in made.items()
    }
