"""What is finished, what comes again, and that state is never beyond its position."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slipcore import ISink, Out, Record
from slipcore.engine.sources import SourceStream
from slipcore.interfaces import SinkError

from .conftest import BETWEEN_APPS, MakeApp, fill, run


class Boom(Exception):
    """What the handlers below fail with."""


async def read_all(topic: Any, count: int) -> list[Record]:
    """The first records of a topic, for a reader of its own."""
    got: list[Record] = []
    async for record in topic:
        got.append(record)
        if len(got) == count:
            return got
    return got


def test_records_go_from_topic_to_topic(make_app: MakeApp) -> None:
    """Key, value, headers and timestamp arrive as they were sent."""
    app = make_app()
    source, sink = app.topic("in"), app.topic("out")

    @app.handle(source, sink=[sink])
    def handler(record: Record) -> Out:
        if record.offset == 1:
            app.stop()
        return Out(f"{record.value}!", record.key, record.headers, record.timestamp)

    async def work() -> list[Record]:
        await source("a", "one", headers=[("h", b"1")], timestamp=1000)
        await source("b", "two", timestamp=2000)
        await app.stream()
        return await read_all(app.topic("out", {"group_id": "reader"}), 2)

    got = [(r.key, r.value, r.headers, r.timestamp) for r in run(work())]
    assert got == [("a", "one!", (("h", b"1"),), 1000), ("b", "two!", (), 2000)]


@BETWEEN_APPS
def test_an_orderly_stop_repeats_nothing(make_app: MakeApp) -> None:
    """Stopped in the middle of a batch, the next start goes on with the next record."""
    seen: list[str] = []

    async def part(stop_at: str) -> None:
        app = make_app()
        topic = app.topic("in")

        @app.handle(topic)
        def handler(record: Record) -> None:
            seen.append(record.value)
            if record.value == stop_at:
                app.stop()

        if stop_at == "3":
            await fill(topic, *((None, str(n)) for n in range(10)))
        await app.stream()

    run(part("3"))
    run(part("9"))
    assert seen == [str(n) for n in range(10)]


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


def test_state_wins_over_the_groups_position(make_app: MakeApp) -> None:
    """Where the group lags behind the state, the state's position is where it goes on."""
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
        app.streams[0].source.commit = forget  # type: ignore[attr-defined]
        with pytest.raises(Boom):
            await running
        await app.stream()

    run(work())
    assert seen == [0, 1, 2, 2, 3, 4]
    assert cache["n"] == 5


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


def test_a_sink_that_fails_loses_no_record(make_app: MakeApp) -> None:
    """A callable that raises: the record comes again, and state is as if it had not been."""
    app = make_app()
    topic, cache, got = app.topic("in"), app.cache("count"), []
    fails = [False, True]

    def sink(value: str) -> None:
        if value == "2" and fails.pop():
            raise Boom("sink")
        got.append(value)
        if value == "4":
            app.stop()

    @app.handle(topic, sink=[sink])
    def handler(record: Record) -> str:
        cache["n"] = (cache["n"] or 0) + 1
        value: str = record.value
        return value

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(5)))
        with pytest.raises(Boom):
            await app.stream()
        await app.stream()

    run(work())
    assert got == ["0", "1", "2", "3", "4"]
    assert cache["n"] == 5


def test_slow_handlers_are_committed_between_records(make_app: MakeApp) -> None:
    """A batch is cut at each commit: what is finished does not wait for its end."""
    app = make_app(commit=0.02)
    topic = app.topic("in")
    seen: list[int] = []

    @app.handle(topic)
    async def handler(record: Record) -> None:
        seen.append(record.offset)
        await asyncio.sleep(0.02)
        if record.offset == 9:
            raise Boom("the tenth")

    async def work() -> None:
        await fill(topic, *((None, "x") for _ in range(20)))
        with pytest.raises(Boom):
            await app.stream()

    committed: list[dict[int, int]] = []

    async def watch() -> None:
        task = asyncio.ensure_future(work())
        while not app.streams:
            await asyncio.sleep(0.001)
        stream = app.streams[0]
        while not task.done():
            committed.append(dict(stream._committed))  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
        await task

    run(watch())
    assert len({c.get(0) for c in committed}) > 3


def test_commits_go_out_by_count_too(make_app: MakeApp) -> None:
    """Long before their time, where that was asked for."""
    app = make_app(commit=1000.0, commit_records=3)
    topic, committed = app.topic("in"), []

    async def work() -> None:
        async with app:
            stream = app.streams[0]
            assert isinstance(stream, SourceStream)
            commit = stream.source.commit

            async def watched(positions: Any, epoch: int) -> None:
                committed.append(dict(positions))
                await commit(positions, epoch)

            stream.source.commit = watched  # type: ignore[method-assign]
            for n in range(4):
                await topic(str(n))
            while not committed:
                await asyncio.sleep(0.001)

    app.handle(topic)(lambda record: None)
    run(work())
    assert committed[0][0] >= 2


def test_pause_holds_records_and_loses_none(make_app: MakeApp) -> None:
    """A handler that pauses its own source is the last to run until resume."""
    app = make_app()
    topic, seen = app.topic("in"), []

    @app.handle(topic)
    def handler(record: Record) -> None:
        seen.append(record.value)
        if record.value == "2":
            app.pause(topic)
        if record.value == "5":
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(6)))
        running = asyncio.ensure_future(app.stream())
        await asyncio.sleep(0.15)
        assert seen == ["0", "1", "2"]
        app.resume(topic)
        await running

    run(work())
    assert seen == ["0", "1", "2", "3", "4", "5"]


