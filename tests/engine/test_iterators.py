"""Iterators that are classes: begun once, and asked for nothing more once they have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import BETWEEN_APPS, MakeApp, run


class BeginsAnew:
    """An iterator that is at its beginning whenever it is asked for itself."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.last = 0

    def __aiter__(self) -> BeginsAnew:
        self.last = 0
        return self

    async def __anext__(self) -> int:
        if self.last == self.count:
            raise StopAsyncIteration
        self.last += 1
        return self.last


class UntilNone:
    """A reader of a queue, which waits for ever behind the end."""

    def __init__(self, *items: Any) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        for item in (*items, None):
            self.queue.put_nowait(item)

    def __aiter__(self) -> UntilNone:
        return self

    async def __anext__(self) -> Any:
        item = await self.queue.get()
        if item is None:
            raise StopAsyncIteration
        return item


@BETWEEN_APPS
@pytest.mark.parametrize("make", [lambda: BeginsAnew(3), lambda: UntilNone(1, 2, 3)])
@pytest.mark.parametrize("bindings", [1, 2])
@pytest.mark.parametrize("state", ["none", "seen", "met"])
def test_each_item_is_handled_once_and_the_end_is_the_end(
    make_app: MakeApp, make: Callable[[], Any], bindings: int, state: str
) -> None:
    """Whether or not there is state, and where it is met only when an item is handled."""
    app, source = make_app(), make()
    seen = app.cache("seen")
    met = {"caches": [seen]}
    handled: list[tuple[int, int]] = []

    def handler_of(binding: int) -> Any:
        def plain(number: int) -> None:
            handled.append((binding, number))

        def stateful(number: int) -> None:
            plain(number)
            seen[number] = binding

        def hidden(number: int) -> None:
            plain(number)
            met["caches"][0][number] = binding

        return {"none": plain, "seen": stateful, "met": hidden}[state]

    for binding in range(bindings):
        app.handle(source)(handler_of(binding))
    run(app.stream())
    assert handled == [(b, number) for number in (1, 2, 3) for b in range(bindings)]


@BETWEEN_APPS
@pytest.mark.parametrize("has_state", [True, False])
def test_what_one_binding_has_the_others_get_though_a_stop_comes(
    make_app: MakeApp, has_state: bool
) -> None:
    app = make_app()
    seen = app.cache("seen")
    handled: list[tuple[str, int]] = []
    source = BeginsAnew(5)

    @app.handle(source)
    def first(number: int) -> None:
        handled.append(("first", number))
        if has_state:
            seen[number] = 1
        if number == 2:
            app.stop()

    @app.handle(source)
    def second(number: int) -> None:
        handled.append(("second", number))

    run(app.stream())
    assert handled == [(name, n) for n in (1, 2) for name in ("first", "second")]
