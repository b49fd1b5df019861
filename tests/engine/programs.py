"""Random programs: handlers, sinks, state, failures and pauses; run by the engine, and by hand.

By hand means the plainest loop that does what is promised: for each record, the handler, and each
of its results to each sink; a try that fails takes its writes with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import isasyncgen, isawaitable, isgenerator
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

from slipcore import App, Limits, Out, Record, dead_letter, retry, skip
from slipcore.backends.memory.broker import Broker
from slipcore.config import Config
from slipcore.engine.policies import Rule
from slipcore.engine.sources import SourceStream
from slipcore.plugins import Plugins

FOREVER: Final = 99
KINDS: Final = (
    "function",
    "coroutine function",
    "generator",
    "async generator",
    "function of a coroutine",
    "function of a generator",
)


class Boom(Exception):
    """What handlers fail with."""


@dataclass(frozen=True)
class Act:
    """What a handler does with one record.

    Attributes:
        key: of the record.
        results: what it gives; one that returns gives the first, if any. None is given by yielding.
        counts: whether it counts the key up in its state, and gives the count as a result.
        failures: how many tries of it fail; they fail when all but the last result is given.
        pauses: whether it pauses its source, to be resumed a little later.
        waits: whether it lets others go first, where it can.
    """

    key: str
    results: tuple[str | None, ...] = ("a",)
    counts: bool = False
    failures: int = 0
    pauses: bool = False
    waits: bool = False


@dataclass(frozen=True)
class Program:
    """A binding and the records that it is given.

    Attributes:
        acts: one for each record, over and over.
        times: how often; failures and pauses are in the last round alone.
        sinks: of each its kind.
        rules: what is done about failures.
        hides: whether nobody can see at the handler that it keeps state.
    """

    kind: str
    acts: tuple[Act, ...]
    times: int
    sinks: tuple[str, ...]
    rules: tuple[str, ...]
    hides: bool = False

    @property
    def records(self) -> list[Record]:
        acts = self.acts * self.times
        return [Record(str(i), act.key, "in", 0, i) for i, act in enumerate(acts)]

    def act(self, offset: int) -> tuple[Act, bool]:
        """What is done with a record, and whether it is in the last round."""
        return self.acts[offset % len(self.acts)], offset >= len(self.acts) * (self.times - 1)

    @property
    def keeps(self) -> bool:
        return any(act.counts for act in self.acts)


def programs(
    kinds: tuple[str, ...] = KINDS,
    rules: tuple[tuple[str, ...], ...] = (
        (),
        ("skip",),
        ("dead_letter",),
        ("retry",),
        ("retry", "skip"),
    ),
    failures: tuple[int, ...] = (0, 0, 1, 2, FOREVER),
) -> st.SearchStrategy[Program]:
    results = st.sampled_from([(), ("a",), ("a", "b"), ("a", None, "b")])
    sinks = st.sampled_from(
        [
            (),
            *(("sync",), ("async",), ("topic",), ("cache",)),
            *(("async", "sync"), ("topic", "cache")),
            *(("sync", "async", "topic"), ("async", "cache", "sync")),
        ]
    )
    acts = st.builds(
        Act,
        key=st.sampled_from("kl"),
        results=results,
        counts=st.booleans(),
        failures=st.sampled_from(failures),
        pauses=st.booleans(),
        waits=st.booleans(),
    )
    stateless = st.builds(Act, key=st.just("k"), results=results)
    return st.builds(
        Program,
        kind=st.sampled_from(kinds),
        acts=st.one_of(
            *(st.lists(a, min_size=2, max_size=5).map(tuple) for a in (acts, stateless))
        ),
        times=st.sampled_from([1, 30, 2]),
        sinks=sinks,
        rules=st.sampled_from(rules),
        hides=st.booleans(),
    )


@dataclass
class Outcome:
    """What a program has left behind.

    Attributes:
        sent: of each sink, the pairs that it was given.
        state: what each cache holds, that of the handler first.
        dead: the offsets of dead letters.
        position: the offset of the last record that is finished.
        failed: whether it ended with an error.
        certain: of each sink, how many of the pairs are of finished records.
    """

    sent: list[list[Any]]
    state: list[dict[str, str]]
    dead: list[int] = field(default_factory=list)
    position: int | None = None
    failed: bool = False
    certain: list[int] = field(default_factory=list)


class Handling:
    """The handler of a program, over any state.

    Args:
        state: anything with `get` and item assignment.
        pause: pauses the source, to be resumed a little later.
    """

    def __init__(self, program: Program, state: Any, pause: Callable[[], None]) -> None:
        self.program = program
        self.state = state
        self.pause = pause
        self.tries: Counter[int] = Counter()

    def handler(self) -> Callable[[Any], Any]:
        """A function of the program's kind."""
        steps = self.steps
        # What a function refers to tells the engine which state it keeps.
        state = self.state if self.program.keeps and not self.program.hides else None

        def function(record: Record) -> Any:
            assert state in (None, self.state)
            return _last([result for _, result in steps(record)])

        async def coroutine_function(record: Record) -> Any:
            found = []
            for waits, result in steps(record):
                if waits:
                    await asyncio.sleep(0)
                found.append(result)
            assert state in (None, self.state)
            return _last(found)

        def generator(record: Record) -> Iterator[Any]:
            for _, result in steps(record):
                yield result
            assert state in (None, self.state)

        async def async_generator(record: Record) -> AsyncIterator[Any]:
            for waits, result in steps(record):
                if waits:
                    await asyncio.sleep(0)
                yield result
            assert state in (None, self.state)

        made: dict[str, Callable[[Any], Any]] = {
            "function": function,
            "coroutine function": coroutine_function,
            "generator": generator,
            "async generator": async_generator,
            "function of a coroutine": lambda record: coroutine_function(record),
            "function of a generator": lambda record: generator(record),
        }
        return made[self.program.kind]

    def steps(self, record: Record) -> Iterator[tuple[bool, Any]]:
        """The results for a record, each with whether it is to be waited before it."""
        act, last_round = self.program.act(record.offset)
        self.tries[record.offset] += 1
        results: list[Any] = [(record.key, value) for value in act.results]
        if act.counts:
            count = str(int(self.state.get(record.key) or 0) + 1)
            self.state[record.key] = count
            results.append((record.key, count))
        for result in results[:-1]:
            yield act.waits, result
        if last_round:
            if act.pauses:
                self.pause()
            if self.tries[record.offset] <= act.failures:
                raise Boom
        yield from ((act.waits, result) for result in results[-1:])


