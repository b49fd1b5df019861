"""What handlers may be, what they are given, and where their results go."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest

from slipcore import App, ISink, Out, Record, SlipError
from slipcore.interfaces import ConfigError, SinkError

from .conftest import MakeApp, fill, run


async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


def collect(app: App, handler: Any, n: int = 3, **kwargs: Any) -> list[Any]:
    """What a handler of the numbers below n gives its sink."""
    got: list[Any] = []
    app.handle(numbers(n), sink=[got.append])(handler)
    run(app.stream(**kwargs))
    return got


@pytest.fixture
def app() -> App:
    return App("handlers")


def test_a_function_gives_what_it_returns(app: App) -> None:
    """One result per item, in order."""
    assert collect(app, lambda n: n + 1) == [1, 2, 3]


def test_a_coroutine_function_gives_what_it_returns(app: App) -> None:
    """It is awaited before the next item is pulled."""

    async def handler(n: int) -> int:
        return n + 1

    assert collect(app, handler) == [1, 2, 3]


def test_a_generator_gives_what_it_yields(app: App) -> None:
    """Zero or more results per item."""

    def handler(n: int) -> Iterator[int]:
        yield from range(n)

    assert collect(app, handler) == [0, 0, 1]


def test_an_async_generator_gives_what_it_yields(app: App) -> None:
    """Zero or more results per item."""

    async def handler(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    assert collect(app, handler) == [0, 0, 1]


def test_a_callable_object_is_treated_as_what_its_result_is(app: App) -> None:
    """An object whose call gives an async generator is drained, not handed to the sink."""

    class Handler:
        async def __call__(self, n: int) -> AsyncIterator[int]:
            yield n
            yield n * 10

    assert collect(app, Handler()) == [0, 0, 1, 10, 2, 20]


def test_a_returned_awaitable_and_a_returned_generator_are_treated_as_what_they_are(
    app: App,
) -> None:
    """Plain functions may hand over to async ones."""

    async def later(n: int) -> str:
        return f"later {n}"

    def handler(n: int) -> Any:
        return later(n) if n % 2 else (i for i in "ab")

    assert collect(app, handler) == ["a", "b", "later 1", "a", "b"]


def test_none_is_sent_when_yielded_and_not_when_returned(app: App) -> None:
    """A forgotten return must not delete a key in a compacted topic."""

    def yields(n: int) -> Iterator[None]:
        yield None

    assert collect(app, lambda n: None) == []
    assert collect(App("other"), yields) == [None, None, None]


def test_a_handler_without_parameters_is_triggered(app: App) -> None:
    """Timers only trigger."""
    assert collect(app, lambda: "tick") == ["tick", "tick", "tick"]


def test_parameters_are_supplied_by_name(app: App) -> None:
    """The first takes the item, the others what stream() was given; **kwargs the rest."""

    def handler(n: int, env: str, *, region: str = "eu", **kwargs: Any) -> Any:
        return n, env, region, kwargs

    got = collect(app, handler, 1, env="dev", zone="a")
    assert got == [(0, "dev", "eu", {"zone": "a"})]


def test_a_parameter_that_nobody_supplies_is_refused_at_start(app: App) -> None:
    """The message names the parameter and how to supply it."""
    with pytest.raises(ConfigError, match=r"nobody supplies: 'env'.*stream\(env=\.\.\.\)"):
        collect(app, lambda n, env: n)


def test_a_partial_is_a_handler(app: App) -> None:
    """functools.partial keeps its own arguments."""
    assert collect(app, functools.partial(lambda a, n: (a, n), "x"), 1) == [("x", 0)]


def test_handle_returns_the_function_unchanged(app: App) -> None:
    """Handlers can be called and tested as they are."""

    def handler(n: int) -> int:
        return n

    assert app.handle(numbers(1))(handler) is handler


def test_every_result_reaches_the_sinks_in_order_before_a_generator_resumes(app: App) -> None:
    """Sync and async sinks alike."""
    seen: list[str] = []

    async def slow(n: int) -> None:
        seen.append(f"b{n}")

    def handler(n: int) -> Iterator[int]:
        for i in range(2):
            yield i
            seen.append(f"resumed {i}")

    app.handle(numbers(1), sink=[lambda n: seen.append(f"a{n}"), slow])(handler)
    run(app.stream())
    assert seen == ["a0", "b0", "resumed 0", "a1", "b1", "resumed 1"]


def test_a_sink_that_returns_an_awaitable_is_awaited(app: App) -> None:
    """A lambda around a coroutine function loses nothing."""
    seen: list[int] = []

    async def store(n: int) -> None:
        seen.append(n)

    app.handle(numbers(3), sink=[lambda n: store(n), seen.append])(lambda n: n)
    run(app.stream())
    assert seen == [0, 0, 1, 1, 2, 2]


def test_an_isink_gets_outputs_with_key_and_value(app: App) -> None:
    """A pair is key and value; an Out is taken as it is; anything else is a value."""

    class Outputs(ISink):
        def __init__(self) -> None:
            self.got: list[Out] = []
            self.flushed = 0

        def send(self, output: Out) -> None:
            self.got.append(output)

        async def flush(self) -> None:
            self.flushed = len(self.got)

    sink = Outputs()
    results = [("k", 1), Out(2, "o", headers=(("h", b"1"),)), [3, 4]]
    app.handle(numbers(3), sink=[sink])(lambda n: results[n])
    run(app.stream())
    assert sink.got == [Out(1, "k"), Out(2, "o", headers=(("h", b"1"),)), Out([3, 4])]
    assert sink.flushed == 3


def test_a_cache_as_sink_takes_pairs_only(make_app: MakeApp) -> None:
    """What is no pair is refused with what is right."""
    app = make_app()
    cache = app.cache("state")
    app.handle(numbers(2), sink=[cache])(lambda n: (n, n * n) if n < 1 else n)
    with pytest.raises(SinkError, match="a cache takes a pair: return key, value"):
        run(app.stream())
    assert dict(cache.items()) == {0: 0}


@pytest.mark.parametrize(
    ("sink", "message"),
    [(print, r"write sink=\[\.\.\.\]"), ([3], "can't be called"), ("ab", "takes a list")],
)
def test_what_is_no_sink_is_refused_when_bound(app: App, sink: Any, message: str) -> None:
    """Before anything runs, with the way out."""
    with pytest.raises(ConfigError, match=message):
        app.handle(numbers(1), sink=sink)(lambda n: n)


def test_a_plain_iterable_is_refused_with_the_line_that_wraps_it(app: App) -> None:
    """At registration, not at start."""
    with pytest.raises(ConfigError, match="for item in .*: yield item"):
        app.handle([1, 2, 3])  # type: ignore[arg-type]  # what is being refused


def test_several_sources_feed_one_handler(app: App) -> None:
    """None of them is dropped, with or without a pipe."""
    got: list[int] = []

    def doubled(stream: Any) -> Any:
        return (n * 2 async for n in stream)

    app.handle(numbers(3), numbers(2), pipe=[doubled], sink=[got.append])(lambda n: n)
    run(app.stream())
    assert sorted(got) == [0, 0, 2, 2, 4]


def test_handlers_share_a_source(app: App) -> None:
    """It is read once, and every handler sees every item."""
    source = numbers(3)
    first: list[int] = []
    second: list[int] = []
    app.handle(source, sink=[first.append])(lambda n: n)
    app.handle(source, sink=[second.append])(lambda n: -n)
    run(app.stream())
    assert (first, second) == ([0, 1, 2], [0, -1, -2])


def test_a_pipe_that_ends_early_leaves_the_others_running(app: App) -> None:
    """Its branch is removed; the source goes on for the other handlers."""
    source = numbers(500)
    first: list[int] = []
    everything: list[int] = []

    async def take_two(stream: Any) -> AsyncIterator[int]:
        async for n in stream:
            yield n
            if n == 1:
                return

    app.handle(source, pipe=[take_two], sink=[first.append])(lambda n: n)
    app.handle(source, sink=[everything.append])(lambda n: n)
    run(app.stream())
    assert first == [0, 1]
    assert everything == list(range(500))


def test_a_second_run_reads_again_what_can_be_read_again(app: App) -> None:
    """stream() may run again; an iterable that makes new iterators starts anew."""

    class Numbers:
        def __aiter__(self) -> AsyncIterator[int]:
            return numbers(2)

    got: list[int] = []
    app.handle(Numbers(), sink=[got.append])(lambda n: n)
    run(app.stream())
    run(app.stream())
    assert got == [0, 1, 0, 1]


def test_two_apps_run_in_one_loop() -> None:
    """They share nothing."""
    got: list[str] = []

    async def both() -> None:
        a, b = App("a"), App("b")
        a.handle(numbers(2), sink=[got.append])(lambda n: f"a{n}")
        b.handle(numbers(2), sink=[got.append])(lambda n: f"b{n}")
        await a.stream()
        await b.stream()

    run(both())
    assert got == ["a0", "a1", "b0", "b1"]


def test_an_app_that_runs_can_not_be_run_twice_at_once(app: App) -> None:
    """The second is refused; the first goes on."""
    got: list[int] = []

    async def handler(n: int) -> int:
        if n == 0:
            with pytest.raises(SlipError, match="running already"):
                await app.stream()
        return n

    app.handle(numbers(2), sink=[got.append])(handler)
    run(app.stream())
    assert got == [0, 1]


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_a_handler_that_never_waits_lets_others_have_their_turn(
    make_app: MakeApp, is_async: bool
) -> None:
    """The loop is kept for some records, and not for all that one read gave."""
    app = make_app()
    topic = app.topic("in")
    seen: list[int] = []
    turns: list[int] = []

    def take_its_time(record: Record) -> None:
        time.sleep(0.002)
        seen.append(record.offset)
        if record.offset == 299:
            app.stop()

    async def take_its_time_too(record: Record) -> None:
        take_its_time(record)

    app.handle(topic)(take_its_time_too if is_async else take_its_time)

    async def look() -> None:
        while True:
            await asyncio.sleep(0)
            turns.append(len(seen))

    async def work() -> None:
        await fill(topic, *((None, "x") for _ in range(300)))
        looking = asyncio.ensure_future(look())
        await app.stream()
        looking.cancel()

    run(work())
    gaps = [after - before for before, after in pairwise(turns)]
    assert sum(gaps) >= 299
    assert max(gaps) <= 100
