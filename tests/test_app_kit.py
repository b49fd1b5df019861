"""`AppTest`: apps in memory, run to idle, with a clock that stands still, crashed as data."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipcore import App, Cache, ISource, Limits, Out, Record, Sink, Source
from slipcore.checkpointing import Checkpoint, Dependency
from slipcore.clock import now
from slipcore.config import Config
from slipcore.current import current_app, use_app
from slipcore.interfaces import (
    Assignment,
    Capability,
    ConfigError,
    DeadlineError,
    EncodeError,
    Positions,
    SlipError,
)
from slipcore.testing import AppTest
from slipcore.testing.app_world import Moment

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An app whose configuration is its own."""
    return App("shop", config=Config.load(tmp_path, {}))


def bind_words(app: App) -> App:
    """Count the words of lines; each goes on with its count."""
    words, counts = app.topic("words"), app.cache("counts")

    @app.handle(words, sink=[app.topic("counted", type=int)], name="count")
    def count(record: Record) -> Iterator[tuple[str, int]]:
        for word in record.value.split():
            counts[word] = counts.get(word, 0) + 1
            yield word, counts[word]

    return app


@pytest.fixture
def words(app: App) -> App:
    return bind_words(app)


class TestIdle:
    """`run` ends when there is nothing left to do, and not before."""

    def test_what_was_fed_is_handled_sent_and_kept(self, words: App) -> None:
        """The records that came out, and the state."""
        with AppTest(words) as test:
            test.send("words", "to be or not to be")
            test.run()
            assert test.sent("counted") == [
                ("to", 1), ("be", 1), ("or", 1), ("not", 1), ("to", 2), ("be", 2)
            ]  # fmt: skip
            assert dict(test.cache("counts").items()) == {"be": 2, "not": 1, "or": 1, "to": 2}

    def test_feeding_while_idle(self, words: App) -> None:
        """The app stays as it is between two runs, and goes on with what comes."""
        starts: list[int] = []
        words.on_start(lambda: starts.append(1))
        with AppTest(words) as test:
            test.run()
            assert (test.sent("counted"), test.running) == ([], True)
            for _ in range(3):
                test.send("words", "be")
                test.run()
            assert test.sent("counted") == [("be", 1), ("be", 2), ("be", 3)]
        assert starts == [1]

    def test_many_records_in_several_partitions(self, app: App) -> None:
        """More than one read gives, in all partitions, through two handlers."""
        first, second = app.topic("first", {"partitions": 3}), app.topic("second")
        seen: list[str] = []
        app.handle(first, sink=[second])(lambda record: (record.key, record.value))
        app.handle(second)(lambda record: seen.append(record.value))
        with AppTest(app) as test:
            for n in range(2_100):
                test.send(first, str(n), key=f"k{n % 7}")
            test.run()
            assert sorted(map(int, seen)) == list(range(2_100))
            assert {record.partition for record in test.records("first")} == {0, 1, 2}

    def test_work_in_threads_is_waited_for(self, app: App) -> None:
        """A handler that waits for a thread is at work."""
        seen: list[str] = []

        def block(value: str) -> str:
            time.sleep(0.05)
            return value

        async def slowly(record: Record) -> None:
            seen.append(await asyncio.to_thread(block, record.value))

        app.handle(app.topic("in"))(slowly)
        with AppTest(app) as test:
            test.send("in", "a")
            test.send("in", "b")
            test.run()
            assert seen == ["a", "b"]

    def test_other_threads_may_wake_a_handler(self, app: App) -> None:
        """What a library's own thread brings is waited for too."""
        seen: list[int] = []

        async def ask(record: Record) -> None:
            loop = asyncio.get_running_loop()
            answer = loop.create_future()
            timer = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(answer.set_result, 7))
            timer.start()
            seen.append(await answer)

        app.handle(app.topic("in"))(ask)
        with AppTest(app) as test:
            test.send("in", "a")
            test.run()
            assert seen == [7]

    def test_a_socket_is_answered(self, app: App) -> None:
        """A handler may speak to a server: while it does, time passes as it really does."""
        seen: list[bytes] = []

        async def ask(record: Record) -> None:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await asyncio.sleep(0.02)
                writer.write(await reader.readline())
                writer.close()

            async with await asyncio.start_server(answer, "127.0.0.1") as server:
                port = server.sockets[0].getsockname()[1]
                async with asyncio.timeout(30):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(f"{record.value}\n".encode())
                    seen.append(await reader.readline())
                    writer.close()

        app.handle(app.topic("in"))(ask)
        with AppTest(app) as test:
            test.send("in", "hello")
            test.run()
            assert seen == [b"hello\n"]
            assert test.now < datetime(2025, 1, 1, 0, 0, 5, tzinfo=UTC)

    def test_a_paused_source_keeps_its_records(self, words: App) -> None:
        """Paused is idle; resumed, it goes on."""
        (topic,) = words.bindings[0].sources
        with AppTest(words) as test:
            test.run()
            words.pause(topic)
            test.send("words", "be")
            test.run()
            assert test.sent("counted") == []
            words.resume(topic)
            test.run()
            assert test.sent("counted") == [("be", 1)]

    def test_the_deadline_names_what_is_in_hand(self, app: App) -> None:
        """A handler that waits for ever is told of with its record."""

        async def wait(record: Record) -> None:
            await asyncio.get_running_loop().create_future()

        app.handle(app.topic("in"), name="wait")(wait)
        with pytest.raises(DeadlineError) as caught, AppTest(app, deadline=0.2) as test:
            test.send("in", "a")
            test.run()
        assert str(caught.value) == (
            "The app did not come to rest within 0.2 s: shop/wait/memory:in has in[0]@0 in hand. "
            "Let it end or wait, or allow more: AppTest(deadline=...)."
        )

    def test_a_source_that_never_waits(self, app: App) -> None:
        """What always has one more is no app that can be idle."""

        async def forever() -> AsyncIterator[int]:
            while True:
                yield 1

        app.handle(forever())(lambda _: None)
        with (
            pytest.raises(DeadlineError, match="within 0.2 s: what it reads never waits"),
            AppTest(app, deadline=0.2) as test,
        ):
            test.run()

    def test_a_handler_that_retries_for_ever(self, app: App) -> None:
        """Time that it may skip does not save it from the deadline."""

        async def retry(record: Record) -> None:
            while True:
                await asyncio.sleep(1)

        app.handle(app.topic("in"))(retry)
        with pytest.raises(DeadlineError, match="in hand"), AppTest(app, deadline=0.2) as test:
            test.send("in", "a")
            test.run()

    def test_records_that_nobody_may_read(self, app: App) -> None:
        """State needs all partitions, and another member of the group has one: not idle."""
        topic, other = (
            app.topic("in", {"partitions": 2, "group_instance_id": name}) for name in "ab"
        )
        cache = app.cache("kept")

        @app.handle(topic)
        def keep(record: Record) -> None:
            cache[record.key] = record.value

        async def join() -> Any:
            member = other.make()
            await member.open()
            await member.backend.accept(await member.backend.assignment(), {})
            return member

        with AppTest(app) as test:
            member = test.complete(join())
            test.send(topic, "1", key="a", partition=1)
            with pytest.raises(DeadlineError, match="does not read memory:in: its state needs all"):
                test.run()
            test.complete(member.close())
            test.run()
            assert cache["a"] == "1"


