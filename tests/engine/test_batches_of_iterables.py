"""Handlers that take what a plain iterable gives without waiting as one list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from slipcore import App
from slipcore.testing import AppTest

from .conftest import run


class Boom(Exception):
    """What the handlers below fail with."""


@pytest.fixture
def app() -> App:
    return App("batches")


async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


def lists(app: App, source: AsyncIterator[Any], **options: Any) -> list[list[Any]]:
    """What a batch handler of a source is given."""
    given: list[list[Any]] = []

    async def handler(items: list[Any]) -> None:
        await asyncio.sleep(0)
        given.append(items)

    app.handle(source, batch=True, **options)(handler)
    run(app.stream())
    return given


def test_what_an_iterable_gives_without_waiting_is_a_list(app: App) -> None:
    """At most a thousand items, and at least one."""

    async def source() -> AsyncIterator[str]:
        for value in "abc":
            yield value
        await asyncio.sleep(0.01)
        yield "d"
        await asyncio.sleep(0.01)

    assert lists(app, source()) == [["a", "b", "c"], ["d"]]
    assert [len(items) for items in lists(App("long"), numbers(2_500))] == [1_000, 1_000, 500]


def test_items_of_a_shared_iterable_come_in_lists_of_one(app: App) -> None:
    """Each item goes to all its handlers before the next one is pulled."""
    seen: list[Any] = []
    source = numbers(3)
    app.handle(source)(seen.append)
    app.handle(source, batch=True)(seen.append)
    run(app.stream())
    assert seen == [0, [0], 1, [1], 2, [2]]


def test_an_iterable_that_fails_fails_after_what_it_gave(app: App) -> None:
    """The items that came before the error are handled."""
    given: list[list[int]] = []

    async def source() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise Boom

    app.handle(source(), batch=True)(given.append)
    with pytest.raises(Boom):
        run(app.stream())
    assert given == [[1, 2]]


def test_what_was_pulled_is_handled_before_a_stop(app: App) -> None:
    """It would come no second time; nothing is pulled behind it."""
    given: list[list[int]] = []
    pulled: list[int] = []

    async def source() -> AsyncIterator[int]:
        for i in range(10):
            pulled.append(i)
            yield i
            await asyncio.sleep(0)

    async def handler(items: list[int]) -> None:
        given.append(items)
        app.stop()
        for _ in range(20):
            await asyncio.sleep(0)

    app.handle(source(), batch=True)(handler)
    run(app.stream())
    assert [i for items in given for i in items] == pulled
    assert len(pulled) <= 2  # the one in hand, and the one that was being waited for


def test_nothing_is_pulled_in_a_pause(app: App) -> None:
    """But for the one item that was being waited for."""
    pulled: list[int] = []
    given: list[list[int]] = []
    more = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        for i in range(5):
            pulled.append(i)
            yield i
            if i == 0:
                await more.wait()

    numbers = source()
    app.handle(numbers, batch=True)(given.append)

    async def work() -> None:
        running = asyncio.ensure_future(app.stream())
        while not given:
            await asyncio.sleep(0)
        app.pause(numbers)
        more.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert (pulled, given) == ([0, 1], [[0]])
        app.resume(numbers)
        await running

    run(work())
    assert [i for items in given for i in items] == [0, 1, 2, 3, 4]


def test_what_an_iterable_writes_belongs_to_no_list(app: App) -> None:
    """A list that fails takes its own writes with it, and not those of its source."""
    kept = app.cache("kept")

    async def source() -> AsyncIterator[int]:
        kept["source"] = 1
        yield 1

    def handler(items: list[int]) -> None:
        kept["handler"] = 1
        raise Boom

    app.handle(source(), batch=True)(handler)
    with AppTest(app) as test:
        with pytest.raises(Boom):
            test.run()
        assert dict(test.cache("kept").items()) == {"source": 1}
