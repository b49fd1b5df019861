"""Sinks that fail lose no record, and nothing overtakes what they have lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from slipcore import ISink, Out, Record
from slipcore.engine.sinks import RunSink
from slipcore.interfaces import SinkError

from .conftest import MakeApp, fill, run


class Boom(Exception):
    """What the handlers below fail with."""


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


class FailingBeside(ISink):
    """Its flush fails when a record is in hand."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.in_hand = asyncio.Event()
        self.failed = asyncio.Event()

    def send(self, output: Out) -> None:
        self.sent.append(output.value)

    async def flush(self) -> None:
        await self.in_hand.wait()
        self.failed.set()
        raise SinkError("full", ())


class FailingRoom(ISink):
    """It has no room for the fifth output, and lets go of all that was handed over."""

    def __init__(self) -> None:
        self.waiting: list[Out] = []
        self.durable: list[Out] = []
        self.fails = True

    def send(self, output: Out) -> Awaitable[None] | None:
        self.waiting.append(output)
        return self.room() if self.fails and len(self.waiting) == 5 else None

    async def room(self) -> None:
        self.fails = False
        lost, self.waiting = self.waiting, []
        raise SinkError("full", lost)

    async def flush(self) -> None:
        self.durable += self.waiting
        self.waiting = []


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


def test_nothing_overtakes_what_a_failed_flush_has_lost(make_app: MakeApp) -> None:
    """The record in hand completes, and its output goes nowhere: it comes again with the others."""
    app = make_app()
    topic, sink = app.topic("in"), FailingBeside()

    @app.handle(topic, sink=[sink])
    async def handler(record: Record) -> Any:
        if record.value == "late":
            sink.in_hand.set()
            await sink.failed.wait()
        return record.value

    async def work() -> None:
        await topic(None, "early")
        streaming = asyncio.ensure_future(app.stream())
        while not sink.sent:
            await asyncio.sleep(0.001)
        await topic(None, "late")
        with pytest.raises(SinkError, match="full"):
            await streaming
        assert sink.sent == ["early"]

    run(work())


def test_what_was_lost_while_waiting_for_room_comes_again(make_app: MakeApp) -> None:
    """The records before the one that waited are not finished: their outputs are gone."""
    app = make_app()
    topic, sink = app.topic("in"), FailingRoom()

    @app.handle(topic, sink=[sink])
    def handler(record: Record) -> Any:
        if record.offset == 7:
            app.stop()
        return record.offset

    async def work() -> None:
        await fill(topic, *((None, "x") for _ in range(8)))
        with pytest.raises(SinkError, match="full"):
            await app.stream()
        await app.stream()

    run(work())
    assert [output.value for output in sink.durable] == list(range(8))


def test_a_topic_takes_no_result_once_its_flush_has_failed(make_app: MakeApp) -> None:
    """On the short way from a handler to a topic, too."""
    app = make_app()
    opened = app.topic("out").make()
    sent: list[Any] = []

    def take(value: Any, key: Any) -> None:
        sent.append(value)

    opened._send_parts = take  # type: ignore[assignment]  # what is sent is looked at, not kept
    sink = RunSink(opened, opened.backend)
    emit = sink.emitter()
    emit(("k", "early"))
    sink.failure = SinkError("full")
    emit(("k", "late"))
    assert sent == [b"early"]