def _last(results: list[Any]) -> Any:
    return results[-1] if results else None


# --- by hand ------------------------------------------------------------------------------


async def by_hand(program: Program) -> Outcome:
    """One record after the other."""
    states: list[dict[str, str]] = [{} for _ in range(1 + program.sinks.count("cache"))]
    handling = Handling(program, states[0], lambda: None)
    handler = handling.handler()
    outcome = Outcome([[] for _ in program.sinks], states)
    outcome.certain = [0 for _ in program.sinks]
    for record in program.records:
        tries = 0
        while True:
            before = deepcopy(states)
            try:
                async for result in results_of(handler, record):
                    cache = 0
                    for kind, got in zip(program.sinks, outcome.sent, strict=True):
                        if kind == "cache":
                            cache += 1
                            _put(states[cache], *result)
                        else:
                            got.append(result)
                break
            except Boom:
                for state, former in zip(states, before, strict=True):
                    state.clear()
                    state.update(former)
                tries += 1
                if "retry" in program.rules and tries <= 2:
                    continue
                if not {"skip", "dead_letter"} & set(program.rules):
                    outcome.failed = True
                    return outcome
                if "dead_letter" in program.rules:
                    outcome.dead.append(record.offset)
                break
        outcome.position = record.offset
        outcome.certain = [len(got) for got in outcome.sent]
    return outcome


def _put(state: dict[str, str], key: str, value: str | None) -> None:
    state[key] = value  # type: ignore[assignment]  # a cache keeps None too


async def results_of(handler: Callable[[Any], Any], record: Record) -> AsyncIterator[Any]:
    """What a handler of any kind gives for a record."""
    answer = handler(record)
    if isawaitable(answer):
        answer = await answer
    if isasyncgen(answer):
        async for result in answer:
            yield result
    elif isgenerator(answer):
        for result in answer:
            yield result
    elif answer is not None:
        yield answer


# --- by the engine ------------------------------------------------------------------------


