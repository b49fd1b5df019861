"""What several bindings of one iterable write: each on its own account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

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


@BETWEEN_APPS
@pytest.mark.parametrize("failing", ["first", "second"])
def test_what_a_handler_leaves_to_be_awaited_is_its_own(make_app: MakeApp, failing: str) -> None:
    """Tasks that a plain function returns write for its item."""
    app = make_app()
    seen = app.cache("seen")
    source = numbers()

    async def write(number: int, name: str) -> None:
        await asyncio.sleep(0)
        if number == LAST:
            seen[name] = number
            if name == failing:
                raise LookupError(name)

    @app.handle(source)
    def first(number: int) -> asyncio.Future[tuple[None]]:
        return asyncio.gather(write(number, "first"))

    @app.handle(source)
    def second(number: int) -> asyncio.Future[tuple[None]]:
        return asyncio.gather(write(number, "second"))

    run_to_the_failure(app)
    assert failing not in seen
    assert ("first" in seen) == (failing == "second")
    app.close()
