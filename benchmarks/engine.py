"""The engine beside the loop one would write: the same plain handler and sink, in one run.

    python benchmarks/engine.py [--records 200000] [--rounds 7] [--json]

Every contender takes its turn in every round; a figure is the median over the rounds of the ratio
to the bare `async for` loop of the same round. What came out is checked by count and checksum.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import lru_cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from slipcore import App, Out, Record
from slipcore.config import Config

Contender = Callable[["Tally", int], Coroutine[Any, Any, float]]
"""Handles that many records and returns the seconds it took, start and stop included."""


class Tally:
    """What came out: how many, and a checksum."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0

    def sink(self, value: int) -> None:
        self.count += 1
        self.total += value


def double(record: Record) -> int:
    """The handler of every contender."""
    return record.offset * 2


@lru_cache(maxsize=1)
def prepared(n: int) -> list[Record]:
    return [Record(b"value", None, "numbers", 0, offset) for offset in range(n)]


async def records_of(prepared: list[Record]) -> AsyncIterator[Record]:
    for record in prepared:
        yield record


async def bare(tally: Tally, n: int) -> float:
    source, sink = records_of(prepared(n)), tally.sink
    began = perf_counter()
    async for record in source:
        sink(double(record))
    return perf_counter() - began


async def from_iterable(tally: Tally, n: int) -> float:
    app = App("bench", config=_config())
    app.handle(records_of(prepared(n)), sink=[tally.sink])(double)
    began = perf_counter()
    await app.stream()
    return perf_counter() - began


async def from_memory_topic(tally: Tally, n: int) -> float:
    """Records as bytes, as the topic keeps them: what the engine costs, and no codec."""
    return await _from_topic(tally, n, "raw")


async def from_memory_topic_as_text(tally: Tally, n: int) -> float:
    """The same with values decoded as text, which the bare loop does not do."""
    return await _from_topic(tally, n, "text")


async def _from_topic(tally: Tally, n: int, codec: str) -> float:
    app = App("bench", config=_config())
    topic = app.topic("numbers", codec=codec, backend="memory")
    async with topic.make() as filling:
        for _ in range(n):
            waiting = filling.send(Out(b"value" if codec == "raw" else "value"))
            if waiting is not None:
                await waiting
        await filling.flush()
    app.handle(topic, sink=[tally.sink])(double)
    began = perf_counter()
    running = asyncio.ensure_future(app.stream())
    while tally.count < n:
        await asyncio.sleep(0)
    app.stop()
    await running
    took = perf_counter() - began
    app.close()
    return took


def _config() -> Config:
    return Config.load(cwd=Path(tempfile.gettempdir()), environ={})


CONTENDERS: dict[str, Contender] = {
    "bare async for": bare,
    "from an AsyncIterable": from_iterable,
    "from the memory topic": from_memory_topic,
    "from the memory topic, decoding text": from_memory_topic_as_text,
}


def measure(records: int, rounds: int) -> dict[str, list[float]]:
    """Contender -> nanoseconds per record of each round.

    Raises:
        AssertionError: a contender lost or changed something.
    """
    taken: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for round_ in range(rounds + 1):
        for name, contender in CONTENDERS.items():
            tally = Tally()
            seconds = asyncio.run(contender(tally, records))
            if (tally.count, tally.total) != (records, records * (records - 1)):
                raise AssertionError(f"{name}: {tally.count} records, checksum {tally.total}")
            if round_:  # the first warms up
                taken[name].append(seconds / records * 1e9)
            print(f"\rround {round_}/{rounds}: {name:<40}", end="", file=sys.stderr)
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print figures for machines")
    arguments = parser.parse_args()
    taken = measure(arguments.records, arguments.rounds)
    floor = taken["bare async for"]
    rows = []
    for name, figures in taken.items():
        ratios = sorted(mine / bare for mine, bare in zip(figures, floor, strict=True))
        rows.append(
            {
                "contender": name,
                "ns_per_record": round(median(figures)),
                "ratio": round(median(ratios), 2),
                "ratio_min": round(ratios[0], 2),
                "ratio_max": round(ratios[-1], 2),
            }
        )
    machine = (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    )
    if arguments.json:
        print(json.dumps({"machine": machine, "records": arguments.records, "rows": rows}))
        return
    print(f"{machine}; {arguments.records} records, {arguments.rounds} rounds; median (range)")
    print(f"{'':<38} {'ns/record':>9}  beside the bare loop")
    for row in rows:
        print(
            f"{row['contender']:<38} {row['ns_per_record']:>9}  {row['ratio']:.2f} x"
            f" ({row['ratio_min']:.2f} .. {row['ratio_max']:.2f})"
        )


if __name__ == "__main__":
    main()
