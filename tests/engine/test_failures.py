"""What fails takes only itself along: records come again, and state stays exact."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slipcore import ISink, Out, Record
from slipcore.interfaces import ConnectError, SourceError, StateError

from .conftest import MakeApp, fill, run


class Boom(Exception):
    """What the handlers below fail with."""


def test_a_handler_that_raises_loses_no_record(make_app: MakeApp) -> None:
    """What was finished is committed; the record that failed is the first of the next run."""
    app = make_app()
    topic, seen = app.topic("in"), []
    fails = [True]

    @app.handle(topic)
    def handler(record: Record) -> None:
        if record.value == "3" and fails.pop():
            raise Boom("three")
        seen.append(record.value)
        if record.value == "5":
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(6)))
        with pytest.raises(Boom):
            await app.stream()
        fails.append(False)
        assert seen == ["0", "1", "2"]
        await app.stream()

    run(work())
    assert seen == ["0", "1", "2", "3", "4", "5"]


def test_a_failed_record_takes_its_writes_with_it(make_app: MakeApp) -> None:
    """Counting with state is exact across a failure after the write."""
    app = make_app()
    topic, cache = app.topic("in"), app.cache("count")
    fails = [False, True]

    @app.handle(topic)
    def handler(record: Record) -> None:
        cache["n"] = (cache["n"] or 0) + 1
        cache[record.value] = record.offset
        if record.value == "3" and fails.pop():
            raise Boom("three")
        if record.value == "5":
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(6)))
        with pytest.raises(Boom):
            await app.stream()
        assert (cache["n"], cache["3"]) == (3, None)
        await app.stream()

    run(work())
    assert cache["n"] == 6
    assert [cache[str(n)] for n in range(6)] == [0, 1, 2, 3, 4, 5]


def test_state_wins_over_the_groups_position(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the group knows less than the state, the state's position is where it goes on.

    Where it knows nothing, that is said: the topic may be another one of the same name.
    """
    app = make_app(commit=1000.0)
    topic, cache = app.topic("in"), app.cache("count")
    seen: list[int] = []
    fails = [False, True]

    @app.handle(topic)
    async def handler(record: Record) -> None:
        seen.append(record.offset)
        cache["n"] = (cache["n"] or 0) + 1
        if record.offset == 2 and fails.pop():
            raise Boom("two")
        if record.offset == 4:
            app.stop()

    async def forget(*_: Any) -> None:
        """A commit that is lost on its way."""

    async def work() -> None:
        await fill(topic, *((None, "x") for _ in range(5)))
        running = asyncio.ensure_future(app.stream())
        while not app.streams:
            await asyncio.sleep(0)
        app.streams[0].source.commit = forget  # type: ignore[attr-defined]  # a SourceStream, whose commits get lost
        with pytest.raises(Boom):
            await running
        await app.stream()

    run(work())
    assert seen == [0, 1, 2, 2, 3, 4]
    assert cache["n"] == 5
    assert "stands at offset 1, but its group has no position" in caplog.text


def test_two_sources_that_write_one_key_stay_exact(make_app: MakeApp) -> None:
    """A store never holds an effect of one source beyond the position of another."""
    app = make_app()
    first, second, cache = app.topic("a"), app.topic("b"), app.cache("count")
    fails = [False, True]

    @app.handle(first, second)
    async def handler(record: Record) -> None:
        async with cache.transaction("n"):
            cache["n"] = (cache["n"] or 0) + 1
        await asyncio.sleep(0)
        if record.topic == "b" and record.value == "7" and fails.pop():
            raise Boom("seven of b")
        if cache["n"] == 40:
            app.stop()

    async def work() -> None:
        for topic in (first, second):
            await fill(topic, *((None, str(n)) for n in range(20)))
        with pytest.raises(Boom):
            await app.stream()
        await app.stream()

    run(work())
    assert cache["n"] == 40


class Held(ISink):
    """Nothing is durable before it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    def send(self, output: Out) -> None:
        """It is on its way."""

    async def flush(self) -> None:
        await self.let_go.wait()


def test_state_built_on_what_is_not_durable_waits_for_it(make_app: MakeApp) -> None:
    """What one source wrote over another's pending write lands with that, not before."""
    app = make_app()
    first, second, cache, held = app.topic("a"), app.topic("b"), app.cache("count"), Held()

    def count(record: Record) -> str:
        cache["n"] = cache.get("n", 0) + 1
        return "counted"

    app.handle(first, sink=[held], name="first")(count)
    app.handle(second, name="second")(count)

    async def work() -> None:
        async with app:
            await first("x")
            while cache["n"] != 1:
                await asyncio.sleep(0.001)
            await second("y")
            while cache["n"] != 2:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            lanes = [stream.lanes[0] for stream in app.streams]
            assert [lane.finished for lane in lanes] == [{}, {}]
            held.let_go.set()
            while any(not lane.finished for lane in lanes):
                await asyncio.sleep(0.001)

    run(work())
    assert cache["n"] == 2


