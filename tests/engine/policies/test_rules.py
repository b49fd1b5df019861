"""What a rule is, and what a handler is told of the try it is in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipcore import App, Context, Record, dead_letter, retry, skip
from slipcore.interfaces import ConfigError
from slipcore.testing import AppTest

from .conftest import Boom


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
