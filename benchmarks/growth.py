"""Growth: what a record costs where there are more records, partitions, bindings or keys.

The baseline of each table is its smallest case: 1.00 all the way down is flat. And memory: what a
process holds on its way through ten million records.

    python -m benchmarks.growth [--rounds 3] [--quick]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks import report
from benchmarks.common import (
    ROOT,
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
from benchmarks.contenders.functions import Tally, double
from slipcore import App, Out, Record
from slipcore.config import Config

RECORDS: Final = 200_000
STEADY: Final = 10_000_000
TOGETHER: Final = 10_000


def run(settings: Settings) -> list[Table]:
    """A table for each thing that grows, and of memory."""
    rounds, records = settings.turns(3, quick=2), settings.size(RECORDS, quick=50_000)
    most = settings.size(STEADY, quick=300_000)
    counts = [10**n for n in range(4, 8) if 10**n <= most] or [most]
    keys = [n for n in (10, 1000, 100_000, 1_000_000) if n <= most // 10] or [10]
    with ExitStack() as folders:
        stores = {
            n: Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="slipcore-bench-")))
            for n in keys
        }
        return [
            _table("records", "records from an AsyncIterable", counts, of_records, rounds),
            _table(
                "partitions",
                "partitions of a topic in memory",
                [1, 10, 100],
                partial(of_partitions, records),
                rounds,
            ),
            _table(
                "bindings",
                "bindings, each with a topic in memory",
                [1, 10, 100],
                partial(of_bindings, records),
                rounds,
                remark="They share the records: starting and stopping them is part of the cost.",
            ),
            _table(
                "keys",
                "keys in RocksDB, counted by a handler",
                keys,
                partial(of_keys, records, stores),
                rounds,
            ),
            _memory(most, rounds),
        ]


def _table(
    name: str,
    what: str,
    points: list[int],
    cost: Callable[[int], float],
    rounds: int,
    remark: str = "",
) -> Table:
    names = {point: f"slipcore, {point:,} {name}" for point in points}
    contenders: dict[str, Contender] = {names[point]: partial(cost, point) for point in points}
    taken = alternate(contenders, rounds, what=f"growth, {name}")
    title = f"Growth: {what}"
    first = names[points[0]]
    return compared(f"growth.{name}", title, "ns/record", taken, baseline=first, remark=remark)


async def cycling(records: int) -> AsyncIterator[Record]:
    """So many records without holding them: a thousand of them again and again."""
    some = [Record(b"value", None, "numbers", 0, offset) for offset in range(1000)]
    whole, rest = divmod(records, len(some))
    for _ in range(whole):
        for record in some:
            yield record
    for record in some[:rest]:
        yield record


def of_records(records: int) -> float:
    """Nanoseconds per record of so many."""
    tally, app = Tally(), App("bench", config=own_config())

    async def stream() -> float:
        app.handle(cycling(records), sink=[tally.sink])(double)
        began = perf_counter()
        await app.stream()
        return perf_counter() - began

    seconds = asyncio.run(stream())
    _check(tally.count, records)
    return seconds / records * 1e9


def of_partitions(records: int, partitions: int) -> float:
    """Nanoseconds per record of a topic of so many partitions."""
    return _from_topics(records, [partitions])


def of_bindings(records: int, bindings: int) -> float:
    """Nanoseconds per record where as many bindings share the records."""
    return _from_topics(records, [1] * bindings)


def _from_topics(records: int, partitions: list[int]) -> float:
    app, tally = App("bench", config=own_config()), Tally()
    each = max(1, records // len(partitions))

    async def stream() -> float:
        for number, count in enumerate(partitions):
            conf = {"partitions": count}
            topic = app.topic(f"numbers-{number}", conf, codec="raw", backend="memory")
            app.handle(topic, name=f"handler-{number}", sink=[tally.sink])(double)
            await _fill(topic, each, count)
        began = perf_counter()
        running = asyncio.ensure_future(app.stream())
        while tally.count < each * len(partitions) and not running.done():
            await asyncio.sleep(0)
        app.stop()
        await running
        return perf_counter() - began

    try:
        seconds = asyncio.run(stream())
    finally:
        app.close()
    _check(tally.count, each * len(partitions))
    return seconds / tally.count * 1e9


async def _fill(topic: Any, records: int, partitions: int) -> None:
    async with topic.make() as filling:
        for number in range(records):
            waiting = filling.send(Out(b"value", partition=number % partitions))
            if waiting is not None:
                await waiting
        await filling.flush()


def of_keys(records: int, stores: dict[int, Path], keys: int) -> float:
    """Nanoseconds per record of a handler that counts on a store of so many keys."""
    app = App("bench", config=Config(stores[keys]))
    cache = app.cache("counts", backend="rocks")
    if cache.get(b"k%07d" % 0) is None:
        for first in range(0, keys, TOGETHER):
            with cache.transaction():
                for number in range(first, min(keys, first + TOGETHER)):
                    cache.put(b"k%07d" % number, 0)

    def count(record: Record) -> None:
        key = b"k%07d" % (record.offset * 7919 % keys)
        cache.put(key, cache.get(key) + 1)
        if record.offset == records - 1:
            app.stop()

    async def stream() -> float:
        topic = app.topic("numbers", codec="raw", backend="memory")
        await _fill(topic, records, 1)
        app.handle(topic, name="count")(count)
        began = perf_counter()
        await app.stream()
        return perf_counter() - began

    try:
        seconds = asyncio.run(stream())
        _check(cache.get(b"k%07d" % 0) > 0, True)
    finally:
        app.close()
    return seconds / records * 1e9


def _check(seen: int, right: int) -> None:
    if seen != right:
        raise WrongOutputError(f"{seen:,} came out, not {right:,}")


# --- memory -------------------------------------------------------------------------------------


def _memory(records: int, rounds: int) -> Table:
    contenders: dict[str, Contender] = {
        name: partial(held, who, records)
        for name, who in (
            ("by hand", "bare"),
            ("slipcore", "plain"),
            ("slipcore, with state", "state"),
        )
    }
    taken = alternate(contenders, min(2, rounds // 2 or 1), what="growth, memory", warm_up=False)
    return compared(
        "growth.memory",
        f"Memory on the way through {records:,} records",
        "MB at the end",
        taken,
        baseline="by hand",
        remark="The slope is that of a line through what is held at 10 %, 20 % ... 100 %.",
    )


def held(who: str, records: int) -> Turn:
    """Megabytes that a process holds at the end, and how they grew."""
    command = [sys.executable, "-m", "benchmarks.contenders.steady", who, str(records)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongOutputError(f"{who}: {done.stderr.strip()}")
    seen = [int(word) for word in done.stdout.split()]
    slope = slope_of(seen) / (records / 10) * 1_000_000
    return Turn(seen[-1] / 2**20, {"MB at 10 %": seen[0] / 2**20, "KB per million": slope / 1024})


def slope_of(heights: list[int]) -> float:
    """The slope of the line through heights at 1, 2, 3 ..., by least squares."""
    middle, height = (len(heights) + 1) / 2, sum(heights) / len(heights)
    places = range(1, len(heights) + 1)
    above = sum((x - middle) * (y - height) for x, y in zip(places, heights, strict=True))
    return above / sum((x - middle) ** 2 for x in places)


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
