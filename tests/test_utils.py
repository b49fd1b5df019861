"""Signals, publish and subscribe, and copies of a generator."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from slipcore.errors import SlipError
from slipcore.utils import (
    AsyncSynchronizedGenerator,
    Broadcast,
    PubSub,
    Signal,
    Singleton,
    awaitable,
    get_param_names,
    iscoroutinecallable,
)


async def numbers(n: int) -> AsyncIterator[int]:
    for number in range(n):
        await asyncio.sleep(0)
        yield number


async def collect(iterable: Any) -> Any:
    return [item async for item in iterable]


async def within(coroutine: Any) -> Any:
    return await asyncio.wait_for(coroutine, 5)


def test_signals_have_their_documented_values() -> None:
    """The four signals and their numbers."""
    assert {s.name: s.value for s in Signal} == {
        "SENTINEL": 0,
        "PAUSE": 1,
        "RESUME": 2,
        "STOP": 3,
    }


def test_a_singleton_is_made_once_and_updated_by_every_call() -> None:
    """Each class has one instance, a subclass its own, and __update__ sees all arguments."""

    class Settings(metaclass=Singleton):
        def __init__(self, *_: object) -> None:
            self.seen: list[object] = []

        def __update__(self, *args: object) -> None:
            self.seen.extend(args)

    class Other(Settings):
        pass

    first = Settings(1)
    assert Settings(2) is first
    assert Settings() is first
    assert first.seen == [1, 2]
    assert Other(3) is not first
    assert Other().seen == [3]


def test_awaitable_takes_values_and_coroutines() -> None:
    """What can be awaited is awaited, the rest is returned."""

    async def seven() -> int:
        return 7

    async def main() -> list[Any]:
        return [await awaitable(7), await awaitable(seven()), await awaitable(None)]

    assert asyncio.run(main()) == [7, 7, None]


def test_what_gives_a_coroutine_is_told_apart() -> None:
    """Coroutine functions, methods, partials and objects; not classes, not plain functions."""

    class Acts:
        async def __call__(self) -> None: ...

        async def method(self) -> None: ...

    async def function() -> None: ...

    assert iscoroutinecallable(function)
    assert iscoroutinecallable(partial(partial(function)))
    assert iscoroutinecallable(Acts())
    assert iscoroutinecallable(partial(Acts()))
    assert iscoroutinecallable(Acts().method)
    assert not iscoroutinecallable(Acts)
    assert not iscoroutinecallable(print)
    assert not iscoroutinecallable(lambda: function())
    assert not iscoroutinecallable(7)


def test_parameter_names_come_in_order() -> None:
    """Names of all kinds of parameters; none for a builtin that keeps them to itself."""

    def function(msg: object, /, *rest: object, env: str = "", **kwargs: object) -> None: ...

    assert get_param_names(function) == ("msg", "rest", "env", "kwargs")
    assert get_param_names(partial(function, 1)) == ("rest", "env", "kwargs")
    assert get_param_names(dict) == ()


def test_a_listener_that_leaves_during_a_publish_makes_nobody_miss_it() -> None:
    """All that listened when the message was published get it, and later ones only once."""
    pubsub = Broadcast()
    seen: list[Any] = []

    def leaves(message: str) -> None:
        seen.append(("first", message))
        pubsub.unsubscribe("t", leaves)

    def stays(message: str) -> None:
        seen.append(("second", message))

    pubsub.subscribe("t", leaves)
    pubsub.subscribe("t", stays)
    pubsub.publish("t", "a")
    pubsub.publish("t", "b")
    pubsub.publish("other", "c")
    assert seen == [("first", "a"), ("second", "a"), ("second", "b")]
    pubsub.unsubscribe("t", leaves)
    pubsub.unsubscribe("unknown", stays)


def test_a_listener_that_fails_makes_nobody_miss_it() -> None:
    """The error is raised after everyone was called, several as a group."""
    pubsub = Broadcast()
    seen: list[Any] = []

    def fails(message: str) -> None:
        raise ValueError(message)

    pubsub.subscribe("t", fails)
    pubsub.subscribe("t", seen.append)
    with pytest.raises(ValueError, match="a"):
        pubsub.publish("t", "a")
    with pytest.raises(ValueError, match="b"):
        asyncio.run(pubsub.apublish("t", "b"))
    pubsub.subscribe("t", fails)
    with pytest.raises(ExceptionGroup, match="2 listeners of 't' failed"):
        pubsub.publish("t", "c")
    assert seen == ["a", "b", "c"]


def test_an_async_listener_is_awaited_or_refused() -> None:
    """apublish awaits it; publish says that it can't, before anyone is called."""
    pubsub = Broadcast()
    seen: list[Any] = []

    async def listener(message: str, **kwargs: int) -> None:
        await asyncio.sleep(0)
        seen.append((message, kwargs))

    pubsub.subscribe("t", lambda m, **_: seen.append(m))
    pubsub.subscribe("t", listener)
    asyncio.run(pubsub.apublish("t", "a", n=1))
    with pytest.raises(SlipError, match="is async .*apublish"):
        pubsub.publish("t", "b")
    assert seen == ["a", ("a", {"n": 1})]


