"""A process that dies between any two calls of its backends loses nothing and counts exactly."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from slipcore import App, Limits, Record
from slipcore.config import Config
from slipcore.interfaces import DeadlineError
from slipcore.plugins import Plugins

from .conftest import run
from .crashing import FUSE, Crash
from .plugin import plugin_from

RECORDS = 15


def make_app(directory: Path) -> App:
    environ = {"SLIP_DEFAULTS__TOPIC": "crashing", "SLIP_DEFAULTS__CACHE": "crashing"}
    # The stop of an app whose backends are dead takes all the time that it has.
    patience = 20.0 if FUSE.burns_at is None else 0.05
    return App(
        "crashes",
        config=Config.load(cwd=directory, environ=environ),
        plugins=Plugins(entry_points=[plugin_from("crashing", f"{__package__}.crashing")]),
        limits=Limits(commit=0.001, stop=patience, close=patience),
    )


async def attempt(directory: Path) -> None:
    """Count records per key, and send each on with its count, until the last one."""
    app = make_app(directory)
    source, sink, counts = app.topic("in"), app.topic("out"), app.cache("counts")

    @app.handle(source, sink=[sink], name="count")
    async def count(record: Record) -> tuple[str, str]:
        counts[record.key] = counts.get(record.key, 0) + 1
        if record.offset % 7 == 0:
            await asyncio.sleep(0.002)
        if record.offset == RECORDS - 1:
            app.stop()
        return record.key, f"{record.value} {counts[record.key]}"

    try:
        # Outputs are durable before the state that goes with them: all counted is all done.
        if sum(counts.values()) < RECORDS:
            await app.stream()
    finally:
        app.close()


async def fill(directory: Path) -> None:
    app = make_app(directory)
    topic = app.topic("in")
    for n in range(RECORDS):
        await topic(f"k{n % 3}", str(n))
    app.close()


async def outcome(directory: Path) -> tuple[list[str], dict[str, int]]:
    app = make_app(directory)
    out: list[str] = []
    async for record in app.topic("out", {"group_id": "checker"}):
        out.append(record.value)
        if record.value.split()[0] == str(RECORDS - 1):
            break
    counts = dict(app.cache("counts").items())
    app.close()
    return out, counts


def calls_of_a_whole_run(directory: Path) -> int:
    FUSE.arm(None)
    run(fill(directory))
    FUSE.arm(None)
    run(attempt(directory))
    return FUSE.calls


def check(directory: Path) -> None:
    FUSE.arm(None)
    out, counts = run(outcome(directory))
    assert counts == {"k0": 5, "k1": 5, "k2": 5}
    expected = {f"{n} {n // 3 + 1}" for n in range(RECORDS)}
    assert set(out) == expected, Counter(out)


def test_no_crash_point_loses_a_record_or_counts_one_twice(tmp_path: Path) -> None:
    """Dead before or after each backend call of a run, then started again: outputs complete,
    counts exact.
    """
    total = calls_of_a_whole_run(tmp_path / "whole")
    check(tmp_path / "whole")
    assert total > 25
    for at in range(1, total + 1):
        for before in (True, False):
            directory = tmp_path / f"{at}-{before}"
            FUSE.arm(None)
            run(fill(directory))
            FUSE.arm(at, before)
            try:
                run(attempt(directory))
            except (Crash, DeadlineError):
                FUSE.arm(None)
                run(attempt(directory))
            check(directory)


def test_crash_after_crash_stays_exact(tmp_path: Path) -> None:
    """Several crashes in a row, at random calls."""
    seed = random.randrange(sys.maxsize)
    chance = random.Random(seed)
    for round_ in range(25):
        directory = tmp_path / str(round_)
        FUSE.arm(None)
        run(fill(directory))
        for _ in range(100):
            FUSE.arm(chance.randrange(3, 60), chance.random() < 0.5)
            try:
                run(attempt(directory))
            except (Crash, DeadlineError):
                continue
            break
        else:
            pytest.fail(f"never came to its end; seed {seed}")
        check(directory)
