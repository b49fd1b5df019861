"""What stands beneath an app under test: memory backends that outlive its death, and that death."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from slipcore.backends.memory.broker import Broker, Log
from slipcore.backends.memory.state import (
    MemoryCheckpointOptions,
    MemoryCheckpointStore,
    MemoryStateOptions,
    MemoryStateStore,
)
from slipcore.backends.memory.topic import MemoryTopic, MemoryTopicOptions
from slipcore.engine.bindings import Step
from slipcore.interfaces import Changes, Out, Positions, Record, Scope
from slipcore.plugins.registry import Backend
from slipcore.scope import AppScope

Moment: TypeAlias = Literal["flush", "write", "commit"]
"""After outputs became durable; after state did, with its positions; after the group's commit."""

MOMENTS: Final = get_args(Moment)


class Crash(BaseException):
    """The process is dead: raised in what it was doing."""


class Fuse:
    """Burns after so many records, or at a moment; what is durable then is what is left.

    Attributes:
        handled: records that went through a handler and its sinks since it was armed.
        burnt: whether the process is dead.
    """

    def __init__(self, scope: WorldScope, stop: Callable[[], None]) -> None:
        self.handled = 0
        self.burnt = False
        self._at: int | Moment | None = None
        self.scope = scope
        self._stop = stop

    def arm(self, at: int | Moment | None) -> None:
        self.handled, self.burnt, self._at = 0, False, at

    def check(self) -> None:
        """The dead do nothing."""
        if self.burnt:
            raise Crash

    def passed(self) -> None:
        """One more record went through."""
        self.handled += 1
        if self._at == self.handled and not self.burnt:
            self.burn()

    def reached(self, moment: Moment) -> None:
        """Something became durable."""
        if self._at == moment and not self.burnt:
            self.burn()

    def burn(self) -> None:
        self.die()
        self._stop()
        raise Crash

    def die(self) -> None:
        """Let no handler be called any more, and note what is durable."""
        self.burnt = True
        self.scope.keep()


class WorldScope(AppScope):
    """A scope whose things live on when the app dies, as far as they were durable."""

    def __init__(self, app: str, state_dir: Path) -> None:
        super().__init__(app, state_dir)
        self._kept: dict[object, Any] = {}
        self._is_held = False

    def keep(self) -> None:
        """Take note of what is durable now."""
        copies: dict[int, Any] = {}
        self._kept = {}
        for key, thing in self._shared.items():
            if hasattr(thing, "remains"):
                if id(thing) not in copies:
                    copies[id(thing)] = thing.remains()
                self._kept[key] = copies[id(thing)]

    def go_back(self) -> None:
        """Hold what was durable at the last `keep`, and nothing that was done since."""
        self._shared, self._kept = self._kept, {}

    def broker(self) -> Broker:
        return self.shared("memory", Broker)

    @property
    def is_held(self) -> bool:
        """Whether nothing is handed to readers."""
        return self._is_held

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hand nothing to readers for the time of the block."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            self.broker().wake()

    def close(self) -> None:
        """Nothing: it is the test that ends it."""


@dataclass(frozen=True, slots=True)
class WatchedStep(Step):
    """A step that takes records one by one, and tells the fuse of each."""

    fuse: Fuse = field(kw_only=True)

    @classmethod
    def of(cls, step: Step, fuse: Fuse) -> WatchedStep:
        async def batch(items: Iterator[Any]) -> None:
            for item in items:
                waiting = watched.one(item)
                if waiting is not None:
                    await waiting

        watched = cls(step.call, step.emit, batch, whole=step.whole, fuse=fuse)
        return watched

    def one(self, item: Any) -> Awaitable[None] | None:
        self.fuse.check()
        waiting = Step.one(self, item)
        if waiting is not None and hasattr(waiting, "__await__"):
            return self._rest(waiting, item)
        self._passed(item)
        return None

    async def _rest(self, waiting: Awaitable[Any], item: Any) -> None:
        await waiting
        self._passed(item)

    def _passed(self, item: Any) -> None:
        for _ in item if self.whole else (item,):
            self.fuse.passed()


class WorldTopic(MemoryTopic):
    """A memory topic that tells the fuse what has become durable."""

    def __init__(self, name: str, options: Any, scope: Scope, fuse: Fuse) -> None:
        super().__init__(name, options, scope)
        self._fuse = fuse
        self._world = fuse.scope

    def _take(self, log: Log, max_records: int) -> list[Record]:
        return [] if self._world.is_held else super()._take(log, max_records)

    async def flush(self) -> None:
        is_something = bool(self._pending)
        await super().flush()
        if is_something:
            self._fuse.reached("flush")

    async def commit(self, positions: Positions, epoch: int) -> None:
        await super().commit(positions, epoch)
        self._fuse.reached("commit")


class WorldSink(WorldTopic):
    """Stands for a sink that is no topic, and takes objects as they are."""

    def send(self, output: Out) -> Awaitable[None] | None:
        self._pending.append(in_partition(output))
        return None


class WorldStore(MemoryStateStore):
    """A memory store that tells the fuse what has become durable."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    async def awrite(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        await super().awrite(changes, positions)
        self._fuse.reached("write")


def in_partition(output: Out) -> Out:
    """An output whose key is any object, with its partition: the first, unless it names one."""
    partition = output.partition or 0
    return Out(output.value, output.key, output.headers, output.timestamp, partition)


def log_name(kind: str, name: str) -> str:
    """Where records of a source or sink are that is no topic, apart from topics of that name."""
    return name if kind == "topic" else f"{kind} {name}"


def doubles(fuse: Fuse) -> dict[str, Backend]:
    """Kind of resource -> what stands in the place of its backend."""

    def topic(name: str, options: Any, scope: Scope) -> WorldTopic:
        return WorldTopic(name, options, scope, fuse)

    def source(name: str, options: Any, scope: Scope) -> WorldTopic:
        return WorldTopic(log_name("source", name), options, scope, fuse)

    def sink(name: str, options: Any, scope: Scope) -> WorldSink:
        return WorldSink(log_name("sink", name), options, scope, fuse)

    def cache(name: str, options: Any, scope: Scope) -> MemoryStateStore:
        return scope.shared("memory-state", lambda: WorldStore(fuse))

    def checkpoint_store(name: str, options: Any, scope: Scope) -> MemoryCheckpointStore:
        return scope.shared("memory-checkpoints", MemoryCheckpointStore)

    made: dict[str, tuple[Callable[..., Any], type]] = {
        "topic": (topic, MemoryTopicOptions),
        "source": (source, MemoryTopicOptions),
        "sink": (sink, MemoryTopicOptions),
        "cache": (cache, MemoryStateOptions),
        "checkpoint_store": (checkpoint_store, MemoryCheckpointOptions),
    }
    return {
        kind: Backend(kind, "memory", factory, options, owner="slipcore.testing")
        for kind, (factory, options) in made.items()
    }