class TestClock:
    """The clock moves when the test says so."""

    def test_a_timer(self, app: App) -> None:
        """A source that waits goes on when its time has come, at its time."""
        times: list[float] = []

        async def timer() -> AsyncIterator[None]:
            while True:
                await asyncio.sleep(60)
                yield

        app.handle(timer())(lambda _: times.append(now()))
        with AppTest(app, now=datetime(2025, 6, 1, tzinfo=UTC)) as test:
            began = time.monotonic()
            test.run()
            assert times == []
            test.advance(59.9)
            assert times == []
            test.advance(0.1)
            test.advance(3600)
            assert time.monotonic() - began < 5
            start = datetime(2025, 6, 1, tzinfo=UTC)
            assert times == [(start + timedelta(minutes=n)).timestamp() for n in range(1, 62)]
            assert test.now == start + timedelta(minutes=61)

    def test_back_off_takes_no_time(self, app: App) -> None:
        """A handler that waits between its tries is run to its end; the clock shows how long."""
        tries: list[int] = []

        async def insist(record: Record) -> str:
            for n in range(5):
                tries.append(n)
                if n < 4:
                    await asyncio.sleep(2**n * 60)
            return "done"

        app.handle(app.topic("in"), sink=[app.topic("out")])(insist)
        with AppTest(app) as test:
            test.send("in", "a")
            test.run()
            assert test.sent("out") == [(None, "done")]
            assert test.now == datetime(2025, 1, 1, 0, 15, tzinfo=UTC)
        assert tries == [0, 1, 2, 3, 4]

    def test_time_passes_while_a_record_is_in_hand(self, app: App) -> None:
        """`advance` goes exactly so far, and leaves in hand what takes longer."""
        seen: list[str] = []

        async def slowly(record: Record) -> None:
            await asyncio.sleep(100)
            seen.append(record.value)

        async def late() -> AsyncIterator[str]:
            await asyncio.sleep(10)
            yield "late"

        app.handle(late(), sink=[app.topic("in")])(lambda item: item)
        app.handle(app.topic("in"))(slowly)
        with AppTest(app) as test:
            test.run()
            test.advance(60)
            assert (seen, test.now.minute) == ([], 1)
            test.advance(49)
            assert seen == []
            test.advance(1)
            assert seen == ["late"]

    def test_timers_end_in_their_order(self, app: App) -> None:
        """What sleeps side by side wakes up as it would in real time."""
        seen: list[str] = []

        async def every(seconds: float, name: str) -> AsyncIterator[str]:
            for _ in range(3):
                await asyncio.sleep(seconds)
                yield name

        app.handle(every(2, "a"), every(3, "b"))(lambda name: seen.append(name))
        with AppTest(app) as test:
            test.run()
            test.advance(100)
        assert seen == ["a", "b", "a", "a", "b", "b"] or seen == ["a", "b", "a", "b", "a", "b"]

    def test_records_carry_the_clock(self, words: App) -> None:
        """What is sent has the time that the clock shows."""
        with AppTest(words) as test:
            test.send("words", "be")
            test.advance(1.5)
            test.send("words", "to", timestamp=5)
            test.run()
            start = 1_735_689_600_000
            assert [r.timestamp for r in test.records("words")] == [start, 5]
            assert [r.timestamp for r in test.records("counted")] == [start + 1500] * 2

    def test_a_timeout_within_a_handler(self, app: App) -> None:
        """A timeout comes when nothing else can, without waiting for it."""

        async def impatient(record: Record) -> str:
            with suppress(TimeoutError):
                async with asyncio.timeout(3600):
                    await asyncio.get_running_loop().create_future()
            return "gave up"

        app.handle(app.topic("in"), sink=[app.topic("out")])(impatient)
        with AppTest(app) as test:
            test.send("in", "a")
            test.run()
            assert test.sent("out") == [(None, "gave up")]

    def test_long_times(self, app: App) -> None:
        """Years pass in a moment, and no timer is lost to rounding."""
        seen: list[float] = []

        async def yearly() -> AsyncIterator[None]:
            while True:
                await asyncio.sleep(365 * 86_400 + 0.1)
                yield

        app.handle(yearly())(lambda _: seen.append(now()))
        with AppTest(app) as test:
            test.run()
            test.advance(2 * 365 * 86_400 + 1)
        assert len(seen) == 2


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


