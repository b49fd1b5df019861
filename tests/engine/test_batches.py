"""Handlers that take all records of a read as one list: `handle(..., batch=True)`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

from slipcore import App, Context, Out, Record, dead_letter, pipe, retry, skip
from slipcore.cli.plan import plan_text
from slipcore.interfaces import ConfigError, SinkError
from slipcore.testing import AppTest


class Boom(Exception):
    """What the handlers below fail with."""


@pytest.fixture
def app() -> App:
    return App("batches")


async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


def doubled(records: list[Record]) -> list[str]:
    return [record.value * 2 for record in records]


def doubled_one_by_one(records: list[Record]) -> Iterator[str]:
    for record in records:
        yield record.value * 2


async def doubled_later(records: list[Record]) -> list[str]:
    await asyncio.sleep(0)
    return doubled(records)


async def doubled_one_by_one_later(records: list[Record]) -> AsyncIterator[str]:
    for record in records:
        await asyncio.sleep(0)
        yield record.value * 2


def doubled_by_a_coroutine_of_a_generator(records: list[Record]) -> Any:
    async def generator() -> Iterator[str]:
        return doubled_one_by_one(records)

    return generator()


@pytest.mark.parametrize(
    "handler",
    [
        doubled,
        doubled_one_by_one,
        doubled_later,
        doubled_one_by_one_later,
        doubled_by_a_coroutine_of_a_generator,
    ],
)
def test_each_result_goes_to_every_sink_in_order(app: App, handler: Any) -> None:
    """Whatever kind of function the handler is, and whether the sinks are async or not."""
    seen: list[tuple[str, str]] = []

    async def later(value: str) -> None:
        await asyncio.sleep(0)
        seen.append(("later", value))

    sinks = [lambda value: seen.append(("now", value)), later, app.topic("out")]
    app.handle(app.topic("in"), sink=sinks, batch=True)(handler)
    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run()
        assert seen == [(sink, value) for value in ("aa", "bb", "cc") for sink in ("now", "later")]
        assert [value for _, value in test.sent("out")] == ["aa", "bb", "cc"]


def test_the_handler_is_given_what_one_read_gave(app: App) -> None:
    """A list of records with what their codec made of them, and of the next read another one."""
    given: list[list[tuple[Any, Any, int]]] = []

    @app.handle(app.topic("in", codec="json"), batch=True)
    def handler(records: list[Record]) -> None:
        assert type(records) is list
        given.append([(record.key, record.value, record.offset) for record in records])
        (lane,) = app.streams[0].lanes
        assert lane.in_hand() == records[0]  # which is what a status tells
        records.clear()  # it is the handler's own

    with AppTest(app) as test:
        test.send("in", {"n": 1}, key="a")
        test.send("in", {"n": 2})
        test.run()
        test.send("in", {"n": 3})
        test.run()
    assert given == [[("a", {"n": 1}, 0), (None, {"n": 2}, 1)], [(None, {"n": 3}, 2)]]


def test_pairs_go_to_topics_and_caches(app: App) -> None:
    """As those of a handler that takes one record do."""
    out, totals = app.topic("out"), app.cache("totals")

    @app.handle(app.topic("in"), sink=[out, totals], batch=True)
    def handler(records: list[Record]) -> Iterable[tuple[str, str] | Out]:
        return ((record.key, record.value) for record in records)

    with AppTest(app) as test:
        for key, value in (("a", "1"), ("b", "2"), ("a", "3")):
            test.send("in", value, key=key)
        test.run()
        assert test.sent("out") == [("a", "1"), ("b", "2"), ("a", "3")]
        assert dict(test.cache("totals").items()) == {"a": "3", "b": "2"}


@pytest.mark.parametrize("result", ["text", ("key", "value"), {"a": 1}, Out(1), 7], ids=repr)
def test_one_result_where_several_are_owed_is_refused(app: App, result: Any) -> None:
    """Nobody could tell a pair from two results."""
    app.handle(app.topic("in"), sink=[print], name="sums", batch=True)(lambda records: result)
    with AppTest(app) as test:
        test.send("in", "a")
        what = re.escape(type(result).__name__)
        with pytest.raises(TypeError, match=rf"Handler sums with batch=True returned a {what}; .*"):
            test.run()


def test_a_list_that_fails_is_not_finished_at_all(app: App) -> None:
    """What it wrote is undone, none of it is committed, and all of it comes again."""
    topic, seen = app.topic("in"), app.cache("seen")
    given: list[list[str]] = []

    @app.handle(topic, batch=True, name="handler")
    def handler(records: list[Record]) -> None:
        given.append([record.value for record in records])
        for record in records:
            seen[record.value] = (seen[record.value] or 0) + 1
        if len(given) == 1:
            raise Boom

    with AppTest(app) as test:
        test.send("in", "a")
        test.send("in", "b")
        with pytest.raises(Boom) as caught:
            test.run()
        (note,) = caught.value.__notes__
        assert note.endswith("was handling a batch of 2 from in[0]@0 on")
        assert dict(test.cache("seen").items()) == {}
        test.run()
        assert dict(test.cache("seen").items()) == {"a": 1, "b": 1}
    assert given == [["a", "b"], ["a", "b"]]


def test_a_crash_repeats_the_whole_list_and_counts_it_once(app: App) -> None:
    """State and positions of a list land in one write."""
    count = app.cache("count")

    @app.handle(app.topic("in"), batch=True)
    def handler(records: list[Record]) -> None:
        for record in records:
            count[record.value] = (count[record.value] or 0) + 1

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run(crash_after=2)
        assert dict(test.cache("count").items()) == {}
        test.run(crash_after="write")
        test.run()
        assert dict(test.cache("count").items()) == {"a": 1, "b": 1, "c": 1}


# --- what fails ---------------------------------------------------------------------------


def test_a_list_is_tried_again_as_it_was(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """With what it wrote undone, and its number told to who asks."""
    count = app.cache("count")
    attempts: list[tuple[int, int]] = []

    @app.handle(app.topic("in"), batch=True, on_error=retry(3), name="handler")
    def handler(records: list[Record], context: Context) -> None:
        assert context.record == records
        attempts.append((len(records), context.attempt))
        count["all"] = (count["all"] or 0) + len(records)
        if context.attempt < 3:
            raise Boom

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run()
        test.advance(10)
        assert dict(test.cache("count").items()) == {"all": 3}
    assert attempts == [(3, 1), (3, 2), (3, 3)]
    assert "handler: a batch of 3 from in[0]@0 on failed in handling and is tried" in caplog.text


def test_a_record_that_is_handled_by_itself_has_all_its_tries(app: App) -> None:
    """Those that its list had do not count."""
    given: list[str] = []

    @app.handle(app.topic("in"), batch=True, on_error=[retry(1), skip()])
    def handler(records: list[Record]) -> None:
        given.append("".join(record.value for record in records))
        if "x" in given[-1]:
            raise Boom

    with AppTest(app) as test:
        for value in "xa":
            test.send("in", value)
        test.run()
        test.advance(5)
    assert given == ["xa", "xa", "x", "x", "a"]


def test_only_the_record_that_fails_by_itself_is_skipped(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """A list that failed for good is handled record by record; the next read is a list again."""
    out, seen = app.topic("out"), app.cache("seen")
    given: list[str] = []

    @app.handle(
        app.topic("in"), sink=[out], batch=True, name="handler", on_error=[retry(1), skip()]
    )
    def handler(records: list[Record]) -> list[str]:
        values = [record.value for record in records]
        given.append("".join(values))
        for value in values:
            seen[value] = (seen[value] or 0) + 1
        if "x" in values:
            raise Boom
        return values

    with AppTest(app) as test:
        for value in "abxc":
            test.send("in", value)
        test.run()
        test.advance(5)
        for value in "de":
            test.send("in", value)
        test.run()
        test.stop()
        test.run()
        assert given == ["abxc", "abxc", "a", "b", "x", "x", "c", "de"]
        assert [value for _, value in test.sent("out")] == ["a", "b", "c", "d", "e"]
        assert set(test.cache("seen").keys()) == {"a", "b", "c", "d", "e"}
    assert (
        "handler: a batch of 4 from in[0]@0 on failed in handling and is handled record by record, "
        "after try 2: Boom:" in caplog.text
    )
    assert "handler: in[0]@2 failed in handling and is skipped, at try 2: Boom:" in caplog.text


def test_each_record_that_fails_by_itself_is_a_dead_letter(app: App) -> None:
    """With its own bytes, key and place."""

    @app.handle(
        app.topic("in", codec="json"), batch=True, on_error=dead_letter("dead"), name="handler"
    )
    def handler(records: list[Record]) -> None:
        if any(record.value < 0 for record in records):
            raise Boom

    with AppTest(app) as test:
        for key, value in (("a", 1), ("b", -2), ("c", 3), ("d", -4)):
            test.send("in", value, key=key)
        test.run()
        assert test.sent("dead") == [(b"b", b"-2"), (b"d", b"-4")]
        places = [dict(letter.headers)["slip-dlq-offset"] for letter in test.records("dead")]
    assert places == [b"1", b"3"]


def test_a_result_that_no_sink_takes_fails_its_list(app: App) -> None:
    """Where sinking has a rule, its record alone is put aside; the others are sent."""
    got: list[str] = []

    def sink(value: str) -> None:
        if value == "xx":
            raise SinkError("no room for it")
        got.append(value)

    app.handle(app.topic("in"), sink=[sink], batch=True, on_sink_error=skip())(doubled)
    with AppTest(app) as test:
        for value in "axb":
            test.send("in", value)
        test.run()
        test.stop()
        test.run()
    assert got == ["aa", "aa", "bb"]  # what was sent with the list is sent again


def test_a_record_that_no_codec_can_read_parts_a_read_in_two_lists(app: App) -> None:
    """It is dealt with in its place."""
    given: list[list[int]] = []

    @app.handle(app.topic("in", codec="json"), batch=True, on_decode_error=skip())
    def handler(records: list[Record]) -> None:
        given.append([record.value for record in records])

    raw = app.topic("in", codec="raw")
    app.handle(app.topic("feed"), sink=[raw])(lambda record: record.value.encode())
    with AppTest(app) as test:
        for value in ("1", "2", "{", "4"):
            test.send("feed", value)
        test.run()
    assert [n for values in given for n in values] == [1, 2, 4]


def test_a_timeout_is_for_one_call(app: App) -> None:
    """A list that takes too long fails as one."""

    @app.handle(app.topic("in"), batch=True, timeout=1, name="slow")
    async def handler(records: list[Record]) -> None:
        await asyncio.sleep(0.6 * len(records))

    with AppTest(app) as test:
        test.send("in", "a")
        test.run()
        test.send("in", "b")
        test.send("in", "c")
        with pytest.raises(TimeoutError, match="slow took more than 1 s"):
            test.run()


# --- cuts ---------------------------------------------------------------------------------


def test_pauses_stops_and_seeks_take_effect_between_two_lists(app: App) -> None:
    """The list in hand completes, and is finished."""
    topic = app.topic("in")
    given: list[str] = []

    @app.handle(topic, batch=True)
    async def handler(records: list[Record]) -> None:
        given.append("".join(record.value for record in records))
        match len(given):
            case 1:
                await topic.seek({0: 1})
            case 2:
                app.pause(topic)
            case 3:
                app.stop()

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run()
        assert given == ["abc", "bc"]
        test.send("in", "d")
        test.run()
        assert given == ["abc", "bc"]
        app.resume(topic)
        test.run()
        assert (given, test.running) == (["abc", "bc", "d"], False)
        test.send("in", "e")
        test.run()
        assert given == ["abc", "bc", "d", "e"]


# --- declared -----------------------------------------------------------------------------


def test_a_pipe_is_refused(app: App) -> None:
    """It gives one item at a time."""
    with pytest.raises(ConfigError, match="Handler handler: batch=True and pipe= exclude each"):
        app.handle(numbers(1), pipe=[pipe(aiter, holds=1)], batch=True, name="handler")(print)


def test_the_plan_says_that_it_takes_lists(app: App) -> None:
    """And that they are finished as one."""
    app.handle(app.topic("in", backend="memory"), batch=True)(doubled)
    (binding,) = app.plan().bindings
    assert binding.batch
    assert "batch: the records of one read are finished, or come again, as one" in binding.reasons
    assert "\n  batch     the handler takes the records of a read as one list\n" in plan_text(
        app.plan()
    )
