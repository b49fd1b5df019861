"""How an `AppTest` ends: by an error, a deadline, or in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipcore import App, Cache, Record
from slipcore.config import Config
from slipcore.current import use_app
from slipcore.interfaces import ConfigError, DeadlineError, SlipError
from slipcore.testing import AppTest

from .conftest import bind_words


class TestEnds:
    """Errors come out as they are; starts, stops and ends are told apart."""

    def test_an_error_of_a_handler(self, app: App) -> None:
        """It comes out of `run`; what came before it is committed, and its record comes again."""
        handled: list[str] = []
        fails = True

        def fragile(record: Record) -> None:
            if record.value == "b" and fails:
                raise ValueError("no b")
            handled.append(record.value)

        app.handle(app.topic("in"))(fragile)
        with AppTest(app) as test:
            for value in "abc":
                test.send("in", value)
            with pytest.raises(ValueError, match="no b"):
                test.run()
            assert not test.running
            fails = False
            test.run()
        assert handled == ["a", "b", "c"]

    def test_an_error_after_a_time(self, app: App) -> None:
        """It comes out of `advance` as well."""

        async def later() -> AsyncIterator[None]:
            await asyncio.sleep(5)
            raise LookupError("late")
            yield

        app.handle(later())(lambda _: None)
        with AppTest(app) as test:
            test.run()
            with pytest.raises(LookupError, match="late"):
                test.advance(10)
            assert test.now == datetime(2025, 1, 1, 0, 0, 5, tzinfo=UTC)

    def test_an_assertion_of_the_test(self, words: App) -> None:
        """What the test raises is not hidden by what the app does at its end."""

        async def hold(record: Record) -> None:
            await asyncio.get_running_loop().create_future()

        words.handle(words.topic("held"))(hold)
        with pytest.raises(AssertionError, match="mine"), AppTest(words, deadline=0.1) as test:
            test.send("held", "a")
            test.advance(1)
            raise AssertionError("mine")

    def test_a_start_that_is_refused(self, app: App) -> None:
        """A configuration error of the app is that of `run`."""
        app.handle(app.topic("in"))(lambda record, db: None)
        with AppTest(app) as test, pytest.raises(ConfigError, match="nobody supplies: 'db'"):
            test.run()

    def test_what_is_supplied(self, app: App) -> None:
        """`supply` stands for the arguments of `stream`."""
        seen: list[Any] = []
        app.handle(app.topic("in"))(lambda record, db: seen.append(db))
        with AppTest(app, supply={"db": "fake"}) as test:
            test.send("in", "a")
            test.run()
        assert seen == ["fake"]

    def test_stop_and_start(self, words: App) -> None:
        """A stop is in order, with exit hooks; the next run goes on behind it."""
        exits: list[int] = []
        words.on_exit(lambda: exits.append(1))
        with AppTest(words) as test:
            test.send("words", "be")
            test.run()
            test.stop()
            assert (test.running, exits) == (False, [1])
            test.send("words", "be")
            test.advance(60)
            assert test.sent("counted") == [("be", 1)]
            test.run()
            assert test.sent("counted") == [("be", 1), ("be", 2)]
        assert exits == [1, 1]

    def test_an_app_that_ends_by_itself(self, app: App) -> None:
        """Its sources have ended, or it has stopped itself: that is an end, and no error."""

        async def numbers() -> AsyncIterator[int]:
            yield 1
            yield 2

        app.handle(numbers(), sink=[app.topic("out", type=int)])(lambda number: number * 2)
        with AppTest(app) as test:
            test.run()
            assert (test.sent("out"), test.running) == ([(None, 2), (None, 4)], False)

    def test_nothing_is_left_afterwards(self, words: App, tmp_path: Path) -> None:
        """The app is what it was: its backends, its limits, no state of the test."""
        limits = words.limits
        with AppTest(words) as test:
            test.send("words", "be")
            test.run()
        assert not (tmp_path / ".slip").exists()
        assert words.limits is limits
        assert words.topic("words").choice().backend.name == "sqlite"
        assert next(iter(words.caches)).choice().backend.name == "sqlite"
        with AppTest(words) as test:
            test.run()
            assert (test.records("words"), test.cache("counts")["be"]) == ([], None)

    def test_two_apps_side_by_side(self, tmp_path: Path) -> None:
        """Each has its own topics, state, clock and end."""
        config = Config.load(tmp_path, {})
        with AppTest(bind_words(App("a", config=config))) as one:
            with AppTest(bind_words(App("b", config=config))) as other:
                one.send("words", "be")
                one.advance(60)
                other.run()
                one.run()
                assert (one.sent("counted"), other.sent("counted")) == ([("be", 1)], [])
                assert one.now - other.now == timedelta(seconds=60)
                other.crash()
            one.send("words", "be")
            one.run()
            assert one.sent("counted") == [("be", 1), ("be", 2)]

    def test_one_app_twice(self, words: App) -> None:
        """An app is under one test at a time."""
        with (
            AppTest(words),
            pytest.raises(SlipError, match="App\\('shop'\\) is under test already"),
        ):
            AppTest(words).__enter__()

    def test_in_an_async_test(self, words: App) -> None:
        """It says why not, and what to do."""

        async def test() -> None:
            with AppTest(words):
                pass

        with pytest.raises(SlipError, match="use it in a plain function"):
            asyncio.run(test())

    def test_without_its_block(self, words: App) -> None:
        """Before its block there is nothing to feed."""
        with pytest.raises(SlipError, match=r"with AppTest\(...\) as app:"):
            AppTest(words).send("words", "be")


class TestLeaving:
    """What comes after a deadline, and what a test may ask of the clock."""

    def test_a_deadline_is_told_once(self, app: App) -> None:
        """A test that expects it leaves the block without another one."""

        @app.handle(app.topic("in"))
        async def wait(record: Record) -> None:
            await asyncio.get_running_loop().create_future()

        with AppTest(app, deadline=0.2) as test:
            test.send("in", "v")
            with pytest.raises(DeadlineError):
                test.run()

    def test_time_does_not_go_back(self, app: App) -> None:
        """A negative time is an error."""
        with AppTest(bind_words(app)) as test, pytest.raises(ValueError, match="not -5"):
            test.advance(-5)

    def test_a_cache_of_another_app_that_a_handler_uses(self, app: App) -> None:
        """It is had by its name, like the app's own."""
        former = use_app(App("other", config=app.config))
        try:
            totals = Cache("totals")
        finally:
            use_app(former)

        @app.handle(app.topic("in"), sink=[totals])
        def count(record: Record) -> tuple[str, int]:
            return "all", (totals["all"] or 0) + 1

        with AppTest(app) as test:
            test.send("in", "v")
            test.run()
            assert test.cache("totals")["all"] == 1
        totals.app.close()
