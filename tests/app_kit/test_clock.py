"""The clock of an `AppTest` stands still until it is told to go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from slipcore import App, Record
from slipcore.clock import now
from slipcore.testing import AppTest


class TestClock:
    """The clock moves when the test says so."""

    def test_a_timer(self, app: App) -> None:
        """A source that waits goes on when its time has come, at its time."""
        times: list[float] = []

        async def timer() -> AsyncIterator[None]:
            while True:
                await asyncio.sleep(60)
                yield

        app.handle(timer())(lambda _: times.append(now()))
        with AppTest(app, now=datetime(2025, 6, 1, tzinfo=UTC)) as test:
            began = time.monotonic()
            test.run()
            assert times == []
            test.advance(59.9)
            assert times == []
            test.advance(0.1)
            test.advance(3600)
            assert time.monotonic() - began < 5
            start = datetime(2025, 6, 1, tzinfo=UTC)
            assert times == [(start + timedelta(minutes=n)).timestamp() for n in range(1, 62)]
            assert test.now == start + timedelta(minutes=61)

    def test_back_off_takes_no_time(self, app: App) -> None:
        """A handler that waits between its tries is run to its end; the clock shows how long."""
        tries: list[int] = []

        async def insist(record: Record) -> str:
            for n in range(5):
                tries.append(n)
                if n < 4:
                    await asyncio.sleep(2**n * 60)
            return "done"

        app.handle(app.topic("in"), sink=[app.topic("out")])(insist)
        with AppTest(app) as test:
            test.send("in", "a")
            test.run()
            assert test.sent("out") == [(None, "done")]
            assert test.now == datetime(2025, 1, 1, 0, 15, tzinfo=UTC)
        assert tries == [0, 1, 2, 3, 4]

    def test_time_passes_while_a_record_is_in_hand(self, app: App) -> None:
        """`advance` goes exactly so far, and leaves in hand what takes longer."""
        seen: list[str] = []

        async def slowly(record: Record) -> None:
            await asyncio.sleep(100)
            seen.append(record.value)

        async def late() -> AsyncIterator[str]:
            await asyncio.sleep(10)
            yield "late"

        app.handle(late(), sink=[app.topic("in")])(lambda item: item)
        app.handle(app.topic("in"))(slowly)
        with AppTest(app) as test:
            test.run()
            test.advance(60)
            assert (seen, test.now.minute) == ([], 1)
            test.advance(49)
            assert seen == []
            test.advance(1)
            assert seen == ["late"]

    def test_timers_end_in_their_order(self, app: App) -> None:
        """What sleeps side by side wakes up as it would in real time."""
        seen: list[str] = []

        async def every(seconds: float, name: str) -> AsyncIterator[str]:
            for _ in range(3):
                await asyncio.sleep(seconds)
                yield name

        app.handle(every(2, "a"), every(3, "b"))(lambda name: seen.append(name))
        with AppTest(app) as test:
            test.run()
            test.advance(100)
        assert seen == ["a", "b", "a", "a", "b", "b"] or seen == ["a", "b", "a", "b", "a", "b"]

    def test_records_carry_the_clock(self, words: App) -> None:
        """What is sent has the time that the clock shows."""
        with AppTest(words) as test:
            test.send("words", "be")
            test.advance(1.5)
            test.send("words", "to", timestamp=5)
            test.run()
            start = 1_735_689_600_000
            assert [r.timestamp for r in test.records("words")] == [start, 5]
            assert [r.timestamp for r in test.records("counted")] == [start + 1500] * 2

    def test_a_timeout_within_a_handler(self, app: App) -> None:
        """A timeout comes when nothing else can, without waiting for it."""

        async def impatient(record: Record) -> str:
            with suppress(TimeoutError):
                async with asyncio.timeout(3600):
                    await asyncio.get_running_loop().create_future()
            return "gave up"

        app.handle(app.topic("in"), sink=[app.topic("out")])(impatient)
        with AppTest(app) as test:
            test.send("in", "a")
            test.run()
            assert test.sent("out") == [(None, "gave up")]

    def test_long_times(self, app: App) -> None:
        """Years pass in a moment, and no timer is lost to rounding."""
        seen: list[float] = []

        async def yearly() -> AsyncIterator[None]:
            while True:
                await asyncio.sleep(365 * 86_400 + 0.1)
                yield

        app.handle(yearly())(lambda _: seen.append(now()))
        with AppTest(app) as test:
            test.run()
            test.advance(2 * 365 * 86_400 + 1)
        assert len(seen) == 2
