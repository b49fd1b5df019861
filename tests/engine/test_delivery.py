"""What is finished and committed, and how a run is paused, moved and stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slipcore import Out, Record
from slipcore.engine.sources import SourceStream
from slipcore.interfaces import SourceError

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
            committed.append(dict(stream._committed))  # type: ignore[attr-defined]  # a SourceStream's
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

            stream.source.commit = watched  # type: ignore[method-assign]  # to see each call
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
        assert await app.streams[0].lag() == {0: 3}
        app.resume(topic)
        await running

    run(work())
    assert seen == ["0", "1", "2", "3", "4", "5"]


def test_seek_where_nothing_is_fails_where_it_is_called(make_app: MakeApp) -> None:
    """A partition that the topic lacks is an error of the call, which may go on after it."""
    app = make_app()
    topic, said = app.topic("in"), []

    @app.handle(topic)
    async def handler(record: Record) -> None:
        try:
            await topic.seek({9: 0})
        except SourceError as error:
            said.append(str(error))
        app.stop()

    async def work() -> None:
        await fill(topic, ("k", "v"))
        await app.stream()

    run(work())
    (sentence,) = said
    assert sentence.endswith("has no partition 9: it has 1, counted from 0.")


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
