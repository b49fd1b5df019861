"""Outputs that a sink did not take or lost: sent again in order, or put aside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slipcore import App, ISink, Out, Record, dead_letter, retry, skip
from slipcore.backends.memory.topic import MemoryTopic
from slipcore.engine.sinks import MendingSink
from slipcore.interfaces import ConfigError, SinkError
from slipcore.testing import AppTest

from .conftest import Boom, Flaky, headers


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


def test_bindings_that_share_a_sink_agree_about_it(app: App) -> None:
    """What is lost there is lost of both."""
    topic, out = app.topic("in"), app.topic("out")
    app.handle(topic, sink=[out], name="a", on_sink_error=retry())(lambda record: record.value)
    app.handle(topic, sink=[out], name="b")(lambda record: record.value)
    with pytest.raises(ConfigError, match="Handlers a and b both send to"):
        asyncio.run(app.stream())


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
