"""The engine alone: handlers, sinks and pipes beside the loop one would write.

Records are in memory already and the handlers do next to nothing, so that what is left is what the
engine costs. Every contender starts and stops within its time.

    python -m benchmarks.engine [--rounds 15] [--quick]
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, Final

from benchmarks import peers, report
from benchmarks.common import (
    ROOT,
    Contender,
    Settings,
    Table,
    Turn,
    UnavailableError,
    WrongOutputError,
    alternate,
    compared,
    own_config,
    script,
)
from benchmarks.contenders.functions import (
    Tally,
    double,
    double_again,
    double_async,
    double_batch,
    each,
    halves,
    halves_async,
    through,
)
from slipcore import App, Out, Record

BARE: Final = "by hand"
RECORDS: Final = 200_000

ByHand = Callable[[Any, Tally], Awaitable[None]]
Bind = Callable[[App, Any, Tally], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One job, done by hand and by an app.

    Attributes:
        results: how many come of a record.
        checksum: of all results, in units of the sum of all offsets times two.
        peers: the frameworks that can do it too.
    """

    title: str
    by_hand: ByHand
    bind: Bind
    results: int = 1
    checksum: int = 1
    peers: tuple[str, ...] = ("slipstream", "bytewax")

    def check(self, who: str, tally: Tally, records: int) -> None:
        """See that all came out.

        Raises:
            WrongOutputError: it did not.
        """
        right = (self.results * records, self.checksum * records * (records - 1))
        if (tally.count, tally.total) != right:
            raise WrongOutputError(f"{who}: {(tally.count, tally.total)} came out, not {right}")


# --- by hand ------------------------------------------------------------------------------------


async def _sync_0(source: Any, tally: Tally) -> None:
    handle = tally.handle
    async for record in source:
        handle(record)


async def _sync_1(source: Any, tally: Tally) -> None:
    sink = tally.sink
    async for record in source:
        sink(double(record))


async def _sync_3(source: Any, tally: Tally) -> None:
    sink = tally.sink
    async for record in source:
        result = double(record)
        sink(result)
        sink(result)
        sink(result)


async def _async(source: Any, tally: Tally) -> None:
    sink = tally.sink_async
    async for record in source:
        await sink(await double_async(record))


async def _generator(source: Any, tally: Tally) -> None:
    sink = tally.sink
    async for record in source:
        for result in halves(record):
            sink(result)


async def _async_generator(source: Any, tally: Tally) -> None:
    sink = tally.sink
    async for record in source:
        async for result in halves_async(record):
            sink(result)


async def _pipe(source: Any, tally: Tally) -> None:
    sink = tally.sink
    async for record in through(source):
        sink(double(record))


async def _shared(source: Any, tally: Tally) -> None:
    sink = tally.sink
    async for record in source:
        sink(double(record))
        sink(double_again(record))


async def _concurrent(source: Any, tally: Tally) -> None:
    room = asyncio.Semaphore(100)

    async def one(record: Any) -> None:
        tally.sink(await double_async(record))
        room.release()

    async with asyncio.TaskGroup() as tasks:
        async for record in source:
            await room.acquire()
            tasks.create_task(one(record))


# --- by an app ----------------------------------------------------------------------------------


def _bound(handler: Callable[..., Any], *sinks: str, **options: Any) -> Bind:
    """One binding; its sinks are methods of the tally."""

    def bind(app: App, source: Any, tally: Tally) -> None:
        try:
            decorate = app.handle(source, sink=[getattr(tally, name) for name in sinks], **options)
        except TypeError as error:
            raise UnavailableError(str(error)) from error
        decorate(handler)

    return bind


def _bind_tally(app: App, source: Any, tally: Tally) -> None:
    app.handle(source)(tally.handle)


def _bind_twice(app: App, source: Any, tally: Tally) -> None:
    app.handle(source, sink=[tally.sink])(double)
    app.handle(source, sink=[tally.sink])(double_again)


