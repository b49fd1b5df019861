"""A crash is data: where it happens, and what comes again after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipcore import App, ISource, Record
from slipcore.checkpointing import Checkpoint, Dependency
from slipcore.config import Config
from slipcore.current import use_app
from slipcore.interfaces import Assignment, Capability, ConfigError, Positions, SlipError
from slipcore.testing import AppTest
from slipcore.testing.app_world import Moment

from .conftest import bind_words


class TestCrash:
    """What was not durable is forgotten or comes again; nothing else."""

    def test_an_idle_app_loses_nothing(self, words: App) -> None:
        """All that an idle app has done is durable and committed."""
        with AppTest(words) as test:
            test.send("words", "to be")
            test.run()
            test.crash()
            assert not test.running
            test.send("words", "be")
            test.run()
            assert test.sent("counted") == [("to", 1), ("be", 1), ("be", 2)]

    def test_exactly_what_was_not_committed_comes_again(self, app: App) -> None:
        """Records before the last commit don't, those that were handled since do."""
        handled: list[str] = []
        app.handle(app.topic("in"))(lambda record: handled.append(record.value))
        with AppTest(app) as test:
            for value in "ab":
                test.send("in", value)
            test.run()
            for value in "cdef":
                test.send("in", value)
            test.run(crash_after=3)
            assert handled == ["a", "b", "c", "d", "e"]
            test.run()
        assert handled == ["a", "b", "c", "d", "e", "c", "d", "e", "f"]

    def test_unflushed_outputs_and_state_are_gone(self, words: App) -> None:
        """A process that dies after its handlers returned has sent and kept nothing."""
        with AppTest(words) as test:
            test.send("words", "to be")
            test.send("words", "or")
            test.run(crash_after=2)
            assert (test.sent("counted"), dict(test.cache("counts").items())) == ([], {})
            test.run()
            assert test.sent("counted") == [("to", 1), ("be", 1), ("or", 1)]

    @pytest.mark.parametrize(
        ("moment", "durable", "kept", "in_the_end"),
        [
            ("flush", [("be", 1)], None, [("be", 1), ("be", 1)]),
            ("write", [("be", 1)], 1, [("be", 1)]),
            ("commit", [("be", 1)], 1, [("be", 1)]),
        ],
    )
    def test_between_outputs_state_and_commit(
        self,
        words: App,
        moment: Moment,
        durable: list[tuple[str, int]],
        kept: int | None,
        in_the_end: list[tuple[str, int]],
    ) -> None:
        """Outputs may come twice, state counts once, whichever of them was durable alone."""
        with AppTest(words) as test:
            test.send("words", "be")
            test.run(crash_after=moment)
            assert (test.sent("counted"), test.cache("counts")["be"]) == (durable, kept)
            test.run()
            assert (test.sent("counted"), test.cache("counts")["be"]) == (in_the_end, 1)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.sampled_from([1, 2, 3, 5, "flush", "write", "commit", "kill"]), max_size=5))
    def test_state_is_effectively_once(self, crashes: list[Any]) -> None:
        """Whatever the crashes, each word is counted once and every count goes out."""
        app = bind_words(App("shop", config=Config(Path.cwd())))
        with AppTest(app) as test:
            for crash in crashes:
                for word in "abcab":
                    test.send("words", word)
                if crash == "kill":
                    test.crash()
                else:
                    test.run(crash_after=crash)
            test.run()
            n = len(crashes)
            counts = {"a": 2 * n, "b": 2 * n, "c": n} if n else {}
            assert dict(test.cache("counts").items()) == counts
            sent = {(word, i) for word, count in counts.items() for i in range(1, count + 1)}
            assert set(test.sent("counted")) == sent

    def test_the_dead_do_nothing(self, app: App) -> None:
        """What a `finally` block writes and exit hooks do is not done by a killed process."""
        cache, left = app.cache("kept"), app.topic("left")
        handled: list[str] = []
        exits: list[str] = []
        app.on_exit(lambda: exits.append("exit"))

        async def hold(record: Record) -> None:
            handled.append(record.value)
            try:
                await asyncio.sleep(10)
            finally:
                cache["finally"] = True
                await left("key", "finally")

        app.handle(app.topic("slow"))(hold)
        app.handle(app.topic("fast"), app.topic("other"))(lambda r: handled.append(r.value))
        with AppTest(app) as test:
            test.send("slow", "slow")
            test.send("fast", "fast")
            test.run(crash_after=1)
            assert handled in (["slow", "fast"], ["fast"])
            assert (cache["finally"], test.sent("left"), exits) == (None, [], [])
            test.run()
            assert (cache["finally"], test.sent("left")) == (True, [("key", "finally")])
        assert exits == ["exit"]

    def test_the_dead_handle_nothing(self, app: App) -> None:
        """No other handler gets a record once the process is dead."""
        handled: list[str] = []
        topics = [app.topic(f"t{n}") for n in range(5)]
        app.handle(*topics)(lambda record: handled.append(record.value))
        with AppTest(app) as test:
            for topic in topics:
                test.send(topic, topic.name)
            test.run(crash_after=2)
            assert len(handled) == 2
            test.run()
        assert len(handled) == 7

    def test_what_a_source_does_at_its_end(self, app: App) -> None:
        """What a killed generator writes while it is closed is not there afterwards."""
        cache = app.cache("kept")

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                await asyncio.sleep(10)
            finally:
                cache["closed"] = True

        @app.handle(numbers())
        def keep(number: int) -> None:
            cache["number"] = number

        with AppTest(app) as test:
            test.run()
            test.crash()
            assert dict(cache.items()) == {"number": 1}
            test.run()
            assert dict(cache.items()) == {"number": 1}

    def test_one_that_is_never_reached(self, words: App) -> None:
        """A crash that the test only believes in is an error."""
        with AppTest(words) as test:
            test.send("words", "be")
            with pytest.raises(SlipError) as caught:
                test.run(crash_after=2)
            assert str(caught.value) == (
                "The app was idle, with 1 records handled, before crash_after=2: send more "
                "before, or crash it earlier."
            )

    @pytest.mark.parametrize("after", [0, -1, True, "flushed"])
    def test_a_wrong_moment(self, words: App, after: Any) -> None:
        """What is neither a count nor a moment is refused."""
        with AppTest(words) as test, pytest.raises(ConfigError, match="'flush', 'write', 'commit'"):
            test.run(crash_after=after)

    def test_iterables_that_cannot_replay(self, app: App) -> None:
        """What was pulled from an iterable and not sent on is lost, as it is in a process."""

        class Numbers:
            def __init__(self) -> None:
                self.numbers = iter(range(5))

            async def __aiter__(self) -> AsyncIterator[int]:
                for number in self.numbers:
                    yield number

        seen: list[int] = []
        app.handle(Numbers())(lambda number: seen.append(number))
        with AppTest(app) as test:
            test.run(crash_after=2)
            assert seen == [0, 1]
            test.run()
        assert seen == [0, 1, 2, 3, 4]

    def test_a_source_object_that_can_seek(self, app: App) -> None:
        """It is read again from the position that the app's store keeps."""

        class Letters(ISource):
            capabilities = frozenset({Capability.SEEK})
            at = 0

            async def accept(self, assignment: Assignment, positions: Positions) -> None:
                self.at = positions.get(0, -1) + 1

            async def read(self, max_records: int) -> list[Record]:
                if self.at >= 4:
                    await asyncio.get_running_loop().create_future()
                records = [Record("abcd"[self.at], None, "letters", 0, self.at, 0)]
                self.at += 1
                return records

        seen: list[str] = []
        app.handle(Letters())(lambda record: seen.append(record.value))
        with AppTest(app) as test:
            test.run(crash_after=3)
            assert seen == ["a", "b", "c"]
            test.run()
            assert seen == ["a", "b", "c", "a", "b", "c", "d"]
            test.crash()
            test.run()
            assert seen == ["a", "b", "c", "a", "b", "c", "d"]

    def test_a_checkpoint(self, app: App) -> None:
        """A checkpoint knows after a crash what it had saved, and nothing more."""
        before = use_app(app)
        try:
            events, beats = app.topic("events"), app.topic("beats")
            cache = app.cache("checkpoints")
            checkpoint = Checkpoint(
                "events", events, [Dependency("beats", beats, downtime_threshold=5)], cache=cache
            )
        finally:
            use_app(before)

        @app.handle(events)
        async def pulse(record: Record) -> None:
            await checkpoint.check_pulse(int(record.value), offset=record.offset)

        @app.handle(beats)
        async def beat(record: Record) -> None:
            await checkpoint.heartbeat(int(record.value))

        with AppTest(app) as test:
            test.send("events", "1")
            test.run()
            test.send("events", "100")
            test.run(crash_after=1)
            test.run()
            assert (checkpoint.state_marker, checkpoint["beats"].is_down) == (100, True)
            test.send("events", "101")
            test.crash()
            test.run()
            assert checkpoint.state_marker == 100  # it is paused again at the start
            test.send("beats", "200")
            test.run()
            assert (checkpoint.state_marker, checkpoint["beats"].is_down) == (101, False)


def test_every_record_is_told_once() -> None:
    """A longer chain of handlers, with a crash after each record in turn: the sums are exact."""
    for at in range(1, 13):
        app = App("chain", config=Config(Path.cwd()))
        a, b, total = app.topic("a"), app.topic("b", type=int), app.cache("total")
        app.handle(a, sink=[b], name="parse")(lambda record: int(record.value))

        def add(record: Record, total: Any = total) -> None:
            total["sum"] = total.get("sum", 0) + record.value

        app.handle(b, name="add")(add)
        with AppTest(app) as test:
            for n in range(6):
                test.send("a", str(n))
            test.run(crash_after=at)
            test.run()
            sent = Counter(value for _, value in test.sent("b"))
            assert set(sent) == set(range(6))
            assert total["sum"] == sum(n * times for n, times in sent.items())