def test_a_reader_sees_all_from_the_call_on() -> None:
    """Updates between iter_topic() and the first wait are there; several arguments are a tuple."""

    async def main() -> list[Any]:
        pubsub = Broadcast()
        pubsub.publish("t", "before")
        reader = pubsub.iter_topic("t")
        pubsub.publish("t", "a")
        await pubsub.apublish("t", "key", "value")
        got = [await anext(reader), await anext(reader)]
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        pubsub.publish("t", "late")
        return [*got, await within(waiting)]

    assert asyncio.run(main()) == ["a", ("key", "value"), "late"]


def test_a_slow_reader_is_told_and_never_stops_the_publisher() -> None:
    """It gets what was kept, then an error that says so, and ends; a new one goes on."""

    async def main() -> None:
        pubsub = Broadcast()
        slow, quick = pubsub.iter_topic("t", maxsize=2), pubsub.iter_topic("t", maxsize=9)
        for number in range(4):
            pubsub.publish("t", number)
        assert [await anext(quick) for _ in range(4)] == [0, 1, 2, 3]
        assert [await anext(slow), await anext(slow)] == [0, 1]
        with pytest.raises(SlipError, match="'t' fell behind by more than 2 updates"):
            await anext(slow)
        with pytest.raises(StopAsyncIteration):
            await anext(slow)

    asyncio.run(main())


def test_closing_a_reader_ends_its_wait() -> None:
    """A task that waits in the reader ends; a second waiter is refused."""

    async def main() -> None:
        pubsub = Broadcast()
        reader = pubsub.iter_topic("t")
        waiting = asyncio.ensure_future(collect(reader))
        await asyncio.sleep(0)
        with pytest.raises(SlipError, match="an iterator of its own"):
            await anext(reader)
        await reader.aclose()  # type: ignore[attr-defined]  # it is an async generator
        assert await within(waiting) == []
        assert pubsub._listeners == {}

    asyncio.run(main())


def test_a_reader_that_was_let_go_of_is_forgotten() -> None:
    """After a `break`, the next update finds nobody and keeps nothing."""

    async def main() -> None:
        pubsub = Broadcast()

        async def first() -> Any:
            reader = pubsub.iter_topic("t")
            pubsub.publish("t", 1)
            return await anext(reader)

        assert await first() == 1
        gc.collect()
        pubsub.publish("t", 2)
        assert pubsub._listeners == {}

    asyncio.run(main())


