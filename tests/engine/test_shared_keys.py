"""Two sources that count in one key stay exact through failures, stops and cancellations."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from slipcore import App, Record

from .conftest import BETWEEN_APPS, MakeApp, run

RECORDS = 40


class Boom(Exception):
    """What handlers fail with at random."""


async def interrupt(app: App, after: float, cancel: bool) -> None:
    """Run for a moment, then stop or cancel, if it has not failed by itself."""
    running = asyncio.ensure_future(app.stream())
    await asyncio.wait([running], timeout=after)
    if not running.done():
        if cancel:
            running.cancel()
        else:
            app.stop()
    await asyncio.gather(running, return_exceptions=True)
    if not running.cancelled() and (error := running.exception()) is not None:
        assert isinstance(error, Boom)


@BETWEEN_APPS
@pytest.mark.parametrize("seed", range(16))
def test_a_key_that_two_sources_count_in_is_exact(make_app: MakeApp, seed: int) -> None:
    """After every interruption the count equals the number of records that were counted."""
    chance = random.Random(seed)
    app = make_app(commit=0.005)
    first, second = app.topic("a", {"partitions": 3}), app.topic("b", {"partitions": 2})
    counts, counted = app.cache("counts"), app.cache("counted")

    @app.handle(first, second)
    async def handler(record: Record) -> AsyncIterator[None]:
        async with counts.transaction("n"):
            counts["n"] = counts.get("n", 0) + 1
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.003)
        if chance.random() < 0.03:
            raise Boom
        counted[record.topic, record.value] = counted.get((record.topic, record.value), 0) + 1
        yield None

    async def work() -> None:
        for n in range(RECORDS):
            await first(f"k{n % 5}", str(n))
            await second(f"k{n % 4}", str(n))
        for _ in range(100):
            await interrupt(app, chance.random() * 0.1, cancel=chance.random() < 0.5)
            assert set(counted.values()) <= {1}
            assert counts.get("n", 0) == sum(1 for _ in counted.keys())
            if counts["n"] == 2 * RECORDS:
                return
        pytest.fail("it never came to its end")

    run(work())