@lru_cache(maxsize=1)
def surroundings() -> tuple[Config, Plugins]:
    """A configuration that says nothing, and what is installed: looked for once."""
    config = Config(Path())
    return config, Plugins.of(config)


async def by_engine(program: Program, *, source: str, batch: bool = False) -> Outcome:
    """The same by an app, until it has finished all, or failed.

    Args:
        source: "topic" or "iterable".
        batch: whether the handler takes lists.
    """
    config, plugins = surroundings()
    app = App("twins", config=config, plugins=plugins, limits=Limits(commit=60, stop=5, close=5))
    try:
        return await _by(app, program, source, batch)
    finally:
        app.close()


async def _by(app: App, program: Program, source: str, batch: bool) -> Outcome:
    loop = asyncio.get_running_loop()
    broker = app.scope.shared("memory", Broker)
    records = program.records
    if source == "topic":
        topic: Any = app.topic("in", backend="memory")
        broker.log("in", 1).append([Out(r.value.encode(), r.key.encode()) for r in records])
    else:
        topic = _items(records)

    def pause() -> None:
        app.pause(topic)
        loop.call_later(0.001, app.resume, topic)

    caches = [
        app.cache(f"cache{i}", backend="memory") for i in range(1 + program.sinks.count("cache"))
    ]
    sent: list[list[Any]] = [[] for _ in program.sinks]
    unused = iter(caches[1:])
    sinks = [
        _sink(app, kind, f"out{i}", got, unused)
        for i, (kind, got) in enumerate(zip(program.sinks, sent, strict=True))
    ]
    handler = Handling(program, caches[0] if program.keeps else {}, pause).handler()
    made: dict[str, Rule] = {
        "retry": retry(2, backoff=0.0005, jitter=0),
        "skip": skip(),
        "dead_letter": dead_letter(app.topic("dead", backend="memory", codec="raw")),
    }
    app.handle(
        topic,
        sink=sinks,
        name="twin",
        on_error=[made[rule] for rule in program.rules],
        batch=batch,
    )(_of_lists(handler, program.kind) if batch else handler)
    outcome = Outcome(sent, [])
    outcome.failed, outcome.position = await _run(app, len(records))
    outcome.state = [dict(cache.items()) for cache in caches]
    outcome.dead = [
        int(dict(letter.headers)["slip-dlq-offset" if source == "topic" else "slip-dlq-tries"])
        for letter in broker.log("dead", 1).partitions[0]
    ]
    for i, kind in enumerate(program.sinks):
        if kind == "topic":
            log = broker.log(f"out{i}", 1).partitions[0]
            sent[i][:] = [
                ((r.key or b"").decode(), None if r.value is None else r.value.decode())
                for r in log
            ]
    return outcome


async def _run(app: App, records: int) -> tuple[bool, int | None]:
    """Whether it failed, and the committed position."""
    running = asyncio.ensure_future(app.stream())
    stream: Any = None
    while not running.done():
        if app.streams:
            (stream,) = app.streams
            (lane,) = stream.lanes
            if lane.finished.get(0) == records - 1 and not lane.busy:
                app.stop()
        await asyncio.sleep(0)
    committed = stream.committed if isinstance(stream, SourceStream) else {}
    try:
        await running
    except Boom:
        return True, committed.get(0)
    return False, committed.get(0)


def _sink(app: App, kind: str, name: str, got: list[Any], caches: Iterator[Any]) -> Any:
    if kind == "topic":
        return app.topic(name, backend="memory")
    if kind == "cache":
        return next(caches)
    if kind == "sync":
        return got.append

    async def later(result: Any) -> None:
        await asyncio.sleep(0)
        got.append(result)

    return later


async def _items(records: list[Record]) -> AsyncIterator[Record]:
    for record in records:
        if record.offset % 7 == 3:
            await asyncio.sleep(0)
        yield record


def _of_lists(handler: Callable[[Any], Any], kind: str) -> Callable[[Any], Any]:
    """The handler of lists that does to each record what another does."""

    async def later(records: list[Record]) -> list[Any]:
        return [result for record in records async for result in results_of(handler, record)]

    def at_once(records: list[Record]) -> list[Any]:
        return [result for record in records if (result := handler(record)) is not None]

    return at_once if kind == "function" else later
