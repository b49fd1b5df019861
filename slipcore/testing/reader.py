"""A reader that does for a test what the engine does for an app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from itertools import count
from typing import Any, Protocol, Self, TypeVar
from uuid import uuid4

import pytest

from slipcore.interfaces import Assignment, ITopic, Out, Positions, Record

T = TypeVar("T")

_numbers = count()


class MakeTopic(Protocol):
    """Makes a topic object that is not open yet; all it makes share one backend.

    `settings` are those of `TopicOptions`, such as `auto_offset_reset`.
    """

    def __call__(self, name: str, group: str, partitions: int, **settings: Any) -> ITopic: ...


def unique(word: str) -> str:
    """A name that no other test uses, on a server that outlives them too."""
    return f"{word}-{uuid4().hex[:8]}-{next(_numbers)}"


class TopicSuite:
    """What the suites over topics share.

    Attributes:
        patience: seconds that anything which is to happen may take.
        silence: seconds after which what did not happen is taken not to happen.
    """

    patience: float = 10.0
    silence: float = 0.3

    @pytest.fixture
    def make_topic(self) -> MakeTopic:
        """To be given by the subclass."""
        raise NotImplementedError("a contract suite needs the fixture make_topic")

    @pytest.fixture
    def name(self) -> str:
        """The name of a topic that is not there yet."""
        return unique("topic")

    @pytest.fixture
    def group(self) -> str:
        """The name of a consumer group that has read nothing yet."""
        return unique("group")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a test's coroutine; one that hangs fails."""

        async def limited() -> T:
            async with asyncio.timeout(self.patience * 3):
                return await coroutine

        return asyncio.run(limited())

    def reader(self, topic: ITopic, **arguments: Any) -> Reader:
        """A reader with the patience of this suite."""
        return Reader(topic, patience=self.patience, **arguments)


class Reader:
    """Opens a topic, follows its assignments in the background and reads when it is asked to.

    Args:
        topic: what is read; not open yet.
        patience: seconds to wait for anything.
        positions: what is given to `accept`.

    Attributes:
        ready: while it is not set, no assignment is accepted.
        assignments: those that were given, accepted or not.
        held: the partitions it has.
        epoch: that of the last accepted assignment.
    """

    def __init__(
        self, topic: ITopic, *, patience: float = 10.0, positions: Positions | None = None
    ) -> None:
        self.topic = topic
        self.ready = asyncio.Event()
        self.ready.set()
        self.assignments: list[Assignment] = []
        self.held: set[int] = set()
        self.epoch = 0
        self._patience = patience
        self._positions = positions or {}
        self._accepted = 0
        self._changed = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.topic.open()
        self._follower = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._follower is not None
        self._follower.cancel()
        try:
            with suppress(asyncio.CancelledError):
                await self._follower
        finally:
            await self.topic.close()

    async def _follow(self) -> None:
        while True:
            assignment = await self.topic.assignment()
            self.assignments.append(assignment)
            self._changed.set()
            await self.ready.wait()
            await self.topic.accept(assignment, self._positions)
            self.held |= assignment.added.keys()
            self.held -= assignment.removed
            self.epoch = assignment.epoch
            self._accepted += 1
            self._changed.set()

    async def until(self, happened: Callable[[Reader], bool]) -> None:
        """Wait until something is true of this reader; it is asked after each assignment."""
        assert self._follower is not None
        async with asyncio.timeout(self._patience):
            while not happened(self):
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait((changed, self._follower), return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if self._follower.done():
                    self._follower.result()

    async def joined(self) -> None:
        """Wait until the first assignment is accepted."""
        await self.until(lambda reader: reader._accepted > 0)

    async def holds(self, partitions: Iterable[int]) -> None:
        """Wait until it has these partitions and no other."""
        wanted = set(partitions)
        await self.until(lambda reader: reader.held == wanted)

    async def read(self, wanted: int, max_records: int = 100) -> list[Record]:
        """Read until there are this many records."""
        records: list[Record] = []
        async with asyncio.timeout(self._patience):
            while len(records) < wanted:
                some = await self.topic.read(min(max_records, wanted - len(records)))
                assert some, "the topic has ended"
                records += some
        return records

    async def values(self, wanted: int) -> list[Any]:
        """Read until there are this many values."""
        return [record.value for record in await self.read(wanted)]

    async def silent(self, seconds: float) -> bool:
        """Whether nothing is there to be read for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.topic.read(100)
        except TimeoutError:
            return True
        return False

    async def commit(self, *records: Record) -> None:
        """Commit these records as finished, in the present epoch."""
        await self.topic.commit({r.partition: r.offset for r in records}, self.epoch)


async def send(topic: ITopic, *outputs: Out) -> None:
    """Send outputs, waiting where the topic asks for it, and flush."""
    for output in outputs:
        waiting: Awaitable[None] | None = topic.send(output)
        if waiting is not None:
            await waiting
    await topic.flush()


def numbered(start: int, stop: int, partition: int | None = 0) -> list[Out]:
    """Outputs whose values are numbers."""
    return [Out(b"%d" % n, partition=partition) for n in range(start, stop)]