class TestBackends:
    """Everything is in memory, whatever code and configuration say."""

    def test_code_and_configuration_are_overruled(self, tmp_path: Path) -> None:
        """Backends in code, claimed by settings, in the file; not installed, with settings."""
        (tmp_path / "slip.toml").write_text(
            '[defaults]\ntopic = "redis"\ncheckpoint_store = "sqlite"\n'
            '[backends.kafka]\nbootstrap_servers = "nowhere:1"\n'
            '[topics.c]\nbackend = "nats"\nservers = ["nats://nowhere"]\ncodec = "json"\n'
        )
        app = App("shop", config=Config.load(tmp_path, {}))
        a = app.topic("a", {"bootstrap_servers": "nowhere:1", "sasl_mechanism": "PLAIN"})
        b, c = app.topic("b", backend="rabbit"), app.topic("c")
        kept = app.cache("kept", backend="rocks")
        app.handle(a, b, sink=[c])(lambda record: {"was": record.value})
        app.handle(c)(lambda record: kept.put(record.value["was"], record.offset))
        with AppTest(app) as test:
            test.send("a", "1")
            test.send("b", "2")
            test.run()
            assert test.sent("c") == [(None, {"was": "1"}), (None, {"was": "2"})]
            assert dict(kept.items()) == {"1": 0, "2": 1}

    def test_sources_and_sinks_by_name(self, app: App) -> None:
        """They are fed and looked at like topics, and take any object."""
        orders, mails = Source("orders", app=app), Sink("mails", app=app)
        app.handle(orders, sink=[mails])(lambda record: Out({"to": record.value}, record.key))
        with AppTest(app) as test:
            test.send("orders", ("any", object), key=7)
            test.run(crash_after=1)
            assert test.sent(mails) == []
            test.run()
            assert test.sent("mails") == [(7, {"to": ("any", object)})]
            assert test.sent("orders") == []

    def test_typed_values(self, app: App) -> None:
        """What is sent and looked at is coded as the topic does it."""

        class Order(msgspec.Struct, frozen=True):
            id: int

        orders = app.topic("orders", type=Order)
        app.handle(orders, sink=[app.topic("ids", type=int)])(lambda record: record.value.id)
        with AppTest(app) as test:
            test.send("orders", Order(7), headers=[("trace", b"1")])
            test.run()
            assert test.sent("ids") == [(None, 7)]
            (record,) = test.records(orders)
            assert (record.value, record.headers) == (Order(7), (("trace", b"1"),))
            with pytest.raises(EncodeError, match="can't encode a value"):
                test.send("ids", object())

    def test_topics_that_no_handler_binds(self, app: App) -> None:
        """A handler that calls a topic has sent to it."""
        log = app.topic("log")

        async def note(record: Record) -> None:
            await log("noted", record.value)

        app.handle(app.topic("in"))(note)
        with AppTest(app) as test:
            test.send("in", "a")
            test.run()
            assert test.sent("log") == [("noted", "a")]
            assert test.sent(log) == [("noted", "a")]

    def test_a_loop_over_a_topic(self, app: App) -> None:
        """`complete` awaits what a test wants to do itself."""

        async def first() -> Any:
            async for record in app.topic("in"):
                return record.value
            return None

        app.handle(app.topic("other"))(lambda _: None)
        with AppTest(app) as test:
            test.complete(app.topic("in")("key", "value"))
            assert test.complete(first()) == "value"

    @pytest.mark.parametrize(
        ("look", "message"),
        [
            (lambda t: t.send("wrods", "x"), "App('shop') has no topic or source 'wrods'. "
             "Did you mean 'words'?"),
            (lambda t: t.sent("total"), "App('shop') has no topic, sink or source 'total'. "
             "There are counted, words."),
            (lambda t: t.cache("count"), "App('shop') has no cache 'count'. "
             "Did you mean 'counts'?"),
            (lambda t: t.send(print, "x"), "<built-in function print> is no topic or source and "
             "no name of one."),
        ],
        ids=["send", "sent", "cache", "function"],
    )  # fmt: skip
    def test_unknown_names(self, words: App, look: Callable[[AppTest], Any], message: str) -> None:
        """A name that the app does not have is told with those that it has."""
        with AppTest(words) as test, pytest.raises(ConfigError) as caught:
            look(test)
        assert str(caught.value) == message


