"""What several bindings of one iterable write: each on its own account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from slipcore import App

from .conftest import BETWEEN_APPS, MakeApp

LAST = 300
"""The item that is written: the bindings have had their turns for long by then."""


async def numbers() -> AsyncIterator[int]:
    for number in range(LAST + 1):
        yield number


def run_to_the_failure(app: App) -> None:
    with pytest.raises(LookupError):
        asyncio.run(app.stream())


@BETWEEN_APPS
@pytest.mark.parametrize("failing", ["first", "second"])
@pytest.mark.parametrize("at", [0, LAST])
def test_what_the_failed_binding_wrote_is_undone_and_nothing_else(
    make_app: MakeApp, failing: str, at: int
) -> None:
    """Whether the item is the first of all, or comes after many that wrote nothing."""
    app = make_app()
    seen = app.cache("seen")
    source = numbers()

    def write(number: int, name: str) -> None:
        if number == at:
            seen[name] = number
            if name == failing:
                raise LookupError(name)

    @app.handle(source)
    def first(number: int) -> None:
        write(number, "first")

    @app.handle(source)
    def second(number: int) -> None:
        write(number, "second")

    run_to_the_failure(app)
    assert failing not in seen
    assert ("first" in seen) == (failing == "second")
    app.close()


@BETWEEN_APPS
@pytest.mark.parametrize("at", [1, LAST])
def test_what_the_source_itself_writes_is_no_bindings(make_app: MakeApp, at: int) -> None:
    """It is durable at once, and stays when a binding fails with the item."""
    app = make_app()
    seen = app.cache("seen")

    async def writing() -> AsyncIterator[int]:
        async for number in numbers():
            if number == at:
                seen["source"] = number
            yield number

    source = writing()

    @app.handle(source)
    def first(number: int) -> None: ...

    @app.handle(source)
    def second(number: int) -> None:
        if number == at:
            raise LookupError

    run_to_the_failure(app)
    assert seen["source"] == at
    app.close()


@BETWEEN_APPS
@pytest.mark.parametrize("is_async", [True, False])
def test_what_a_binding_has_begun_is_not_undone_with_another(
    make_app: MakeApp, is_async: bool
) -> None:
    """A task in the background may write while the item of another binding is in hand."""
    app = make_app()
    seen = app.cache("seen")
    source = numbers()
    begun: list[asyncio.Task[None]] = []

    async def write_soon() -> None:
        await asyncio.sleep(0.01)
        seen["first"] = LAST

    def begin(number: int) -> None:
        if number == LAST:
            begun.append(asyncio.create_task(write_soon()))

    async def begin_async(number: int) -> None:
        begin(number)

    app.handle(source)(begin_async if is_async else begin)

    @app.handle(source)
    async def second(number: int) -> None:
        if number == LAST:
            await asyncio.wait(begun)
            raise LookupError

    run_to_the_failure(app)
    assert seen["first"] == LAST
    app.close()


async def all_of(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        await task


@BETWEEN_APPS
@pytest.mark.parametrize("failing", ["first", "second"])
@pytest.mark.parametrize("left", ["future", "coroutine", "sink"])
def test_what_a_handler_leaves_to_be_awaited_is_its_own(
    make_app: MakeApp, failing: str, left: str
) -> None:
    """Tasks that a plain function or its sink has begun, and returns, write for its item."""
    app = make_app()
    seen = app.cache("seen")
    source = numbers()

    async def write(number: int, name: str) -> None:
        await asyncio.sleep(0)
        if number == LAST:
            seen[name] = number
            if name == failing:
                raise LookupError(name)

    def handler_of(name: str) -> Callable[[int], Any]:
        def handle(number: int) -> Any:
            if left == "sink":
                return number
            task = asyncio.ensure_future(write(number, name))
            return task if left == "future" else all_of([task])

        return handle

    def sink_of(name: str) -> Callable[[int], Any]:
        return lambda number: asyncio.ensure_future(write(number, name))

    for name in ("first", "second"):
        sinks = [sink_of(name)] if left == "sink" else []
        app.handle(source, sink=sinks)(handler_of(name))

    run_to_the_failure(app)
    assert failing not in seen
    assert ("first" in seen) == (failing == "second")
    app.close()


@BETWEEN_APPS
@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("bindings", [1, 2])
@pytest.mark.parametrize("ends_by", ["stop", "cancel", "error"])
def test_what_is_written_while_the_source_waits_is_durable_at_once(
    make_app: MakeApp, is_async: bool, bindings: int, ends_by: str
) -> None:
    """A task in the background has no item: it is not undone however the source ends."""
    app = make_app()
    seen = app.cache("seen")
    begun: list[asyncio.Task[None]] = []
    running: list[asyncio.Future[None]] = []

    async def write_soon() -> None:
        await asyncio.sleep(0.01)
        seen["late"] = 1

    async def one_and_wait() -> AsyncIterator[int]:
        yield 1
        await asyncio.wait(begun)
        if ends_by == "error":
            raise LookupError
        running[0].cancel() if ends_by == "cancel" else app.stop()
        await asyncio.sleep(30)

    def begin(number: int) -> None:
        begun.append(asyncio.create_task(write_soon()))

    async def begin_async(number: int) -> None:
        begin(number)

    source = one_and_wait()
    for _ in range(bindings - 1):
        app.handle(source)(lambda number: None)
    app.handle(source)(begin_async if is_async else begin)

    async def run() -> None:
        running.append(asyncio.ensure_future(app.stream()))
        await asyncio.wait(running, timeout=10)
        assert running[0].done()
        assert (ends_by == "error") == (not running[0].cancelled() and bool(running[0].exception()))

    asyncio.run(run())
    assert "late" in seen
    app.close()
