"""Records whose handling fails: tried again, skipped, put aside; never lost unsaid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from slipcore import App, Context, Out, Record, dead_letter, pipe, retry, skip
from slipcore.interfaces import FencedError, SinkError
from slipcore.testing import AppTest

from .conftest import Boom, Flaky, headers


def test_a_record_is_tried_again_in_its_place(app: App) -> None:
    """What came before it and comes after it is handled once, in order, and state counts once."""
    topic, out, count = app.topic("in"), app.topic("out"), app.cache("count")
    flaky = Flaky(b=2)

    @app.handle(topic, sink=[out], on_error=retry(3))
    def handler(record: Record) -> str:
        count[record.value] = (count[record.value] or 0) + 1
        return flaky(record.value)

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run()
        assert flaky.seen == ["a", "b", "b", "b", "c"]
        assert [value for _, value in test.sent("out")] == ["a", "b", "c"]
        assert dict(test.cache("count").items()) == {"a": 1, "b": 1, "c": 1}


def test_retries_that_are_used_up_raise(app: App) -> None:
    """The record is the first of the next run; what came before it is committed."""
    topic, flaky = app.topic("in"), Flaky(b=3)

    @app.handle(topic, on_error=retry(2))
    def handler(record: Record) -> None:
        flaky(record.value)

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        with pytest.raises(Boom, match="b"):
            test.run()
        assert flaky.seen == ["a", "b", "b", "b"]
        test.run()
        assert flaky.seen[4:] == ["b", "c"]


def test_only_errors_that_are_named_are_tried_again(app: App) -> None:
    """The first rule that fits an error takes it; without one it is raised."""
    topic, tried = app.topic("in"), []
    errors = {"os": OSError("disk"), "value": ValueError("odd"), "other": Boom("other")}

    @app.handle(topic, on_error=[retry(2, on=OSError), skip(on=(OSError, ValueError))])
    def handler(record: Record) -> None:
        tried.append(record.value)
        raise errors[record.value]

    with AppTest(app) as test:
        for value in errors:
            test.send("in", value)
        with pytest.raises(Boom):
            test.run()
        assert tried == ["os", "os", "os", "value", "other"]


def test_what_is_before_a_retry_is_committed_meanwhile(app: App) -> None:
    """Back-off holds nothing back but what comes after it, and a stop gives the record back."""
    topic, out, flaky = app.topic("in"), app.topic("out"), Flaky(b=1)

    @app.handle(topic, sink=[out], on_error=retry(backoff=1000, max_backoff=1000, jitter=0))
    def handler(record: Record) -> str:
        return flaky(record.value)

    async def work() -> None:
        for value in "abc":
            await topic(value)
        running = asyncio.ensure_future(app.serve())
        async with asyncio.timeout(10):
            while flaky.seen != ["a", "b"] or app.streams[0].lanes[0].finished != {0: 0}:
                await asyncio.sleep(0.01)
            app.stop()
            await running
            assert flaky.seen == ["a", "b"]
            running = asyncio.ensure_future(app.serve())
            while flaky.seen != ["a", "b", "b", "c"]:
                await asyncio.sleep(0.01)
            app.stop()
            await running

    asyncio.run(work())


def test_a_skipped_record_is_finished(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, takes its writes with it, and does not come again."""
    topic, count = app.topic("in"), app.cache("count")

    @app.handle(topic, on_error=skip())
    async def handler(record: Record) -> None:
        count["n"] = (count["n"] or 0) + 1
        count[record.value] = 1
        if record.value == "b":
            raise Boom("no b")

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run()
        assert dict(test.cache("count").items()) == {"a": 1, "c": 1, "n": 2}
        assert "in[0]@1 failed in handling and is skipped, at try 1: Boom: no b" in caplog.text
        test.stop()
        test.run()
        assert test.cache("count")["n"] == 2


def test_a_dead_letter_says_what_it_was_and_why(app: App) -> None:
    """The bytes as they were, the record's own headers, and headers for all the rest."""
    topic = app.topic("in", codec="json")

    @app.handle(topic, name="buy", on_error=[retry(1), dead_letter("dead")])
    def handler(record: Record) -> None:
        raise Boom("sold out")

    with AppTest(app) as test:
        test.send("in", {"n": 1}, key="k", headers=[("trace", b"7")], timestamp=5)
        test.run()
        (letter,) = test.records("dead")
        told = headers(letter)
        assert (letter.key, letter.value, letter.headers[0]) == (b"k", b'{"n":1}', ("trace", b"7"))
        assert b"Traceback" in told.pop("slip-dlq-traceback")
        assert int(told.pop("slip-dlq-time")) > 1_000_000_000_000
        assert told == {
            "trace": b"7",
            "slip-dlq-binding": b"buy",
            "slip-dlq-stage": b"handling",
            "slip-dlq-tries": b"2",
            "slip-dlq-error": Boom.__module__.encode() + b".Boom",
            "slip-dlq-message": b"sold out",
            "slip-dlq-key": b"bytes",
            "slip-dlq-value": b"bytes",
            "slip-dlq-topic": b"in",
            "slip-dlq-partition": b"0",
            "slip-dlq-offset": b"0",
            "slip-dlq-timestamp": b"5",
        }


