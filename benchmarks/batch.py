"""A handler of lists beside one of records: the same vectorisable job, in one run.

    python benchmarks/batch.py [--records 200000] [--rounds 7] [--json]

Trips of cabs come as packed numbers; how far each went is a dozen operations of arithmetic, and
the kilometres of the long ones are added up by cab. Every contender takes its turn in every round;
a figure is the median over the rounds of how many times as fast it was as the handler of records
in the same round. The sums are checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import platform
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from functools import lru_cache
from pathlib import Path
from random import Random
from statistics import median
from struct import Struct
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from slipcore import App, Out, Record
from slipcore.config import Config
from slipcore.plugins import Plugins

CABS = 50
LONG = 50.0
"""Kilometres from which a trip counts."""

PACKED = Struct("<q4d")
COLUMNS = np.dtype(
    [("cab", "<i8"), *((name, "<f8") for name in ("lat", "lon", "to_lat", "to_lon"))]
)
DIAMETER = 12_742.0
"""Of the earth, in kilometres."""

Contender = Callable[["Tally", int], Coroutine[Any, Any, float]]
"""Handles that many records and returns the seconds it took, start and stop included."""


class Tally:
    """Kilometres by cab."""

    def __init__(self) -> None:
        self.kilometres = dict.fromkeys(range(CABS), 0.0)

    def add(self, pair: tuple[int, float]) -> None:
        self.kilometres[pair[0]] += pair[1]


@lru_cache(maxsize=1)
def prepared(n: int) -> list[bytes]:
    chance = Random(7)
    return [
        PACKED.pack(i % CABS, *(place + chance.random() for place in (52, 4, 52, 4)))
        for i in range(n)
    ]


@lru_cache(maxsize=1)
def surroundings() -> tuple[Config, Plugins]:
    """What is installed is looked for once, as by an app that runs for long."""
    config = Config.load(cwd=Path(tempfile.gettempdir()), environ={})
    return config, Plugins.of(config)


# --- the job ------------------------------------------------------------------------------


def of_record(record: Record) -> tuple[int, float] | None:
    """One trip, as one writes it without anything else in mind."""
    cab, lat, lon, to_lat, to_lon = PACKED.unpack(record.value)
    south, north = math.radians(lat), math.radians(to_lat)
    height = math.sin((north - south) / 2) ** 2
    width = math.sin(math.radians(to_lon - lon) / 2) ** 2
    kilometres = DIAMETER * math.asin(math.sqrt(height + math.cos(south) * math.cos(north) * width))
    return (cab, kilometres) if kilometres > LONG else None


def by_numpy(records: list[Record]) -> Iterable[tuple[int, float]]:
    """All trips of a read as columns, in NumPy."""
    trips = np.frombuffer(b"".join([record.value for record in records]), COLUMNS)
    south, north = np.radians(trips["lat"]), np.radians(trips["to_lat"])
    height = np.sin((north - south) / 2) ** 2
    width = np.sin(np.radians(trips["to_lon"] - trips["lon"]) / 2) ** 2
    kilometres = DIAMETER * np.arcsin(np.sqrt(height + np.cos(south) * np.cos(north) * width))
    far = kilometres > LONG
    sums = np.bincount(trips["cab"][far], kilometres[far], CABS)
    return enumerate(sums.tolist())


def by_polars(records: list[Record]) -> Iterable[tuple[int, float]]:
    """All trips of a read as a data frame, in Polars."""
    trips = pl.DataFrame(np.frombuffer(b"".join([record.value for record in records]), COLUMNS))
    south, north = pl.col("lat").radians(), pl.col("to_lat").radians()
    height = ((north - south) / 2).sin() ** 2
    width = ((pl.col("to_lon") - pl.col("lon")).radians() / 2).sin() ** 2
    kilometres = DIAMETER * (height + south.cos() * north.cos() * width).sqrt().arcsin()
    far = trips.select("cab", kilometres=kilometres).filter(pl.col("kilometres") > LONG)
    return far.group_by("cab").agg(pl.col("kilometres").sum()).iter_rows()


# --- the contenders -----------------------------------------------------------------------


async def records_of(values: list[bytes]) -> AsyncIterator[Record]:
    for offset, value in enumerate(values):
        yield Record(value, None, "trips", 0, offset)


async def bare(tally: Tally, n: int) -> float:
    """The loop one would write."""
    source, add = records_of(prepared(n)), tally.add
    began = perf_counter()
    async for record in source:
        result = of_record(record)
        if result is not None:
            add(result)
    return perf_counter() - began


def from_topic(handler: Callable[[Any], Any], *, batch: bool) -> Contender:
    """A handler of a topic in memory that holds all the trips."""

    async def contender(tally: Tally, n: int) -> float:
        config, plugins = surroundings()
        app = App("bench", config=config, plugins=plugins)
        topic = app.topic("trips", codec="raw", backend="memory")
        async with topic.make() as filling:
            for value in prepared(n):
                waiting = filling.send(Out(value))
                if waiting is not None:
                    await waiting
            await filling.flush()
        app.handle(topic, sink=[tally.add], batch=batch)(handler)
        began = perf_counter()
        running = asyncio.ensure_future(app.stream())
        while sum(lane.handled_records for stream in app.streams for lane in stream.lanes) < n:
            await asyncio.sleep(0)
        app.stop()
        await running
        took = perf_counter() - began
        app.close()
        return took

    return contender


CONTENDERS: dict[str, Contender] = {
    "record handler": from_topic(of_record, batch=False),
    "record by record, bare async for": bare,
    "batch handler, NumPy": from_topic(by_numpy, batch=True),
    "batch handler, Polars": from_topic(by_polars, batch=True),
}


def measure(records: int, rounds: int) -> dict[str, list[float]]:
    """Contender -> nanoseconds per record of each round.

    Raises:
        AssertionError: a contender lost or changed something.
    """
    expected = Tally()
    asyncio.run(bare(expected, records))
    taken: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for round_ in range(rounds + 1):
        for name, contender in CONTENDERS.items():
            tally = Tally()
            seconds = asyncio.run(contender(tally, records))
            for cab, kilometres in expected.kilometres.items():
                if not math.isclose(tally.kilometres[cab], kilometres, rel_tol=1e-9):
                    raise AssertionError(f"{name}: {tally.kilometres[cab]} km of cab {cab}")
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
    rows = []
    for name, figures in taken.items():
        ratios = sorted(
            theirs / mine for mine, theirs in zip(figures, taken["record handler"], strict=True)
        )
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
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}; "
        f"NumPy {np.__version__}, Polars {pl.__version__}"
    )
    if arguments.json:
        print(json.dumps({"machine": machine, "records": arguments.records, "rows": rows}))
        return
    print(f"{machine}; {arguments.records} records, {arguments.rounds} rounds; median (range)")
    print(f"{'':<34} {'ns/record':>9}  times as fast as the record handler")
    for row in rows:
        print(
            f"{row['contender']:<34} {row['ns_per_record']:>9}  {row['ratio']:.2f} x"
            f" ({row['ratio_min']:.2f} .. {row['ratio_max']:.2f})"
        )


if __name__ == "__main__":
    main()