CASES: Final[dict[str, Case]] = {
    "sync-0": Case("plain handler, no sink", _sync_0, _bind_tally, peers=("slipstream",)),
    "sync-1": Case("plain handler, plain sink", _sync_1, _bound(double, "sink")),
    "sync-3": Case(
        "plain handler, 3 plain sinks",
        _sync_3,
        _bound(double, "sink", "sink", "sink"),
        results=3,
        checksum=3,
    ),
    "async": Case(
        "async handler, async sink",
        _async,
        _bound(double_async, "sink_async"),
        peers=("slipstream",),
    ),
    "generator": Case(
        "generator of 2 results, plain sink", _generator, _bound(halves, "sink"), results=2
    ),
    "async-generator": Case(
        "async generator of 2 results, plain sink",
        _async_generator,
        _bound(halves_async, "sink"),
        results=2,
        peers=("slipstream",),
    ),
    "pipe": Case(
        "a pipe before a plain handler",
        _pipe,
        _bound(double, "sink", pipe=[through]),
        peers=("slipstream",),
    ),
    "shared": Case("two bindings on one source", _shared, _bind_twice, results=2, checksum=2),
    "concurrent": Case(
        "async handler, 100 records in hand at once",
        _concurrent,
        _bound(double_async, "sink", concurrency=100),
        peers=(),
    ),
    "batch": Case(
        "batch handler; by hand a plain one",
        _sync_1,
        _bound(double_batch, "sink", batch=True),
        peers=("bytewax",),
    ),
}


# --- turns --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def prepared(records: int) -> list[Record]:
    """The records of all turns."""
    return [Record(b"value", None, "numbers", 0, offset) for offset in range(records)]


def by_hand(case: Case, records: int) -> float:
    """Nanoseconds per record of the loop."""
    tally, source = Tally(), each(prepared(records))

    async def run() -> float:
        began = perf_counter()
        await case.by_hand(source, tally)
        return perf_counter() - began

    seconds = asyncio.run(run())
    case.check(BARE, tally, records)
    return seconds / records * 1e9


def from_iterable(case: Case, records: int) -> float:
    """Nanoseconds per record of an app that reads an AsyncIterable."""
    tally, app = Tally(), App("bench", config=own_config())

    async def run() -> float:
        case.bind(app, each(prepared(records)), tally)
        began = perf_counter()
        await app.stream()
        return perf_counter() - began

    seconds = asyncio.run(run())
    case.check("slipcore, AsyncIterable", tally, records)
    return seconds / records * 1e9


def from_topic(case: Case, records: int, codec: str = "raw") -> float:
    """Nanoseconds per record of an app that reads a topic in memory, where records are bytes."""
    tally, app = Tally(), App("bench", config=own_config())

    async def run() -> float:
        topic = app.topic("numbers", codec=codec, backend="memory")
        case.bind(app, topic, tally)
        value = b"value" if codec == "raw" else "value"
        async with topic.make() as filling:
            for _ in range(records):
                waiting = filling.send(Out(value))
                if waiting is not None:
                    await waiting
            await filling.flush()
        began = perf_counter()
        running = asyncio.ensure_future(app.stream())
        while tally.count < records * case.results and not running.done():
            await asyncio.sleep(0)
        app.stop()
        await running
        return perf_counter() - began

    try:
        seconds = asyncio.run(run())
    finally:
        app.close()
    case.check("slipcore, memory topic", tally, records)
    return seconds / records * 1e9


def by_peer(framework: str, name: str, records: int) -> Turn:
    """Nanoseconds per record of another framework, in a process of its own."""
    package = {"slipstream": "slipstream", "bytewax": "bytewax"}[framework]
    interpreter = peers.python(package)
    module = "benchmarks.contenders.in_memory"
    done = subprocess.run(
        [interpreter, "-m", module, framework, name, str(records)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise UnavailableError(f"failed: {last[0]}")
    said = json.loads(done.stdout.splitlines()[-1])
    tally = Tally()
    tally.count, tally.total = said["count"], said["total"]
    fault = ""
    try:
        CASES[name].check(framework, tally, records)
    except WrongOutputError as error:
        fault = f"wrong output: {error}"
    return Turn(said["seconds"] / records * 1e9, fault=fault)


PEERS: Final = {"slipstream": "slipstream-async", "bytewax": "Bytewax"}


def run(settings: Settings) -> list[Table]:
    """A table for each case."""
    records = settings.size(RECORDS, quick=100_000)
    return [_table(name, case, settings, records) for name, case in CASES.items()]


def _table(name: str, case: Case, settings: Settings, records: int) -> Table:
    contenders: dict[str, Contender] = {
        BARE: partial(by_hand, case, records),
        "slipcore, AsyncIterable": partial(from_iterable, case, records),
        "slipcore, memory topic": partial(from_topic, case, records),
    }
    if name == "sync-1":
        contenders["slipcore, memory topic, text"] = partial(from_topic, case, records, "text")
    if settings.with_peers:
        for framework in case.peers:
            contenders[PEERS[framework]] = partial(by_peer, framework, name, records)
    taken = alternate(contenders, settings.turns(15), what=f"engine, {name}")
    return compared(f"engine.{name}", case.title, "ns/record", taken, baseline=BARE)


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
