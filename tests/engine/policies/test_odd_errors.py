"""Errors that are none, that can't be told, and that say too much."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slipcore import App, Record, dead_letter, skip
from slipcore.testing import AppTest

from .conftest import headers

HOW = pytest.mark.parametrize("how", [{}, {"concurrency": 3}], ids=["in turn", "3 at once"])


async def cancelled() -> None:
    """What a library does that cancels a task of its own."""
    task = asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


@HOW
def test_a_cancellation_that_the_app_did_not_ask_for_is_a_failure(
    app: App, how: dict[str, Any]
) -> None:
    """A rule takes it, and what comes after it is handled."""
    topic = app.topic("in")
    seen: list[str] = []

    @app.handle(topic, on_error=dead_letter("dead"), **how)
    async def handler(record: Record) -> None:
        if record.value == "b":
            await cancelled()
        seen.append(record.value)

    with AppTest(app) as test:
        for value in "abc":
            test.send(topic, value)
        test.run()
        assert seen == ["a", "c"]
        (letter,) = test.records("dead")
        assert letter.value == b"b"
        assert b"cancelled, though not by the app" in headers(letter)["slip-dlq-message"]


@HOW
@pytest.mark.parametrize("source", ["topic", "iterable", "two bindings"])
def test_such_a_cancellation_ends_an_app_with_an_error(
    app: App, how: dict[str, Any], source: str
) -> None:
    """It was taken for the end of all: no error, no word of the record."""
    topic = app.topic("in")

    async def items() -> Any:
        for value in "abc":
            yield value

    given = topic if source == "topic" else items()

    async def handler(record: Any) -> None:
        if (record.value if isinstance(record, Record) else record) == "b":
            await cancelled()

    app.handle(given, **how)(handler)
    if source == "two bindings":
        app.handle(given, name="other")(lambda item: None)
    with AppTest(app) as test:
        for value in "abc":
            test.send(topic, value)
        with pytest.raises(RuntimeError, match="cancelled, though not by the app"):
            test.run()


@pytest.mark.parametrize("bindings", [1, 2])
def test_an_error_of_a_handler_of_items_keeps_what_led_to_it(app: App, bindings: int) -> None:
    async def items() -> Any:
        yield "a"

    def handler(item: str) -> None:
        try:
            raise KeyError(item)
        except KeyError:
            raise ValueError("one led to the other")  # noqa: B904  # as it is written by many

    given = items()
    for number in range(bindings):
        app.handle(given, name=f"binding {number}")(handler)
    with AppTest(app) as test, pytest.raises(ValueError, match="one led") as caught:
        test.run()
    assert isinstance(caught.value.__context__, KeyError)
    assert not caught.value.__suppress_context__


class Unsayable(Exception):
    """Its message can't be had."""

    def __str__(self) -> str:
        raise ValueError("broken")


@HOW
def test_an_error_that_can_not_be_told_is_dealt_with(app: App, how: dict[str, Any]) -> None:
    """Its letter says that it can't."""
    topic = app.topic("in")

    @app.handle(topic, on_error=dead_letter("dead"), **how)
    async def handler(record: Record) -> None:
        raise Unsayable

    with AppTest(app) as test:
        test.send(topic, "a")
        test.run()
        (letter,) = test.records("dead")
        found = headers(letter)
        assert found["slip-dlq-message"] == b"(its message can't be had: ValueError)"
        assert found["slip-dlq-error"].endswith(b".Unsayable")


def test_the_log_has_the_beginning_of_a_message_as_it_can_be_printed(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    topic = app.topic("in")

    @app.handle(topic, on_error=skip())
    def handler(record: Record) -> None:
        raise ValueError("one\x00two\x1b[31m\n" * 500)

    with AppTest(app) as test:
        test.send(topic, "a")
        test.run()
    (said,) = [r.getMessage() for r in caplog.records if "ValueError" in r.getMessage()]
    assert len(said) < 1_200
    assert "one?two?[31m\n" in said
    assert said.endswith("...")