class TestSubjects:
    """An App, a module, a file, or the current app."""

    def test_a_file(self) -> None:
        """It is loaded as a program, and nothing of that is left."""
        before = current_app(), sys.path.copy(), set(sys.modules)
        with AppTest(APPS / "counting.py") as test:
            test.run()
            assert test.cache("counts")["be"] == 2
            assert test.app.name == "counting"
            assert test.module.counts["be"] == 2
        assert (current_app(), sys.path, set(sys.modules)) == before

    def test_a_file_starts_anew_after_a_crash(self, tmp_path: Path) -> None:
        """Variables and generators begin again, what was durable is there."""
        file = tmp_path / "shop.py"
        file.write_text(
            "from slipcore import Topic, handle\n"
            "numbers, out, seen = Topic('numbers'), Topic('out'), []\n"
            "async def two():\n    yield '1'\n    yield '2'\n"
            "@handle(two(), sink=[numbers])\ndef feed(number):\n    return number\n"
            "@handle(numbers, sink=[out])\n"
            "def note(record):\n    seen.append(record.value)\n    return ''.join(seen)\n"
        )
        with AppTest(str(file)) as test:
            test.run()
            former = test.module
            assert test.sent("out") == [(None, "1"), (None, "12")]
            test.crash()
            test.run()
            assert test.module is not former
            assert test.sent("out") == [(None, "1"), (None, "12"), (None, "1"), (None, "12")]
            assert test.sent(former.out) == test.sent("out")

    def test_one_app_of_a_file(self) -> None:
        """An app is named behind a colon, as for `slip run`."""
        with pytest.raises(ConfigError, match="name one"):
            AppTest(APPS / "two.py").__enter__()
        with AppTest(f"{APPS / 'two.py'}:first") as test:
            assert test.app is test.module.first

    def test_state_that_a_file_asks_for_while_it_is_loaded(self, tmp_path: Path) -> None:
        """Apps of its own are in memory from their first line on; no state directory is made."""
        file = tmp_path / "shop.py"
        file.write_text(
            "from pathlib import Path\nfrom slipcore import App\n"
            "from slipcore.config import Config\n"
            "app = App('shop', config=Config.load(Path(__file__).parent, {}))\n"
            "kept = app.cache('kept')\nat_start = dict(kept.items())\n"
            "@app.handle(app.topic('in'))\n"
            "def keep(record):\n    kept[record.key] = record.value\n"
        )
        with AppTest(file) as test:
            test.send("in", "1", key="a")
            test.run()
            assert test.module.at_start == {}
            test.stop()
            test.run()
            assert test.module.at_start == {"a": "1"}
        assert list(tmp_path.iterdir()) in ([file], [file, tmp_path / "__pycache__"])

    def test_the_current_app(self, app: App) -> None:
        """What `handle` and `stream` act on."""
        former = use_app(bind_words(app))
        try:
            with AppTest() as test:
                assert test.app is app
                with pytest.raises(ConfigError, match="was given as an App"):
                    _ = test.module
        finally:
            use_app(former)

    def test_limits_of_the_app_hold(self, app: App) -> None:
        """A deadline of the app is one of the clock that stands still."""

        async def slowly(record: Record) -> None:
            await asyncio.sleep(100)

        app.limits = Limits(stop=5.0)
        app.handle(app.topic("in"))(slowly)
        with AppTest(app) as test:
            test.send("in", "a")
            test.complete(asyncio.sleep(0))
            test._start()
            test.advance(1)
            with pytest.raises(DeadlineError, match="Stopped after 5 s with unfinished work"):
                test.stop()


def test_pytest_is_not_needed() -> None:
    """Any runner will do."""
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from slipcore.testing import AppTest\n"
        "from slipcore import App\n"
        "app = App('plain')\n"
        "app.handle(app.topic('in'), sink=[app.topic('out')])(lambda r: r.value)\n"
        "with AppTest(app) as test:\n"
        "    test.send('in', 'a'); test.run(); print(test.sent('out'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[(None, 'a')]\n"


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
