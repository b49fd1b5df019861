"""What becomes of records that fail: tried again, skipped, put aside; never lost unsaid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipcore import (
    App,
    Context,
    ISink,
    Out,
    Record,
    Topic,
    dead_letter,
    pipe,
    retry,
    skip,
)
from slipcore.backends.memory.topic import MemoryTopic
from slipcore.config import Config
from slipcore.engine.sinks import MendingSink
from slipcore.interfaces import ConfigError, DecodeError, FencedError, SinkError
from slipcore.testing import AppTest


class Boom(Exception):
    """What the handlers below fail with."""


class Flaky:
    """Fails so many times for some values, and keeps what it was given."""

    def __init__(self, **times: int) -> None:
        self.times = times
        self.seen: list[str] = []

    def __call__(self, value: str) -> str:
        self.seen.append(value)
        if self.times.get(value, 0) > 0:
            self.times[value] -= 1
            raise Boom(value)
        return value


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App("policies", config=Config(tmp_path))
    yield app
    app.close()


def headers(record: Record) -> dict[str, bytes]:
    return dict(record.headers)


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
            "slip-dlq-error": __name__.encode() + b".Boom",
            "slip-dlq-message": b"sold out",
            "slip-dlq-key": b"bytes",
            "slip-dlq-value": b"bytes",
            "slip-dlq-topic": b"in",
            "slip-dlq-partition": b"0",
            "slip-dlq-offset": b"0",
            "slip-dlq-timestamp": b"5",
        }


@pytest.mark.parametrize("poison", [b"\xff", b"\xff\x00" * 100])
def test_records_that_can_not_be_decoded_are_put_aside(app: App, poison: bytes) -> None:
    """Their bytes are in the letter; tombstones never reach the codec; the others are handled."""
    topic, raw = app.topic("in", codec="json"), app.topic("in", codec="raw")
    seen = []

    @app.handle(topic, on_decode_error=dead_letter("dead"))
    def handler(record: Record) -> None:
        seen.append(record.value)

    with AppTest(app) as test:
        for value in (poison, b"1", poison, poison, None, b"2", poison):
            test.send(raw, value, key=b"k")
        test.run()
        assert seen == [1, None, 2]
        letters = test.records("dead")
        assert [letter.value for letter in letters] == [poison] * 4
        assert [headers(le)["slip-dlq-offset"] for le in letters] == [b"0", b"2", b"3", b"6"]
        assert headers(letters[0])["slip-dlq-stage"] == b"decoding"
        test.stop()
        test.run()
        assert len(test.records("dead")) == 4


def test_each_binding_has_its_own_way_with_what_can_not_be_decoded(app: App) -> None:
    """One skips and one puts aside what both read."""
    topic, raw = app.topic("in", codec="json"), app.topic("in", codec="raw")
    first: list[Any] = []
    second: list[Any] = []

    @app.handle(topic, name="a", on_decode_error=skip())
    def a(record: Record) -> None:
        first.append(record.value)

    @app.handle(topic, name="b", on_decode_error=dead_letter("dead"))
    def b(record: Record) -> None:
        second.append(record.value)

    with AppTest(app) as test:
        for value in (b"1", b"?", b"2"):
            test.send(raw, value)
        test.run()
        assert (first, second) == ([1, 2], [1, 2])
        assert [headers(r)["slip-dlq-binding"] for r in test.records("dead")] == [b"b"]


def test_what_can_not_be_decoded_raises_without_a_rule_for_it(app: App) -> None:
    """on_error is about the handler alone."""
    topic, raw = app.topic("in", codec="json"), app.topic("in", codec="raw")

    @app.handle(topic, on_error=skip())
    def handler(record: Record) -> None:
        """Never called."""

    with AppTest(app) as test:
        test.send(raw, b"?")
        with pytest.raises(DecodeError):
            test.run()


def test_a_sink_is_tried_again_without_its_handler(app: App) -> None:
    """The handler runs once, the sinks before it get the output once."""
    topic, handled = app.topic("in"), []
    first: list[Any] = []
    flaky = Flaky(b=2)

    @app.handle(topic, sink=[first.append, flaky], on_sink_error=retry(2))
    def handler(record: Record) -> Any:
        handled.append(record.value)
        return record.value

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run()
    assert (handled, first) == (["a", "b", "c"], ["a", "b", "c"])
    assert flaky.seen == ["a", "b", "b", "b", "c"]


def test_a_record_whose_sink_fails_is_put_aside(app: App) -> None:
    """The record is the letter; what on_error says is not asked."""
    topic = app.topic("in")

    @app.handle(
        topic,
        sink=[Flaky(b=9)],
        on_error=skip(),
        on_sink_error=[retry(1), dead_letter("dead")],
    )
    async def handler(record: Record) -> Any:
        return record.value

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run()
        (letter,) = test.records("dead")
        assert letter.value == b"b"
        assert headers(letter)["slip-dlq-stage"] == b"sinking"
        assert headers(letter)["slip-dlq-tries"] == b"2"


class LosingSink(ISink):
    """Loses what it has at some flushes, and says so."""

    def __init__(self, *fails: bool) -> None:
        self.fails = list(fails)
        self.waiting: list[Out] = []
        self.durable: list[Any] = []

    def send(self, output: Out) -> None:
        self.waiting.append(output)

    async def flush(self) -> None:
        taken, self.waiting = self.waiting, []
        await asyncio.sleep(0)
        if taken and self.fails and self.fails.pop(0):
            lost, self.waiting = taken + self.waiting, []
            raise SinkError("lost them", lost)
        self.durable += [output.value for output in taken]


def test_a_failed_flush_sends_what_was_lost_again(app: App) -> None:
    """In order, without the handler, and state is as if nothing had happened."""
    topic, count, sink = app.topic("in"), app.cache("count"), LosingSink(True, True)

    @app.handle(topic, sink=[sink], on_sink_error=retry(3))
    def handler(record: Record) -> Any:
        count["n"] = (count["n"] or 0) + 1
        return record.value

    with AppTest(app) as test:
        for value in "abcdef":
            test.send("in", value)
        test.run()
        assert sink.durable == list("abcdef")
        assert test.cache("count")["n"] == 6


def test_what_a_sink_lost_for_good_is_put_aside(app: App) -> None:
    """After the retries, outputs become letters, and the app goes on."""
    topic, sink = app.topic("in"), LosingSink(True, True)

    @app.handle(topic, sink=[sink], on_sink_error=[retry(1), dead_letter("dead")])
    def handler(record: Record) -> Any:
        return record.value

    with AppTest(app) as test:
        test.send("in", "a")
        test.run()
        test.send("in", "b")
        test.run()
        assert sink.durable == ["b"]
        (letter,) = test.records("dead")
        assert letter.value == b'"a"'
        assert headers(letter)["slip-dlq-value"] == b"json"


def test_a_flush_that_fails_for_good_raises(app: App) -> None:
    """The records come again."""
    topic, sink = app.topic("in"), LosingSink(True, True)

    @app.handle(topic, sink=[sink], on_sink_error=retry(1))
    def handler(record: Record) -> Any:
        return record.value

    with AppTest(app) as test:
        test.send("in", "a")
        with pytest.raises(SinkError, match="lost them"):
            test.run()
        test.run()
        assert sink.durable == ["a"]


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


def test_a_handler_is_told_its_attempt_record_and_deadline(app: App) -> None:
    """By a parameter annotated Context."""
    topic, told = app.topic("in"), []

    @app.handle(topic, on_error=retry(), timeout=3.0)
    async def handler(record: Record, context: Context) -> None:
        assert context.record is record
        assert context.deadline is not None
        left = context.deadline - asyncio.get_running_loop().time()
        told.append((record.value, context.attempt, round(left)))
        if context.attempt < 3 and record.value == "b":
            raise Boom

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value)
        test.run()
    assert told == [("a", 1, 3), ("b", 1, 3), ("b", 2, 3), ("b", 3, 3), ("c", 1, 3)]


def test_a_context_speaks_of_items_of_an_iterable_too(app: App) -> None:
    """Where nothing else keeps track of them."""
    told = []

    async def values() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    @app.handle(values())
    def handler(value: str, context: Context) -> None:
        told.append((context.record, context.attempt, context.deadline))

    asyncio.run(app.stream())
    assert told == [("a", 1, None), ("b", 1, None)]


def test_a_handler_that_takes_too_long_fails(app: App) -> None:
    """With a TimeoutError that its rules can take; async generators too."""
    topic, out, done = app.topic("in"), app.topic("out"), []

    @app.handle(topic, on_error=[retry(1, on=TimeoutError), skip(on=TimeoutError)], timeout=5)
    async def handler(record: Record) -> None:
        await asyncio.sleep(float(record.value))
        done.append(record.value)

    @app.handle(topic, sink=[out], name="steps", on_error=skip(on=TimeoutError), timeout=5)
    async def steps(record: Record) -> AsyncIterator[str]:
        yield "begun"
        await asyncio.sleep(float(record.value))
        yield "done"

    with AppTest(app) as test:
        for value in ("1", "9", "2"):
            test.send("in", value)
        test.run()
        assert done == ["1", "2"]
        assert [v for _, v in test.sent("out")] == ["begun", "done", "begun", "begun", "done"]


def test_a_timeout_needs_an_async_handler(app: App) -> None:
    """Nothing else can be interrupted."""

    @app.handle(app.topic("in"), timeout=5)
    def handler(record: Record) -> None:
        """Never called."""

    with pytest.raises(ConfigError, match="only `async def` can be interrupted"):
        asyncio.run(app.stream())


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


@given(
    failures=st.integers(1, 10_000),
    backoff=st.floats(1e-6, 1e3),
    factor=st.floats(1, 1e6),
    jitter=st.floats(0, 1),
)
def test_back_off_keeps_its_bounds(
    failures: int, backoff: float, factor: float, jitter: float
) -> None:
    """It doubles up to its limit, and chance takes no more than its part off."""
    longest = backoff * factor
    rule = retry(None, backoff=backoff, max_backoff=longest, jitter=jitter)
    full = min(longest, backoff * 2 ** min(failures - 1, 64))
    assert full * (1 - jitter) <= rule.delay(failures) * (1 + 1e-9)
    assert rule.delay(failures) <= full


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: retry(0), "times is 1 or more"),
        (lambda: retry(backoff=-1), "backoff is more than 0"),
        (lambda: retry(backoff=2, max_backoff=1), "max_backoff no less"),
        (lambda: retry(jitter=2), "jitter is a part"),
        (lambda: skip(on=cast("Any", "ValueError")), "a type of Exception"),
        (lambda: retry(on=cast("Any", KeyboardInterrupt)), "a type of Exception"),
    ],
)
def test_rules_that_mean_nothing_are_refused(make: Any, message: str) -> None:
    """Where they are written."""
    with pytest.raises(ConfigError, match=message):
        make()


def test_what_is_no_rule_is_refused(app: App) -> None:
    """Also a dead letter to nothing that could take it, or to where the outputs go."""
    topic, out = app.topic("in"), app.topic("out")
    with pytest.raises(ConfigError, match="on_error= takes retry"):
        app.handle(topic, on_error=cast("Any", print))
    with pytest.raises(ConfigError, match="is no sink"):
        app.handle(topic, on_error=dead_letter(5))(print)
    app.handle(topic, sink=[out], on_error=dead_letter(out))(print)
    with pytest.raises(ConfigError, match="can't take dead letters"):
        asyncio.run(app.stream())


def test_bindings_that_share_a_sink_agree_about_it(app: App) -> None:
    """What is lost there is lost of both."""
    topic, out = app.topic("in"), app.topic("out")
    app.handle(topic, sink=[out], name="a", on_sink_error=retry())(lambda record: record.value)
    app.handle(topic, sink=[out], name="b")(lambda record: record.value)
    with pytest.raises(ConfigError, match="Handlers a and b both send to"):
        asyncio.run(app.stream())


def test_the_topic_of_dead_letters_gets_bytes_whatever_its_codec(app: App) -> None:
    """A topic given as an object keeps its codec for its readers."""
    dead: Topic = app.topic("dead", codec="text")

    @app.handle(app.topic("in", codec="json"), on_error=dead_letter(dead))
    def handler(record: Record) -> None:
        raise Boom

    with AppTest(app) as test:
        test.send("in", [1, 2])
        test.run()
        assert [record.value for record in test.records(dead)] == ["[1,2]"]


def test_outputs_that_a_topic_lost_are_written_as_they_were(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are encoded once, come before what is newer, and other senders wait for them."""
    topic, out, fails = app.topic("in"), app.topic("out", codec="json"), [True, True]
    flush = MemoryTopic.flush

    async def failing(self: MemoryTopic) -> None:
        if self.name == "out" and self._pending and fails:
            fails.pop()
            lost, self._pending = list(self._pending), []
            raise SinkError("the disk is full", lost)
        await flush(self)

    monkeypatch.setattr(MemoryTopic, "flush", failing)

    @app.handle(topic, sink=[out], on_sink_error=retry(2))
    async def handler(record: Record) -> tuple[str, str]:
        if record.value == "b":
            await out("mine", "of the handler")
        return record.key, record.value

    with AppTest(app) as test:
        for value in "abc":
            test.send("in", value, key=f"k{value}")
        test.run()
        assert fails == []
        assert test.sent("out") == [
            ("ka", "a"),
            ("mine", "of the handler"),
            ("kb", "b"),
            ("kc", "c"),
        ]


