"""Cancelled at any await, a run lets go of everything and loses nothing."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import pytest

from slipcore import Record
from slipcore.interfaces import (
    Assignment,
    Capability,
    DeadlineError,
    ISource,
    SourceError,
)

from .conftest import MakeApp, fill, run

RECORDS = 12


@pytest.mark.parametrize("steps", range(0, 60, 3))
def test_a_run_cancelled_anywhere_can_be_run_again(make_app: MakeApp, steps: int) -> None:
    """No task is left behind, no record is lost, and the count is exact."""
    app = make_app(commit=0.001)
    source, sink, counts = app.topic("in"), app.topic("out"), app.cache("counts")

    @app.handle(source, sink=[sink])
    async def handler(record: Record) -> tuple[str, str]:
        await asyncio.sleep(0)
        counts["n"] = counts.get("n", 0) + 1
        if record.offset == RECORDS - 1:
            app.stop()
        return record.key, record.value

    async def work() -> list[str]:
        await fill(source, *((f"k{n}", str(n)) for n in range(RECORDS)))
        before = asyncio.all_tasks()
        running = asyncio.ensure_future(app.stream())
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        while any("to_thread" in repr(t) for t in asyncio.all_tasks() - before):
            await asyncio.sleep(0.001)
        assert asyncio.all_tasks() == before
        if counts.get("n", 0) < RECORDS:
            await app.stream()
        got: list[str] = []
        async for record in app.topic("out", {"group_id": "reader"}):
            got.append(record.value)
            if len(set(got)) == RECORDS:
                break
        return got

    assert set(run(work())) == {str(n) for n in range(RECORDS)}
    assert counts["n"] == RECORDS


def test_a_start_that_is_cancelled_twice_leaves_no_task(make_app: MakeApp) -> None:
    """The second time while what was being opened is cut."""
    app = make_app()
    begun, cut, ends = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(ISource):
        async def open(self) -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                cut.set()
                await ends.wait()

        async def read(self, max_records: int) -> list[Record]:
            return []

    app.handle(Slow())(print)

    async def work() -> None:
        before = asyncio.all_tasks()
        running = asyncio.ensure_future(app.stream())
        await begun.wait()
        running.cancel()
        await cut.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        ends.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run(work())


def test_a_run_cancelled_while_it_waits_for_its_partitions_says_nothing(
    make_app: MakeApp,
) -> None:
    """Nothing is left whose error nobody has asked for."""
    app = make_app()
    asked = asyncio.Event()

    class Unassigned(ISource):
        capabilities = frozenset({Capability.PARTITIONS, Capability.COMMIT})

        async def assignment(self) -> Assignment:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def read(self, max_records: int) -> list[Record]:
            return []

    app.handle(Unassigned())(print)

    async def work() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        running = asyncio.ensure_future(app.stream())
        await asked.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(0.01)
        del running  # its error knows all that was there when it was raised
        gc.collect()
        assert complaints == []

    run(work())


def test_a_handler_that_never_ends_is_abandoned_at_the_deadline(make_app: MakeApp) -> None:
    """What was finished is committed; what the record in hand wrote is not kept."""
    app = make_app(stop=0.1, close=0.2)
    topic, counts = app.topic("in"), app.cache("counts")
    hangs = [False, True]

    @app.handle(topic)
    async def handler(record: Record) -> None:
        counts["n"] = counts.get("n", 0) + 1
        if record.offset == 2 and hangs.pop():
            app.stop()
            await asyncio.sleep(3600)
        if record.offset == 4:
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, "x") for _ in range(5)))
        with pytest.raises(DeadlineError, match="still in hand"):
            await app.stream()
        assert counts["n"] == 2
        await app.stream()

    run(work())
    assert counts["n"] == 5


def test_a_hundred_starts_and_stops_leave_nothing(make_app: MakeApp) -> None:
    """No task, no open file."""
    app = make_app()
    topic = app.topic("in")
    app.handle(topic)(lambda record: app.stop())

    async def work() -> tuple[int, int]:
        await topic("x")
        await app.stream()
        gc.collect()
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        for _ in range(100):
            await topic("x")
            await app.stream()
        return len(asyncio.all_tasks()) - tasks, len(os.listdir("/proc/self/fd")) - files

    assert run(work()) == (0, 0)


def test_a_cancellation_while_it_closes_leaves_nothing_open(make_app: MakeApp) -> None:
    """What was opened is closed to its end before the cancellation is raised."""
    app = make_app()
    closing, seen = asyncio.Event(), []

    class Slow(ISource):
        async def read(self, max_records: int) -> list[Record]:
            raise SourceError("broken")

        async def close(self) -> None:
            closing.set()
            await asyncio.sleep(0.1)
            seen.append("closed")

    app.handle(Slow())(print)

    async def work() -> None:
        running = asyncio.ensure_future(app.stream())
        await closing.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert seen == ["closed"]

    run(work())
