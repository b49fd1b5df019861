"""Pipes on topics: what is finished when, and what a pipe holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from slipcore import Record, pipe
from slipcore.interfaces import ConfigError

from .conftest import MakeApp, fill, run


async def pairs(stream: Any) -> AsyncIterator[tuple[str, str]]:
    """Two neighbours at a time; holds one input."""
    former: Record | None = None
    async for record in stream:
        if former is not None:
            yield former.value, record.value
        former = record


def test_records_go_through_a_pipe(make_app: MakeApp) -> None:
    """The handler sees what the pipe yields."""
    app = make_app()
    topic, got = app.topic("in"), []

    @app.handle(topic, pipe=[pairs])
    def handler(pair: tuple[str, str]) -> None:
        got.append(pair)
        if pair[1] == "3":
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(4)))
        await app.stream()

    run(work())
    assert got == [("0", "1"), ("1", "2"), ("2", "3")]


def test_what_a_pipe_is_declared_to_hold_comes_again(make_app: MakeApp) -> None:
    """Commits stay as far behind, so a new pipe is given what the former one held."""
    app = make_app()
    topic, got = app.topic("in"), []

    @app.handle(topic, pipe=[pipe(pairs, holds=1)])
    def handler(pair: tuple[str, str]) -> None:
        got.append(pair)
        if pair[1] in ("2", "4"):
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(5)))
        await app.stream()
        await app.stream()

    run(work())
    assert got == [("0", "1"), ("1", "2"), ("2", "3"), ("3", "4")]


def test_a_pipe_that_ends_early_leaves_the_topic_to_the_others(make_app: MakeApp) -> None:
    """Its branch neither reads on nor holds up commits."""
    app = make_app()
    topic, first, all_of_them = app.topic("in"), [], []

    async def take_one(stream: Any) -> AsyncIterator[Record]:
        async for record in stream:
            yield record
            return

    app.handle(topic, pipe=[take_one], name="first")(lambda r: first.append(r.value))

    @app.handle(topic, name="all")
    async def handler(record: Record) -> None:
        all_of_them.append(record.value)
        while not first:
            await asyncio.sleep(0.001)
        if record.value == "9":
            app.stop()

    async def work() -> None:
        for n in range(10):
            await topic(str(n))
        await app.stream()

    run(work())
    assert (first, all_of_them) == (["0"], [str(n) for n in range(10)])


def test_a_handler_that_raises_behind_a_pipe_loses_no_input(make_app: MakeApp) -> None:
    """The input in hand is not finished, and comes again."""
    app = make_app()
    topic, got = app.topic("in"), []
    fails = [False, True]

    async def passing(stream: Any) -> AsyncIterator[Record]:
        async for record in stream:
            await asyncio.sleep(0)
            yield record

    @app.handle(topic, pipe=[passing])
    def handler(record: Record) -> None:
        if record.value == "2" and fails.pop():
            raise RuntimeError("two")
        got.append(record.value)
        if record.value == "3":
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(4)))
        with pytest.raises(RuntimeError):
            await app.stream()
        await app.stream()

    run(work())
    assert got == ["0", "1", "2", "3"]


def test_holding_a_negative_number_is_refused() -> None:
    """With what is right."""
    with pytest.raises(ConfigError, match="0 or more"):
        pipe(pairs, holds=-1)
