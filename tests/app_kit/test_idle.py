"""`AppTest.run` ends when there is nothing left to do, and not before."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from slipcore import App, Record
from slipcore.interfaces import DeadlineError
from slipcore.testing import AppTest


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
