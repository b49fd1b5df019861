"""A reader that does for a test what the engine does for an app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import Any, Final, Protocol, Self, cast
from uuid import uuid4

from slipcore.interfaces import Assignment, ISink, ISource, ITopic, Out, Positions, Record

_numbers: Final = count()


class MakeTopic(Protocol):
    """Makes a topic object that is not open yet; all it makes share one backend.

    `settings` are those of `TopicOptions`, such as `auto_offset_reset`.
    """

    def __call__(self, name: str, group: str, partitions: int, **settings: Any) -> ITopic: ...


def unique(word: str) -> str:
    """A name that no other test uses, on a server that outlives them too."""
    return f"{word}-{uuid4().hex[:8]}-{next(_numbers)}"


class Reader:
    """Opens a source, follows its assignments in the background and reads when it is asked to.

    Args:
        source: what is read; not open yet.
        patience: seconds to wait for anything.
        positions: what is given to `accept`.
        value_of: what the tests compare of a record.

    Attributes:
        ready: while it is not set, no assignment is accepted.
        assignments: those that were given, accepted or not.
        held: the partitions it has.
        epoch: that of the last accepted assignment.
    """

    def __init__(
        self,
        source: ISource,
        *,
        patience: float = 30.0,
        positions: Positions | None = None,
        value_of: Callable[[Record], Any] = lambda record: record.value,
    ) -> None:
        self.source = source
        self.ready = asyncio.Event()
        self.ready.set()
        self.assignments: list[Assignment] = []
        self.held: set[int] = set()
        self.epoch = 0
        self._patience = patience
        self._positions = positions or {}
        self._value_of = value_of
        self._accepted = 0
        self._changed = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None

    @property
    def topic(self) -> ITopic:
        """The source, where it is a topic."""
        return cast("ITopic", self.source)

    async def __aenter__(self) -> Self:
        await self.source.open()
        self._follower = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._follower is not None
        self._follower.cancel()
        try:
            with suppress(asyncio.CancelledError):
                await self._follower
        finally:
            await self.source.close()

    async def _follow(self) -> None:
        while True:
            assignment = await self.source.assignment()
            self.assignments.append(assignment)
            self._changed.set()
            await self.ready.wait()
            await self.source.accept(assignment, self._positions)
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
        """Read until there are this many records, once there is an assignment."""
        await self.joined()
        records: list[Record] = []
        async with asyncio.timeout(self._patience):
            while len(records) < wanted:
                some = await self.source.read(min(max_records, wanted - len(records)))
                assert some, f"the source has ended after {len(records)} of {wanted} records"
                records += some
        return records

    async def values(self, wanted: int) -> list[Any]:
        """Read until there are this many values."""
        return [self._value_of(record) for record in await self.read(wanted)]

    async def silent(self, seconds: float) -> bool:
        """Whether nothing is there to be read for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.source.read(100)
        except TimeoutError:
            return True
        return False

    async def commit(self, *records: Record) -> None:
        """Commit these records as finished, in the present epoch."""
        await self.source.commit({r.partition: r.offset for r in records}, self.epoch)


async def send(sink: ISink, *outputs: Out) -> None:
    """Send outputs, waiting where the sink asks for it, and flush."""
    for output in outputs:
        waiting: Awaitable[None] | None = sink.send(output)
        if waiting is not None:
            await waiting
    await sink.flush()


def numbered(start: int, stop: int, partition: int | None = 0) -> list[Out]:
    """Outputs whose values are numbers."""
    return [Out(b"%d" % n, partition=partition) for n in range(start, stop)]
