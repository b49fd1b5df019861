"""Records in hand side by side, beside the asyncio lanes one would write by hand.

    python benchmarks/concurrency.py [--seconds 1.0] [--rounds 5] [--json]

The handler awaits for 10 ms. By hand: n tasks, each with an `asyncio.Queue` that records are put
in by the hash of their key. Every contender takes its turn in every round; a figure is the median
over the rounds of its throughput, as a ratio to that of the lanes by hand in the same round. What
came out is checked by count, by checksum and for the order of every key.
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
from typing import Any, Final

from slipcore import App, Out, Record
from slipcore.config import Config

AWAITED: Final = 0.01
"""Seconds that each record takes."""

SIZES: Final = (1, 10, 100, 1_000)

Contender = Callable[["Tally", int, int], Coroutine[Any, Any, float]]
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
            raise AssertionError(f"{offset} of {key!r} came behind {self.last[key]}")
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
    app = App("bench", config=_config())
    app.handle(records_of(prepared(n, size)), sink=[tally.sink], concurrency=size)(handle)
    began = perf_counter()
    await app.stream()
    return perf_counter() - began


async def from_memory_topic(tally: Tally, n: int, size: int) -> float:
    app = App("bench", config=_config())
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


def _config() -> Config:
    return Config.load(cwd=Path(tempfile.gettempdir()), environ={})


CONTENDERS: dict[str, Contender] = {
    "asyncio lanes by hand": by_hand,
    "from an AsyncIterable": from_iterable,
    "from the memory topic": from_memory_topic,
}


def measure(size: int, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Contender -> records per second of each round.

    Raises:
        AssertionError: a contender lost, changed or overtook something.
    """
    n = max(20, min(int(seconds / AWAITED * size), 200_000))
    reached: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for round_ in range(rounds + 1):
        for name, contender in CONTENDERS.items():
            tally = Tally()
            took = asyncio.run(contender(tally, n, size))
            if (tally.count, tally.total) != (n, n * (n - 1) // 2):
                raise AssertionError(f"{name}: {tally.count} of {n}, checksum {tally.total}")
            if round_:  # the first warms up
                reached[name].append(n / took)
            print(f"\r{size}: round {round_}/{rounds}: {name:<40}", end="", file=sys.stderr)
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of a contender's turn, about")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", action="store_true", help="print figures for machines")
    arguments = parser.parse_args()
    rows = []
    for size in arguments.sizes:
        reached = measure(size, arguments.seconds, arguments.rounds)
        floor = reached["asyncio lanes by hand"]
        for name, figures in reached.items():
            ratios = sorted(mine / bare for mine, bare in zip(figures, floor, strict=True))
            rows.append(
                {
                    "n": size,
                    "contender": name,
                    "records_per_second": round(median(figures)),
                    "ratio": round(median(ratios), 3),
                    "ratio_min": round(ratios[0], 3),
                    "ratio_max": round(ratios[-1], 3),
                }
            )
    machine = (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    )
    if arguments.json:
        print(json.dumps({"machine": machine, "rows": rows}))
        return
    print(f"{machine}; {arguments.rounds} rounds; throughput, median (range)")
    print(f"{'n':>5} {'':<28} {'records/s':>10}  beside lanes by hand")
    for row in rows:
        print(
            f"{row['n']:>5} {row['contender']:<28} {row['records_per_second']:>10}"
            f"  {row['ratio']:.3f} ({row['ratio_min']:.3f} .. {row['ratio_max']:.3f})"
        )


if __name__ == "__main__":
    main()