def test_a_dead_letter_that_is_not_taken_raises(app: App) -> None:
    """The record is not finished, and comes again."""
    topic, tried = app.topic("in"), []

    def office(letter: Out) -> None:
        tried.append(letter.value)
        if len(tried) == 1:
            raise SinkError("full")

    @app.handle(topic, on_error=dead_letter(office))
    def handler(record: Record) -> None:
        raise Boom

    with AppTest(app) as test:
        test.send("in", "a")
        with pytest.raises(SinkError, match="full"):
            test.run()
        test.run()
    assert tried == [b"a", b"a"]


def test_a_crash_before_the_letter_is_committed_loses_nothing(app: App) -> None:
    """The letter is durable before the record is finished: it may be there twice, never not."""
    topic, count = app.topic("in"), app.cache("count")

    @app.handle(topic, on_error=dead_letter("dead"))
    def handler(record: Record) -> None:
        count["n"] = (count["n"] or 0) + 1
        if record.value == "bad":
            raise Boom

    with AppTest(app) as test:
        for value in ("a", "bad", "b"):
            test.send("in", value)
        test.run(crash_after="flush")
        test.run()
        assert test.cache("count")["n"] == 2
        assert {letter.value for letter in test.records("dead")} == {b"bad"}


def test_a_pipe_keeps_what_it_holds_over_a_retry(app: App) -> None:
    """The handler is tried again with what the pipe gave, and the pipe goes on from there."""
    topic, seen, fails = app.topic("in"), [], [True, True]

    async def pairs(records: Any) -> AsyncIterator[tuple[str, str]]:
        held: list[str] = []
        async for record in records:
            held.append(record.value)
            if len(held) == 2:
                yield held[0], held[1]
                held = []

    @app.handle(topic, pipe=[pipe(pairs, holds=1)], on_error=[retry(1), skip()])
    def handler(pair: tuple[str, str]) -> None:
        seen.append(pair)
        if pair == ("c", "d") and fails and fails.pop():
            raise Boom

    with AppTest(app) as test:
        for value in "abcdef":
            test.send("in", value)
        test.run()
    assert seen == [("a", "b"), ("c", "d"), ("c", "d"), ("e", "f")]


def test_items_of_a_plain_iterable_are_tried_again_and_put_aside(app: App) -> None:
    """What can't come again from its source is not lost to an error."""
    flaky = Flaky(b=1, c=9)
    letters: list[Out] = []

    async def values() -> AsyncIterator[str]:
        for value in "abcd":
            yield value

    @app.handle(values(), on_error=[retry(2, backoff=0.01), dead_letter(letters.append)])
    def handler(value: str) -> None:
        flaky(value)

    asyncio.run(app.stream())
    assert flaky.seen == ["a", "b", "b", "c", "c", "c", "d"]
    assert [letter.value for letter in letters] == [b'"c"']


def test_who_lost_the_state_must_not_go_on(app: App) -> None:
    """No rule takes a FencedError."""
    topic = app.topic("in")

    @app.handle(topic, on_error=[retry(None), skip()])
    def handler(record: Record) -> None:
        raise FencedError("a newer owner")

    with AppTest(app) as test:
        test.send("in", "a")
        with pytest.raises(FencedError):
            test.run()


def test_a_rebalance_does_not_wait_for_a_back_off(app: App) -> None:
    """A member that joins gets its partition at once, and with it the record that waited."""
    other = App("policies", config=app.config)
    topic = app.topic("in", {"partitions": 2}, backend="sqlite")
    theirs = other.topic("in", {"partitions": 2}, backend="sqlite")
    tried: list[int] = []
    done: list[int] = []

    @app.handle(topic, on_error=retry(None, backoff=300, max_backoff=300), name="handler")
    def failing(record: Record) -> None:
        tried.append(record.partition)
        raise Boom

    @other.handle(theirs, name="handler")
    def taking_over(record: Record) -> None:
        done.append(record.partition)

    async def work() -> None:
        for partition in range(2):
            await topic("x", partition=partition)
        running = asyncio.ensure_future(app.serve())
        async with asyncio.timeout(20):
            while not tried:
                await asyncio.sleep(0.01)
            joining = asyncio.ensure_future(other.serve())
            while not done:
                await asyncio.sleep(0.01)
            for member, task in ((app, running), (other, joining)):
                member.stop()
                await task

    asyncio.run(work())
    other.close()
    assert len(done) == 1


def test_a_failed_try_leaves_alone_what_a_pipe_has_written(app: App) -> None:
    """It takes back what the handler wrote, and that alone."""
    topic, count = app.topic("in"), app.cache("count")

    async def counted(records: Any) -> AsyncIterator[str]:
        async for record in records:
            count["piped"] = (count["piped"] or 0) + 1
            yield record.value

    @app.handle(topic, pipe=[counted], on_error=retry(2))
    def handler(value: str, context: Context) -> None:
        count["handled"] = (count["handled"] or 0) + 1
        if context.attempt < 3:
            raise Boom

    with AppTest(app) as test:
        for value in "ab":
            test.send("in", value)
        test.run()
        assert dict(test.cache("count").items()) == {"handled": 2, "piped": 2}
