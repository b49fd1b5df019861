"""`threads=n`: blocking handlers in threads, with caches, results and ends as anywhere else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from slipcore import Context, Record
from slipcore.interfaces import DeadlineError, StateError

from .conftest import MakeApp, fill, run


def drain(app: Any, topic: Any, total: int, seen: list[Any], results: int = 0) -> None:
    """Run the app until so many records were handled, or so many results seen."""

    async def work() -> None:
        await fill(topic, *((f"k{n % 4}", str(n)) for n in range(total)))
        running = asyncio.ensure_future(app.stream())
        while len(seen) < (results or total) and not running.done():
            await asyncio.sleep(0.001)
        app.stop()
        await running

    run(work())


def test_blocking_calls_overlap_and_the_loop_stays_free(make_app: MakeApp) -> None:
    """All four are at a barrier together, and the pool ends with the run."""
    app = make_app()
    topic = app.topic("in")
    barrier = threading.Barrier(4, timeout=10)
    seen: list[Any] = []

    @app.handle(topic, sink=[seen.append], threads=4)
    def handle(record: Record) -> str:
        barrier.wait()
        return threading.current_thread().name

    drain(app, topic, 8, seen)
    assert set(seen) <= {f"slip-{handle.__qualname__}-{n}" for n in range(4)}
    assert not [t for t in threading.enumerate() if t.name.startswith("slip-test")]


def test_state_from_threads_is_exact(make_app: MakeApp) -> None:
    """Reads, writes, deletes and scans are made in the event loop, with the record's generation."""
    app = make_app()
    topic, counts = app.topic("in"), app.cache("counts")
    seen: list[Any] = []

    @app.handle(topic, sink=[seen.append], threads=4)
    def count(record: Record) -> tuple[str, int]:
        counts["last", record.key] = record.offset
        del counts["last", record.key]
        assert ("last", record.key) not in counts
        assert record.key in [key for key, _ in counts.items()] or counts[record.key] is None
        counts[record.key] = counts.get(record.key, 0) + 1
        return record.key, counts[record.key]

    drain(app, topic, 40, seen)
    assert dict(counts.items()) == {f"k{n}": 10 for n in range(4)}
    for key in ("k0", "k1", "k2", "k3"):
        assert [n for k, n in seen if k == key] == list(range(1, 11))


def test_each_result_of_a_generator_reaches_the_sinks_before_it_goes_on(make_app: MakeApp) -> None:
    """Async sinks too; they run in the event loop."""
    app = make_app()
    topic = app.topic("in")
    seen: list[str] = []
    loop_thread = threading.get_ident()

    async def sink(value: str) -> None:
        assert threading.get_ident() == loop_thread
        await asyncio.sleep(0)
        seen.append(value)

    @app.handle(topic, sink=[sink], threads=2)
    def handle(record: Record) -> Iterator[str]:
        for part in "ab":
            yield f"{record.value}{part}"
            assert f"{record.value}{part}" in seen

    drain(app, topic, 4, seen, results=8)
    assert set(seen) == {f"{n}{part}" for n in range(4) for part in "ab"}


def test_context_is_the_records_own(make_app: MakeApp) -> None:
    """It goes with the record into its thread."""
    app = make_app()
    topic = app.topic("in")
    seen: list[bool] = []

    @app.handle(topic, sink=[seen.append], threads=3)
    def handle(record: Record, context: Context) -> bool:
        return context.record is record and context.attempt == 1

    drain(app, topic, 6, seen)
    assert seen == [True] * 6


def test_a_transaction_in_a_thread_is_refused(make_app: MakeApp) -> None:
    """With the way out."""
    app = make_app()
    topic, cache = app.topic("in"), app.cache("c")

    @app.handle(topic, threads=2)
    def handle(record: Record) -> None:
        with cache.transaction("k"):
            raise AssertionError

    with pytest.raises(StateError, match="make it `async def` with concurrency="):
        drain(app, topic, 1, [])


def test_an_error_in_a_thread_undoes_what_the_record_wrote(make_app: MakeApp) -> None:
    """As in the event loop."""
    app = make_app()
    topic, cache = app.topic("in"), app.cache("c")

    @app.handle(topic, threads=2)
    def handle(record: Record) -> None:
        cache[record.key] = 1
        if record.offset == 1:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        drain(app, topic, 2, [])
    assert dict(cache.items()) in ({"k0": 1}, {})


def test_a_thread_that_hangs_does_not_keep_the_app_from_ending(make_app: MakeApp) -> None:
    """The stop passes its deadline; what the thread writes afterwards reaches no store."""
    app = make_app(stop=0.1, close=0.1)
    topic, cache = app.topic("in"), app.cache("c")
    begun, go_on, refused = threading.Event(), threading.Event(), threading.Event()

    @app.handle(topic, threads=1, name="hangs")
    def handle(record: Record) -> None:
        begun.set()
        go_on.wait(10)
        try:
            cache["late"] = 1
        except StateError:
            refused.set()

    async def work() -> None:
        await fill(topic, ("k", "0"))
        running = asyncio.ensure_future(app.stream())
        while not begun.is_set():
            await asyncio.sleep(0.001)
        assert "test_threads.py" in _stack(app)
        app.stop()
        with pytest.raises(DeadlineError, match="still in hand in .*shop/hangs/"):
            await running
        go_on.set()
        while not refused.is_set():
            await asyncio.sleep(0.001)

    run(work())
    deadline = time.monotonic() + 10
    while any(t.name.startswith("slip-hangs") for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert dict(cache.items()) == {}


def _stack(app: Any) -> str:
    from slipcore.control.stacks import stack_of_lane

    return stack_of_lane(app.streams[0].lanes[0])