def test_a_cancelled_wait_loses_no_update() -> None:
    """What arrives while the wait is being cancelled comes with the next one."""

    async def main() -> Any:
        pubsub = Broadcast()
        reader = pubsub.iter_topic("t")
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        pubsub.publish("t", 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        return await within(anext(reader))

    assert asyncio.run(main()) == 1


def test_another_thread_may_publish() -> None:
    """A reader that waits in its loop is woken from outside."""

    async def main() -> list[int]:
        pubsub = Broadcast()
        reader = pubsub.iter_topic("t")

        def publish() -> None:
            for number in range(100):
                pubsub.publish("t", number)

        thread = threading.Thread(target=publish)
        first = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        thread.start()
        got = [await within(first)] + [await within(anext(reader)) for _ in range(99)]
        thread.join()
        return got

    assert asyncio.run(main()) == list(range(100))


def test_copies_advance_together() -> None:
    """Every copy sees every value, and none is pulled before all have asked."""

    async def main() -> None:
        origin = AsyncSynchronizedGenerator(numbers(3))
        one, two = origin.copy(), origin.copy()
        values: list[Any] = [origin.value]
        first = asyncio.ensure_future(anext(one))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not first.done()
        assert await within(anext(two)) == 0
        assert await within(first) == 0
        values.append(origin.value)
        assert await within(asyncio.gather(collect(one), collect(two))) == [[1, 2], [1, 2]]
        values.append(origin.value)
        assert values == [Signal.SENTINEL, 0, 2]
        assert await within(collect(origin)) == []

    asyncio.run(main())


def test_a_copy_that_leaves_early_leaves_the_others_running() -> None:
    """Closed, or only let go of by a break: the others go on to the end."""

    async def main() -> None:
        origin = AsyncSynchronizedGenerator(numbers(4))
        stays, closes, drops = origin.copy(), origin.copy(), origin.copy()

        async def closing(copy: Any) -> Any:
            got = [await anext(copy)]
            await copy.aclose()
            return got + await collect(copy)

        async def dropping(copies: list[Any]) -> list[Any]:
            copy = copies.pop()
            async for number in copy:
                if number == 1:
                    break
            return [number]

        holder = [drops]
        del drops
        got = await within(asyncio.gather(collect(stays), closing(closes), dropping(holder)))
        assert got == [[0, 1, 2, 3], [0], [1]]

    asyncio.run(main())


def test_a_cancelled_wait_of_a_copy_loses_no_value() -> None:
    """The value that was being pulled is the copy's next one."""

    async def main() -> Any:
        origin = AsyncSynchronizedGenerator(numbers(3))
        copy = origin.copy()
        waiting = asyncio.ensure_future(anext(copy))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        return await within(collect(copy))

    assert asyncio.run(main()) == [0, 1, 2]


def test_an_error_of_the_source_reaches_every_copy() -> None:
    """Each copy raises it once, then it has ended."""

    async def breaks() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    async def main() -> None:
        origin = AsyncSynchronizedGenerator(breaks())
        one, two = origin.copy(), origin.copy()
        got = await within(asyncio.gather(collect(one), collect(two), return_exceptions=True))
        assert [repr(e) for e in got] == ["ValueError('broken')"] * 2
        assert await within(collect(one)) == []

    asyncio.run(main())


def test_closing_the_original_ends_its_copies_and_its_source() -> None:
    """Copies that wait end, and the generator's cleanup runs."""
    closed = []

    async def endless() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            closed.append(True)

    async def main() -> None:
        origin = AsyncSynchronizedGenerator(endless())
        waiting = asyncio.ensure_future(collect(origin))
        for _ in range(3):
            await asyncio.sleep(0)
        await within(origin.aclose())
        assert await within(waiting) == []

    asyncio.run(main())
    assert closed == [True]


def test_pubsub_is_one_for_all() -> None:
    """Modules that each say PubSub() hear each other."""
    heard: list[int] = []
    PubSub().subscribe("t", heard.append)
    PubSub().publish("t", 1)
    PubSub().unsubscribe("t", heard.append)
    assert heard == [1]