def test_what_was_built_on_a_failed_record_is_discarded_with_it(make_app: MakeApp) -> None:
    """Another source's count over the failed one's is not kept; both come again."""
    app = make_app()
    first, second, cache = app.topic("a"), app.topic("b"), app.cache("count")
    fails = [False, True]
    wrote = asyncio.Event()

    @app.handle(first, name="first")
    async def failing(record: Record) -> None:
        cache["n"] = cache.get("n", 0) + 1
        if fails.pop():
            while cache["n"] != 2:
                await asyncio.sleep(0.001)
            raise Boom("built on")
        await done()

    @app.handle(second, name="second")
    async def building(record: Record) -> None:
        while not cache["n"]:
            await asyncio.sleep(0.001)
        cache["n"] += 1
        wrote.set()
        await done()

    async def done() -> None:
        if not fails and cache["n"] == 2:
            app.stop()

    async def work() -> None:
        await first("x")
        await second("y")
        with pytest.raises(Boom):
            await app.stream()
        assert cache["n"] is None
        await app.stream()

    run(work())
    assert cache["n"] == 2


def test_an_iterables_failed_item_takes_its_writes_with_it(make_app: MakeApp) -> None:
    """What came before it stays."""
    app = make_app()
    cache = app.cache("count")

    async def numbers() -> Any:
        for n in range(5):
            yield n

    @app.handle(numbers())
    def handler(n: int) -> None:
        cache["n"] = n
        cache[f"k{n}"] = n
        if n == 3:
            raise Boom("three")

    with pytest.raises(Boom):
        run(app.stream())
    cache.close()
    assert list(cache.items()) == [("k0", 0), ("k1", 1), ("k2", 2), ("n", 2)]


def test_the_slowest_binding_of_a_source_holds_back_the_commit(make_app: MakeApp) -> None:
    """What it has not finished comes again, also for the others."""
    app = make_app()
    topic = app.topic("in")
    fast: list[int] = []
    slow: list[int] = []
    fails = [False, True]

    def done(by: list[int], record: Record) -> None:
        by.append(record.offset)
        if 4 in fast and 4 in slow:
            app.stop()

    app.handle(topic, name="fast")(lambda record: done(fast, record))

    @app.handle(topic, name="slow")
    async def handler(record: Record) -> None:
        if record.offset == 2 and fails.pop():
            raise Boom("two")
        done(slow, record)

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(5)))
        with pytest.raises(Boom):
            await app.stream()
        await app.stream()

    run(work())
    assert sorted(set(slow)) == [0, 1, 2, 3, 4]
    assert slow.count(2) == 1
    assert sorted(set(fast)) == [0, 1, 2, 3, 4]


def test_a_state_write_that_fails_loses_no_record(make_app: MakeApp) -> None:
    """Nothing of it is kept or committed; the records come again and the count is exact."""
    app = make_app()
    topic, counts = app.topic("in"), app.cache("counts")
    store = counts.open().store
    write, fails = store.awrite, [True]

    async def full(*args: Any) -> None:
        if fails:
            fails.clear()
            raise StateError("the disk is full")
        await write(*args)

    store.awrite = full  # type: ignore[method-assign, assignment]  # a full disk

    @app.handle(topic)
    def handler(record: Record) -> None:
        counts["n"] = counts.get("n", 0) + 1
        if record.offset == 4 and not fails:
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, "x") for _ in range(5)))
        with pytest.raises(StateError, match="full"):
            await app.stream()
        assert counts["n"] is None
        await app.stream()

    run(work())
    counts.close()
    assert counts["n"] == 5


def test_a_commit_that_fails_stops_the_app_and_repeats_at_most_what_was_not_committed(
    make_app: MakeApp,
) -> None:
    """State goes on where it stands, so nothing is counted twice."""
    app = make_app()
    topic, counts = app.topic("in"), app.cache("counts")
    fails = [False, True]

    @app.handle(topic)
    async def handler(record: Record) -> None:
        counts["n"] = counts.get("n", 0) + 1
        if record.offset == 4:
            if fails:
                await asyncio.sleep(0.2)
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, "x") for _ in range(5)))
        running = asyncio.ensure_future(app.stream())
        while not app.streams:
            await asyncio.sleep(0)
        source = app.streams[0].source  # type: ignore[attr-defined]  # it reads a topic
        commit = source.commit

        async def failing(*args: Any) -> None:
            if fails and fails.pop():
                raise SourceError("no quorum")
            await commit(*args)

        source.commit = failing
        with pytest.raises(SourceError, match="no quorum"):
            await running
        fails.clear()
        if counts["n"] < 5:
            await app.stream()

    run(work())
    assert counts["n"] == 5


def test_a_commit_that_does_not_get_through_is_tried_again(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server of a source is away the app goes on; then it commits what is finished."""
    app = make_app()
    topic = app.topic("in")
    seen: list[int] = []
    tries: list[Any] = []

    @app.handle(topic)
    def handler(record: Record) -> None:
        seen.append(record.offset)

    async def work() -> None:
        await fill(topic, *((None, "x") for _ in range(3)))
        running = asyncio.ensure_future(app.stream())
        while not app.streams:
            await asyncio.sleep(0)
        source = app.streams[0].source  # type: ignore[attr-defined]  # it reads a topic
        commit = source.commit

        async def unreachable(*args: Any) -> None:
            tries.append(args)
            if len(tries) < 3:
                raise ConnectError("no answer")
            await commit(*args)

        source.commit = unreachable
        while len(tries) < 3:
            await asyncio.sleep(0.01)
        app.stop()
        await running

    run(work())
    assert seen == [0, 1, 2]
    assert [positions for positions, _ in tries] == [{0: 2}] * 3
    assert "no answer" in caplog.text
