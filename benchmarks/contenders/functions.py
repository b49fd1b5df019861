"""The handlers and sinks that all contenders of the engine's benchmark run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any


class Tally:
    """What came out: how many, and a checksum."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0

    def sink(self, value: int) -> None:
        """Take a result."""
        self.count += 1
        self.total += value

    async def sink_async(self, value: int) -> None:
        """Take a result in a coroutine that never waits."""
        self.count += 1
        self.total += value

    def handle(self, record: Any) -> None:
        """Be the handler and its sink at once."""
        self.count += 1
        self.total += record.offset * 2


def double(record: Any) -> int:
    """A plain handler."""
    return record.offset * 2  # type: ignore[no-any-return]  # a check of the type would be measured too


def double_again(record: Any) -> int:
    """Another one, for a second binding."""
    return record.offset * 2  # type: ignore[no-any-return]  # a check of the type would be measured too


async def double_async(record: Any) -> int:
    """A handler that is a coroutine and never waits."""
    return record.offset * 2  # type: ignore[no-any-return]  # a check of the type would be measured too


def halves(record: Any) -> Iterator[int]:
    """A generator of two results."""
    yield record.offset
    yield record.offset


async def halves_async(record: Any) -> AsyncIterator[int]:
    """An async generator of two results."""
    yield record.offset
    yield record.offset


def double_batch(records: Sequence[Any]) -> list[int]:
    """A handler of whole batches."""
    return [record.offset * 2 for record in records]


async def through(stream: Any) -> AsyncIterator[Any]:
    """A pipe that changes nothing."""
    async for record in stream:
        yield record


async def each(records: Sequence[Any]) -> AsyncIterator[Any]:
    """A source that never waits."""
    for record in records:
        yield record
