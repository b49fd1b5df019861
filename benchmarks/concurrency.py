"""Records in hand side by side, beside the asyncio lanes one would write by hand.

The handler awaits for 10 ms. By hand: n tasks, each with an `asyncio.Queue` that records are put
in by their key. What came out is checked by count, by checksum and for the order of every key.

    python -m benchmarks.concurrency [--rounds 5] [--quick]
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, Final

from benchmarks import report
from benchmarks.common import (
    Contender,
    Settings,
    Table,
    Turn,
    WrongOutputError,
    alternate,
    compared,
    own_config,
    script,
)
from slipcore import App, Out, Record

BARE: Final = "asyncio lanes by hand"
AWAITED: Final = 0.01
"""Seconds that each record takes."""

SIZES: Final = (1, 10, 100, 1_000)
SECONDS: Final = 2.0
"""Of a turn, if nothing took any time but the waiting."""

Handled = Callable[["Tally", int, int], Coroutine[Any, Any, float]]
"""Handles so many records, so many side by side; returns the seconds it took."""


class Tally:
    """What came out: how many, a checksum, and the last of every key."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.last: dict[bytes, int] = {}

    def sink(self, output: tuple[bytes, int]) -> None:
        key, offset = output
        if self.last.get(key, -1) >= offset:
            raise WrongOutputError(f"{offset} of {key!r} came behind {self.last[key]}")
        self.last[key] = offset
        self.count += 1
        self.total += offset


async def handle(record: Record) -> tuple[bytes, int]:
    """The handler of every contender."""
    await asyncio.sleep(AWAITED)
    return record.key, record.offset


@lru_cache(maxsize=1)
def prepared(n: int, size: int) -> list[Record]:
    """Eight keys to a record in hand, in turn."""
    return [Record(b"value", b"%d" % (i % (size * 8)), "numbers", 0, i) for i in range(n)]


async def records_of(records: list[Record]) -> AsyncIterator[Record]:
    for record in records:
        yield record


async def by_hand(tally: Tally, n: int, size: int) -> float:
    queues = [asyncio.Queue[Record]() for _ in range(size)]

    async def lane(queue: asyncio.Queue[Record]) -> None:
        while True:
            record = await queue.get()
            tally.sink(await handle(record))
            queue.task_done()

    source = records_of(prepared(n, size))
    began = perf_counter()
    lanes = [asyncio.ensure_future(lane(queue)) for queue in queues]
    async for record in source:
        queues[int(record.key) % size].put_nowait(record)  # as even as a hash can be
    for queue in queues:
        await queue.join()
    took = perf_counter() - began
    for each in lanes:
        each.cancel()
    await asyncio.gather(*lanes, return_exceptions=True)
    return took


async def from_iterable(tally: Tally, n: int, size: int) -> float:
    app = App("bench", config=own_config())
    app.handle(records_of(prepared(n, size)), sink=[tally.sink], concurrency=size)(handle)
    began = perf_counter()
    await app.stream()
    return perf_counter() - began


async def from_memory_topic(tally: Tally, n: int, size: int) -> float:
    app = App("bench", config=own_config())
    topic = app.topic("numbers", codec="raw", backend="memory")
    async with topic.make() as filling:
        for record in prepared(n, size):
            waiting = filling.send(Out(record.value, record.key))
            if waiting is not None:
                await waiting
        await filling.flush()
    app.handle(topic, sink=[tally.sink], concurrency=size)(handle)
    began = perf_counter()
    running = asyncio.ensure_future(app.stream())
    while tally.count < n and not running.done():
        await asyncio.sleep(0.001)
    app.stop()
    await running
    took = perf_counter() - began
    app.close()
    return took


HANDLED: Final[dict[str, Handled]] = {
    BARE: by_hand,
    "slipcore, AsyncIterable": from_iterable,
    "slipcore, memory topic": from_memory_topic,
}


def turn(handled: Handled, n: int, size: int) -> Turn:
    """Records per second, with start and stop.

    Raises:
        WrongOutputError: something was lost, changed or overtaken.
    """
    tally = Tally()
    took = asyncio.run(handled(tally, n, size))
    if (tally.count, tally.total) != (n, n * (n - 1) // 2):
        raise WrongOutputError(f"{tally.count} of {n} came out, checksum {tally.total}")
    return Turn(n / took)


def run(settings: Settings) -> list[Table]:
    """A table for each number of records in hand."""
    return [_table(size, settings) for size in SIZES]


def _table(size: int, settings: Settings) -> Table:
    usual = int(SECONDS / AWAITED * size)
    n = settings.size(usual, quick=usual // 4)
    contenders: dict[str, Contender] = {
        name: partial(turn, handled, n, size) for name, handled in HANDLED.items()
    }
    taken = alternate(contenders, settings.turns(5), what=f"concurrency, {size}")
    return compared(
        f"concurrency.{size}",
        f"handler that awaits for 10 ms, {size} in hand at once",
        "records/s",
        taken,
        baseline=BARE,
        better="more",
    )


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