def test_seek_inside_a_handler_goes_back_after_the_record_in_hand(make_app: MakeApp) -> None:
    """It does not wait for the handler it is called in."""
    app = make_app()
    topic, seen = app.topic("in"), []

    @app.handle(topic)
    async def handler(record: Record) -> None:
        seen.append(record.offset)
        if record.offset == 3 and seen.count(3) == 1:
            await topic.seek({0: 1})
        elif record.offset == 5:
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(6)))
        await app.stream()

    run(work())
    assert seen == [0, 1, 2, 3, 1, 2, 3, 4, 5]


def test_a_bare_loop_finishes_a_record_when_the_next_is_asked_for(make_app: MakeApp) -> None:
    """The record in hand when the loop is left comes again."""
    app = make_app()
    topic = app.topic("in")

    async def work() -> list[list[str]]:
        await fill(topic, *((None, str(n)) for n in range(5)))
        parts: list[list[str]] = []
        for stop_at in ("2", "4"):
            part: list[str] = []
            reader = aiter(topic)
            async for record in reader:
                part.append(record.value)
                if record.value == stop_at:
                    break
            await reader.aclose()  # type: ignore[attr-defined]  # it is an async generator
            parts.append(part)
        return parts

    assert run(work()) == [["0", "1", "2"], ["2", "3", "4"]]


def test_an_app_runs_inside_anyones_loop(make_app: MakeApp) -> None:
    """`async with app:` runs it beside the block and stops it in order at its end."""
    app = make_app()
    source = app.topic("in")
    got: list[str] = []

    @app.handle(source, sink=[got.append])
    def handler(record: Record) -> str:
        value: str = record.value
        return value

    async def work() -> None:
        async with app:
            await source("k", "v")
            while not got:
                await asyncio.sleep(0.005)

    run(work())
    assert got == ["v"]


def test_exit_hooks_run_in_order_and_one_that_fails_stops_no_other(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Sync and async ones."""
    app, seen = make_app(), []

    async def second() -> None:
        seen.append("second")

    def broken() -> None:
        raise Boom("hook")

    app.on_exit(lambda: seen.append("first"))
    app.on_exit(broken)
    app.on_exit(second)

    async def one() -> Any:
        yield 1

    app.handle(one())(lambda n: None)
    run(app.stream())
    assert seen == ["first", "second"]
    assert "Exit hook" in caplog.text


def test_a_returned_none_writes_nothing_to_a_topic(make_app: MakeApp) -> None:
    """A forgotten return must not delete a key."""
    app = make_app()
    source, sink = app.topic("in"), app.topic("out")

    @app.handle(source, sink=[sink])
    def handler(record: Record) -> tuple[str, str] | None:
        if record.offset == 0:
            return None
        app.stop()
        return record.key, record.value

    async def work() -> list[Record]:
        await fill(source, ("a", "one"), ("b", "two"))
        await app.stream()
        return await read_all(app.topic("out", {"group_id": "reader"}), 1)

    assert [(r.key, r.value) for r in run(work())] == [("b", "two")]


class Held(ISink):
    """Nothing is durable before it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    def send(self, output: Out) -> None:
        """It is on its way."""

    async def flush(self) -> None:
        await self.let_go.wait()


class FailingOnce(ISink):
    """The first flush fails, and lets go of all that was handed over."""

    def __init__(self) -> None:
        self.waiting: list[Out] = []
        self.durable: list[Out] = []
        self.fails = True
        self.one_at_a_time = asyncio.Lock()

    def send(self, output: Out) -> None:
        self.waiting.append(output)

    async def flush(self) -> None:
        async with self.one_at_a_time:
            if self.fails:
                await asyncio.sleep(0.02)
                self.fails = False
                lost, self.waiting = self.waiting, []
                raise SinkError("full", lost)
            self.durable += self.waiting
            self.waiting = []


def test_a_failed_flush_loses_nothing_of_the_others_that_share_the_sink(make_app: MakeApp) -> None:
    """What two bindings had handed over comes again for both."""
    app = make_app()
    first, second, sink = app.topic("a"), app.topic("b"), FailingOnce()
    app.handle(first, sink=[sink], name="first")(lambda record: record.value)

    @app.handle(second, sink=[sink], name="second")
    async def later(record: Record) -> Any:
        await asyncio.sleep(0.005)
        return record.value

    async def work() -> None:
        await first("x")
        await second("y")
        with pytest.raises(SinkError, match="full"):
            await app.stream()
        async with app:
            while {out.value for out in sink.durable} != {"x", "y"}:
                await asyncio.sleep(0.001)

    run(work())


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
    app.handle(topic, name="fast")(lambda record: fast.append(record.offset))

    @app.handle(topic, name="slow")
    async def handler(record: Record) -> None:
        if record.offset == 2 and fails.pop():
            raise Boom("two")
        slow.append(record.offset)
        if record.offset == 4:
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(5)))
        with pytest.raises(Boom):
            await app.stream()
        await app.stream()

    run(work())
    assert slow == [0, 1, 2, 3, 4]
    assert sorted(set(fast)) == [0, 1, 2, 3, 4]


def test_seek_moves_the_stored_position_too(make_app: MakeApp) -> None:
    """Also where the app stops before anything more is read."""
    app = make_app()
    topic, cache = app.topic("in"), app.cache("count")
    seen: list[int] = []

    @app.handle(topic)
    async def handler(record: Record) -> None:
        seen.append(record.offset)
        cache["n"] = record.offset
        if record.offset == 3 and seen.count(3) == 1:
            await topic.seek({0: 1})
            app.stop()
        if seen.count(3) == 2:
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(4)))
        await app.stream()
        await app.stream()

    run(work())
    assert seen == [0, 1, 2, 3, 1, 2, 3]
