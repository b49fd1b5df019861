"""Records that fail while others are in hand beside them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import pytest

from slipcore import App, Context, Record, dead_letter, retry, skip
from slipcore.interfaces import SinkError, StateError
from slipcore.testing import AppTest


def app_with_topic() -> tuple[App, Any]:
    app = App("side")
    return app, app.topic("in")


def send(test: AppTest, *pairs: tuple[Any, Any]) -> None:
    for key, value in pairs:
        test.send("in", str(value), key=key)


def test_a_retry_holds_up_its_key_and_nothing_else() -> None:
    """Others are handled meanwhile, and committed when it is through."""
    app, topic = app_with_topic()
    seen: list[tuple[str, int]] = []

    @app.handle(topic, concurrency=1, on_error=retry(3, backoff=10.0, jitter=0.0))
    async def handle(record: Record, context: Context) -> None:
        assert context.record is record
        seen.append((record.value, context.attempt))
        if record.value == "0" and context.attempt < 3:
            raise ValueError("not yet")

    with AppTest(app) as test:
        send(test, ("a", 0), ("a", 1), ("b", 2), ("b", 3))
        test.run()
        assert dict(app.streams[0].committed) == {0: 3}  # type: ignore[attr-defined]  # a source has it
    assert seen == [("0", 1), ("2", 1), ("3", 1), ("0", 2), ("0", 3), ("1", 1)]


def test_skipped_and_put_aside_records_are_finished_in_their_place() -> None:
    """Each by its own rule."""
    app, topic = app_with_topic()
    seen: list[str] = []
    rules: list[Any] = [skip(on=KeyError), dead_letter(app.topic("dead"))]

    @app.handle(topic, concurrency=3, on_error=rules)
    async def handle(record: Record) -> None:
        await asyncio.sleep(1)
        if record.value == "1":
            raise KeyError(1)
        if record.value == "2":
            raise ValueError(2)
        seen.append(record.value)

    with AppTest(app) as test:
        send(test, *((f"k{n}", n) for n in range(5)))
        test.run()
        assert dict(app.streams[0].committed) == {0: 4}  # type: ignore[attr-defined]  # a source has it
        (letter,) = test.records("dead")
    assert seen == ["0", "3", "4"]
    assert (letter.key, letter.value) == ("k2", "2")


def test_an_error_lets_what_is_before_it_pass_and_nothing_behind_it() -> None:
    """What was handled behind the failed record is undone, and comes again."""
    app, topic = app_with_topic()
    counts = app.cache("counts")
    broken = [True]

    @app.handle(topic, concurrency=5, name="count")
    async def count(record: Record) -> None:
        counts[record.key] = counts.get(record.key, 0) + 1
        await asyncio.sleep({0: 5, 2: 3}.get(record.offset, 1))
        if record.offset == 2 and broken[0]:
            raise ValueError("no")

    with AppTest(app) as test:
        send(test, *((f"k{n}", n) for n in range(5)))
        with pytest.raises(ValueError, match="no") as raised:
            test.run()
        assert raised.value.__notes__ == ["raised while side/count/memory:in was handling in[0]@2"]
        assert dict(test.cache("counts").items()) == {"k0": 1, "k1": 1}
        broken[0] = False
        test.run()
        assert dict(test.cache("counts").items()) == {f"k{n}": 1 for n in range(5)}


def test_a_failed_write_that_another_record_has_built_on_fails_the_binding() -> None:
    """No rule can take it, the error names the way out, and the state is exact afterwards."""
    app, topic = app_with_topic()
    total = app.cache("total")
    broken = [True]

    @app.handle(topic, concurrency=2, on_error=skip())
    async def add(record: Record) -> None:
        total["all"] = total.get("all", 0) + 1
        await asyncio.sleep(2 - record.offset)
        if record.offset == 0 and broken[0]:
            raise ValueError("no")

    with AppTest(app) as test:
        send(test, ("a", 0), ("b", 1))
        with pytest.raises(StateError, match="let the cache's key be the record's key"):
            test.run()
        assert dict(test.cache("total").items()) == {}
        broken[0] = False
        test.run()
        assert dict(test.cache("total").items()) == {"all": 2}


def test_a_sink_is_tried_again_for_each_record_by_itself() -> None:
    """Records in hand together have tries of their own."""
    app, topic = app_with_topic()
    tries: dict[str, int] = defaultdict(int)

    def sink(value: str) -> None:
        tries[value] += 1
        if tries[value] < 3:
            raise SinkError("not yet")

    @app.handle(topic, sink=[sink], concurrency=3, on_sink_error=retry(5, jitter=0.0))
    async def handle(record: Record) -> str:
        await asyncio.sleep(0.1)
        return str(record.value)

    with AppTest(app) as test:
        send(test, *((f"k{n}", n) for n in range(3)))
        test.run()
        assert dict(app.streams[0].committed) == {0: 2}  # type: ignore[attr-defined]  # a source has it
    assert tries == {"0": 3, "1": 3, "2": 3}