def test_a_pause_during_a_sinks_back_off_gives_the_record_back(app: App) -> None:
    """It is handled again after the resume, and the pause does not wait for it."""
    topic, handled, fails = app.topic("in"), [], [True]
    got: list[str] = []

    def sink(value: str) -> None:
        if value == "b" and fails and fails.pop():
            raise Boom
        got.append(value)

    @app.handle(topic, sink=[sink], on_sink_error=retry(backoff=500, max_backoff=500))
    def handler(record: Record) -> Any:
        handled.append(record.value)
        return record.value

    async def work() -> None:
        for value in "abc":
            await topic(value)
        running = asyncio.ensure_future(app.serve())
        async with asyncio.timeout(10):
            while handled != ["a", "b"]:
                await asyncio.sleep(0.01)
            app.pause(topic)
            while app.streams[0].busy:
                await asyncio.sleep(0.01)
            assert got == ["a"]
            app.resume(topic)
            while got != ["a", "b", "c"]:
                await asyncio.sleep(0.01)
            app.stop()
            await running
        assert handled == ["a", "b", "b", "c"]

    asyncio.run(work())


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


def test_nothing_newer_overtakes_outputs_that_are_sent_again() -> None:
    """Who sends meanwhile waits."""
    sink, backing_off, over = LosingSink(True), asyncio.Event(), asyncio.Event()

    async def back_off(seconds: float) -> bool:
        backing_off.set()
        return await over.wait()

    async def work() -> None:
        mending = MendingSink(sink, None, (retry(),), back_off)
        mending.send(Out("old"))
        flushing = asyncio.ensure_future(mending.flush())
        await backing_off.wait()
        waiting = mending.send(Out("new"))
        assert waiting is not None
        sending = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        over.set()
        await asyncio.gather(flushing, sending)
        await mending.flush()

    asyncio.run(work())
    assert sink.durable == ["old", "new"]


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
