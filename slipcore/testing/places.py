"""Where the suites put what a source reads, and find what a sink has written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from inspect import isawaitable
from typing import Any, Protocol, Self, TypeAlias, TypeVar

from slipcore.interfaces import ISink, ISource, ITopic, Out, Positions, Record
from slipcore.testing.reader import MakeTopic, Reader, send, unique

T = TypeVar("T")

Pair: TypeAlias = tuple[Any, Any]
"""A key and a value."""

Arrived: TypeAlias = Callable[[], Iterable[Pair] | Awaitable[Iterable[Pair]]]
"""`arrived()`: the pairs that are durable where a sink writes, in order."""

MakeSink: TypeAlias = Callable[[], ISink]
"""`make_sink()`: a sink, not open yet; all it makes write to one place."""

ValueOf: TypeAlias = Callable[[Record], Any]


class MakeSource(Protocol):
    """Adds records to what there is to be read, and makes a source that reads it all.

    The source is not open yet, and is left alone where only the records are wanted. Records are
    given as an `Out` each. `settings` are `group`, a consumer group, where the suite offers
    "commit" or "partitions", and `partitions`, how many there are, where it offers "partitions".
    """

    def __call__(self, records: Sequence[Out], **settings: Any) -> ISource: ...


class Place(ABC):
    """What there is to be read in one test, and those who read it.

    Attributes:
        group: the consumer group of its readers.
    """

    def __init__(self, patience: float, value_of: ValueOf) -> None:
        self.group = unique("group")
        self._patience = patience
        self._value_of = value_of

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Let go of what was needed to put records there."""

    @abstractmethod
    def source(self, group: str | None = None, **settings: Any) -> ISource:
        """A source that is not open yet."""

    @abstractmethod
    async def put(self, *outputs: Out) -> None:
        """Add records."""

    def reader(
        self, group: str | None = None, *, positions: Positions | None = None, **settings: Any
    ) -> Reader:
        """A reader of a source of its own."""
        return Reader(
            self.source(group, **settings),
            patience=self._patience,
            positions=positions,
            value_of=self._value_of,
        )


Places: TypeAlias = Callable[[int], Place]
"""`places(partitions)`: a place with nothing in it yet."""


class SourcePlace(Place):
    """A place that a source's author fills."""

    def __init__(
        self,
        make_source: MakeSource,
        partitions: int,
        offers: frozenset[str],
        patience: float,
        value_of: ValueOf,
    ) -> None:
        super().__init__(patience, value_of)
        self._make = make_source
        self._settings: dict[str, Any] = {}
        if "partitions" in offers:
            self._settings["partitions"] = partitions
        self._has_groups = bool(offers & {"commit", "partitions"})

    def source(self, group: str | None = None, **settings: Any) -> ISource:
        return self._make((), **self._given(group), **settings)

    async def put(self, *outputs: Out) -> None:
        self._make(outputs, **self._given(None))

    def _given(self, group: str | None) -> dict[str, Any]:
        groups = {"group": group or self.group} if self._has_groups else {}
        return {**self._settings, **groups}


class TopicPlace(Place):
    """A topic that is filled by sending to it."""

    def __init__(
        self, make_topic: MakeTopic, partitions: int, patience: float, value_of: ValueOf
    ) -> None:
        super().__init__(patience, value_of)
        self.name = unique("topic")
        self._make = make_topic
        self._partitions = partitions
        self._sender: ITopic | None = None
        self._closing = AsyncExitStack()

    async def __aexit__(self, *exc: object) -> None:
        await self._closing.aclose()

    def source(self, group: str | None = None, **settings: Any) -> ITopic:
        return self._make(self.name, group or self.group, self._partitions, **settings)

    async def put(self, *outputs: Out) -> None:
        if self._sender is None:
            self._sender = self.source()
            await self._closing.enter_async_context(self._sender)
        await send(self._sender, *outputs)


class Outlet(ABC):
    """Where the sinks of one test write, and what is found there."""

    @abstractmethod
    def sink(self) -> ISink:
        """A sink that is not open yet."""

    @abstractmethod
    async def arrived(self, count: int) -> list[Pair]:
        """What is there in order, once that are so many pairs."""


class SinkOutlet(Outlet):
    """An outlet that a sink's author reads."""

    def __init__(self, make_sink: MakeSink, arrived: Arrived) -> None:
        self._make = make_sink
        self._arrived = arrived

    def sink(self) -> ISink:
        return self._make()

    async def arrived(self, count: int) -> list[Pair]:
        found = self._arrived()
        return list(await found if isawaitable(found) else found)


class TopicOutlet(Outlet):
    """A topic of one partition, read from its start."""

    def __init__(self, make_topic: MakeTopic, patience: float) -> None:
        self._place = TopicPlace(make_topic, 1, patience, lambda record: record.value)

    def sink(self) -> ISink:
        return self._place.source()

    async def arrived(self, count: int) -> list[Pair]:
        async with self._place.reader(unique("group")) as reader:
            return [(r.key, r.value) for r in await reader.read(count, max_records=count)]
