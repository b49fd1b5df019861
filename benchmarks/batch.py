"""A handler of lists beside one of records: the same vectorisable job, in one run.

Trips of cabs come as packed numbers; how far each went is a dozen operations of arithmetic, and
the kilometres of the long ones are added up by cab. The sums are checked.

    python -m benchmarks.batch [--rounds 7] [--quick]
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from functools import lru_cache, partial
from random import Random
from struct import Struct
from time import perf_counter
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks import report
from benchmarks.common import (
    Contender,
    Settings,
    Table,
    WrongOutputError,
    alternate,
    compared,
    own_config,
    script,
)
from slipcore import App, Out, Record
from slipcore.config import Config
from slipcore.plugins import Plugins

RECORDS: Final = 200_000
BASELINE: Final = "slipcore, record handler"
CABS = 50
LONG = 50.0
"""Kilometres from which a trip counts."""

PACKED = Struct("<q4d")
COLUMNS = np.dtype(
    [("cab", "<i8"), *((name, "<f8") for name in ("lat", "lon", "to_lat", "to_lon"))]
)
DIAMETER = 12_742.0
"""Of the earth, in kilometres."""

Handled = Callable[["Tally", int], Coroutine[Any, Any, float]]
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
    config = own_config()
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


def from_topic(handler: Callable[[Any], Any], *, batch: bool) -> Handled:
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


HANDLED: Final[dict[str, Handled]] = {
    BASELINE: from_topic(of_record, batch=False),
    "record by record, bare async for": bare,
    "slipcore, batch handler, NumPy": from_topic(by_numpy, batch=True),
    "slipcore, batch handler, Polars": from_topic(by_polars, batch=True),
}


def turn(handled: Handled, expected: Tally, records: int) -> float:
    """Nanoseconds per record.

    Raises:
        WrongOutputError: a sum is not what it should be.
    """
    tally = Tally()
    seconds = asyncio.run(handled(tally, records))
    for cab, kilometres in expected.kilometres.items():
        if not math.isclose(tally.kilometres[cab], kilometres, rel_tol=1e-9):
            raise WrongOutputError(f"{tally.kilometres[cab]} km of cab {cab}, not {kilometres}")
    return seconds / records * 1e9


def run(settings: Settings) -> list[Table]:
    """One table: of the contenders."""
    records = settings.size(RECORDS, quick=50_000)
    expected = Tally()
    asyncio.run(bare(expected, records))
    contenders: dict[str, Contender] = {
        name: partial(turn, handled, expected, records) for name, handled in HANDLED.items()
    }
    taken = alternate(contenders, settings.turns(7), what="batch")
    return [
        compared(
            "batch.trips",
            "kilometres of trips, summed up by cab",
            "ns/record",
            taken,
            baseline=BASELINE,
        )
    ]


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
