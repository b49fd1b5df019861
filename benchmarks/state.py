"""State: get, put, get-and-put per record and range scans on every backend, beside its client.

The keys are 100,000, in no order; what writes is a handler that reads a topic in memory, so that
its writes become durable with their generations. By hand a loop gathers a thousand. Then: opening
a store of a million keys whose process was killed.

    python -m benchmarks.state [--rounds 5] [--quick]

A Redis is started for it, unless SLIP_BENCH_REDIS=redis://host:port/0 names one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import uuid4

from benchmarks import report
from benchmarks.common import (
    ROOT,
    Contender,
    Settings,
    Table,
    WrongOutputError,
    alternate,
    compared,
    progress,
    script,
)
from benchmarks.contenders.functions import each
from benchmarks.stores import Memory, Redis, Rocks, Sqlite, Store
from slipcore import App, Cache, Out, Record
from slipcore.config import Config

VARIABLE: Final = "SLIP_BENCH_REDIS"
BARE: Final = "by hand"
OPERATIONS: Final = ("get", "put", "get-and-put", "scan")
KEYS: Final = 100_000
HOT_KEYS: Final = 10_000
"""Keys that get-and-put counts."""
IN_A_SCAN: Final = 100
SLOWER: Final = 0.1
"""The share of records for a store that waits for a network at each read."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many keys there are, and how many of them are counted."""

    keys: int
    hot: int

    def key(self, number: int) -> bytes:
        """The key of a record of that number: all of them come, in no order."""
        return b"k%07d" % (number * 7919 % self.keys)

    def hot_key(self, number: int) -> bytes:
        """The key that this record counts."""
        return b"k%07d" % (number * 7919 % self.hot)


BY_HAND: Final[dict[str, Callable[[Path], Store]]] = {
    "memory": Memory,
    "sqlite": Sqlite,
    "rocks": Rocks,
}


def run(settings: Settings) -> list[Table]:
    """A table of each operation on each backend, and of opening."""
    keys = settings.size(KEYS, quick=10_000)
    rounds = settings.turns(5, quick=3)
    tables = [
        _table(backend, operation, Size(keys, max(1, min(HOT_KEYS, keys // 10))), rounds, url=None)
        for backend in BY_HAND
        for operation in OPERATIONS
    ]
    with redis() as url:
        few = max(10, int(keys * SLOWER))
        tables += [
            _table("redis", operation, Size(few, max(1, few // 10)), rounds, url)
            for operation in OPERATIONS[:3]
        ]
    many = settings.size(1_000_000, quick=100_000)
    return [*tables, *(_opening(backend, many, rounds) for backend in ("sqlite", "rocks"))]


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a Redis: the one that the environment names, or one of this run."""
    if given := os.environ.get(VARIABLE):
        yield given
        return
    from tests.servers.redis import Redis as Server

    progress("state: starting a Redis")
    with Server() as server:
        yield server.url


def _table(backend: str, operation: str, size: Size, rounds: int, url: str | None) -> Table:
    contenders: dict[str, Contender] = {
        BARE: partial(by_hand, backend, operation, size, url),
        "slipcore": partial(by_app, backend, operation, size, url),
    }
    taken = alternate(contenders, rounds, what=f"state, {backend}, {operation}")
    unit = "us/pair" if operation == "scan" else "us/record"
    title = f"State on {backend}: {operation}, {size.keys:,} keys"
    return compared(f"state.{backend}-{operation}", title, unit, taken, baseline=BARE)


# --- by hand ------------------------------------------------------------------------------------


def by_hand(backend: str, operation: str, size: Size, url: str | None) -> float:
    """Microseconds per record of a loop over the client."""
    with tempfile.TemporaryDirectory(prefix="slipcore-bench-") as folder:
        store = Redis(url) if url else BY_HAND[backend](Path(folder))
        try:
            if operation in ("get", "scan"):
                store.write({size.key(n): b"%d" % n for n in range(size.keys)})
            if operation == "scan":
                return _scan_by_hand(store, size)
            return asyncio.run(_loop(store, operation, size))
        finally:
            store.close()


def _scan_by_hand(store: Store, size: Size) -> float:
    store.scan(size.key(0), 1)
    scans = max(1, size.keys // IN_A_SCAN)
    began = perf_counter()
    pairs = sum(len(store.scan(size.key(n), IN_A_SCAN)) for n in range(scans))
    return (perf_counter() - began) / pairs * 1e6


async def _loop(store: Store, operation: str, size: Size) -> float:
    records = [Record(b"", None, "records", 0, number) for number in range(size.keys)]
    get, put, key_of, hot_key_of = store.get, store.put, size.key, size.hot_key
    found = 0
    began = perf_counter()
    if operation == "get":
        async for record in each(records):
            found += int(get(key_of(record.offset)) or -1)
    elif operation == "put":
        async for record in each(records):
            put(key_of(record.offset), b"%d" % record.offset)
    else:
        async for record in each(records):
            key = hot_key_of(record.offset)
            put(key, b"%d" % (int(get(key) or 0) + 1))
    store.flush()
    took = perf_counter() - began
    _check(BARE, operation, size, found, lambda key: int(store.read(key) or 0))
    return took / size.keys * 1e6


def _check(
    who: str, operation: str, size: Size, found: int, value: Callable[[bytes], int | None]
) -> None:
    """See that the right values were read, or are there now."""
    right: int | None
    if operation == "get":
        right, seen = sum(range(size.keys)), found
    elif operation == "put":
        number = size.keys // 2
        right, seen = number, value(size.key(number)) or 0
    else:
        counts = [value(size.hot_key(number)) or 0 for number in range(size.hot)]
        right, seen = size.keys, sum(counts)
    if seen != right:
        raise WrongOutputError(f"{who}, {operation}: {seen}, not {right}")


# --- by an app ----------------------------------------------------------------------------------


def by_app(backend: str, operation: str, size: Size, url: str | None) -> float:
    """Microseconds per record of a handler with a cache."""
    with tempfile.TemporaryDirectory(prefix="slipcore-bench-") as folder:
        settings = {"SLIP_BACKENDS__REDIS__URL": url} if url else {}
        config = Config.load(cwd=Path(folder), environ=settings)
        app = App(f"bench-{uuid4().hex[:8]}", config=config)
        cache = app.cache("state", backend=backend)
        try:
            return asyncio.run(_run(app, cache, operation, size, remote=url is not None))
        finally:
            if url:
                cache.destroy()
            app.close()


async def _run(app: App, cache: Cache, operation: str, size: Size, *, remote: bool) -> float:
    if operation in ("get", "scan"):
        async with cache.transaction():
            for number in range(size.keys):
                await cache.aset(size.key(number), number)
        cache.close()  # what is read then is not what was kept of the writing
    if operation == "scan":
        return _scan(cache, size)
    topic = app.topic("records", codec="raw", backend="memory")
    async with topic.make() as filling:
        for _ in range(size.keys):
            waiting = filling.send(Out(b""))
            if waiting is not None:
                await waiting
        await filling.flush()
    found = [0]

    def last(record: Record) -> None:
        if record.offset == size.keys - 1:
            app.stop()

    if remote:
        wait_for = _remote(cache, operation, size, found)

        async def on_remote(record: Record) -> None:
            await wait_for(record)
            last(record)

        app.handle(topic)(on_remote)
    else:
        handler = _local(cache, operation, size, found)

        def on(record: Record) -> None:
            handler(record)
            last(record)

        app.handle(topic)(on)
    began = perf_counter()
    await app.stream()
    took = perf_counter() - began
    if remote:
        values = {key: await cache.aget(key) for key in map(size.key, range(size.keys))}
        _check("slipcore", operation, size, found[0], values.get)
    else:
        _check("slipcore", operation, size, found[0], cache.get)
    return took / size.keys * 1e6


def _scan(cache: Cache, size: Size) -> float:
    scans = max(1, size.keys // IN_A_SCAN)
    next(cache.items())
    pairs = 0
    began = perf_counter()
    for number in range(scans):
        for place, _ in enumerate(cache.items(from_key=size.key(number)), start=1):
            pairs += 1
            if place == IN_A_SCAN:
                break
    return (perf_counter() - began) / pairs * 1e6


def _local(cache: Cache, operation: str, size: Size, found: list[int]) -> Callable[[Record], None]:
    def get(record: Record) -> None:
        found[0] += cache.get(size.key(record.offset), -1)

    def put(record: Record) -> None:
        cache.put(size.key(record.offset), record.offset)

    def both(record: Record) -> None:
        key = size.hot_key(record.offset)
        cache.put(key, cache.get(key, 0) + 1)

    return {"get": get, "put": put, "get-and-put": both}[operation]


def _remote(
    cache: Cache, operation: str, size: Size, found: list[int]
) -> Callable[[Record], Awaitable[None]]:
    async def get(record: Record) -> None:
        found[0] += await cache.aget(size.key(record.offset), -1)

    async def put(record: Record) -> None:
        await cache.aset(size.key(record.offset), record.offset)

    async def both(record: Record) -> None:
        key = size.hot_key(record.offset)
        await cache.aset(key, await cache.aget(key, 0) + 1)

    return {"get": get, "put": put, "get-and-put": both}[operation]


# --- opening ------------------------------------------------------------------------------------


def _opening(backend: str, keys: int, rounds: int) -> Table:
    with tempfile.TemporaryDirectory(prefix="slipcore-bench-") as folder:
        contenders: dict[str, Contender] = {
            BARE: partial(_open, "bare", backend, Path(folder), keys),
            "slipcore": partial(_open, "own", backend, Path(folder), keys),
        }
        for who in ("bare", "own"):
            progress(f"state: filling {keys:,} keys on {backend}")
            (Path(folder) / who).mkdir()
            _fill_and_be_killed(who, backend, Path(folder) / who, keys)
        taken = alternate(contenders, rounds, what=f"state, opening {backend}", warm_up=False)
    return compared(
        f"state.{backend}-open",
        f"State on {backend}: opening {keys:,} keys after a kill, until the first is read",
        "ms",
        taken,
        baseline=BARE,
    )


def _fill_and_be_killed(who: str, backend: str, folder: Path, keys: int) -> None:
    module = "benchmarks.contenders.filled"
    command = [sys.executable, "-m", module, who, backend, str(folder), str(keys)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != -signal.SIGKILL:
        raise WrongOutputError(f"filling {backend} failed: {done.stderr}")


def _open(who: str, backend: str, left: Path, keys: int) -> float:
    """Milliseconds until the key in the middle is read, from a copy of what was left."""
    key = b"k%07d" % (keys // 2)
    with tempfile.TemporaryDirectory(prefix="slipcore-bench-") as place:
        folder = Path(shutil.copytree(left / who, Path(place) / "copy"))
        return _open_copy(who, backend, folder, key, keys // 2)


def _open_copy(who: str, backend: str, folder: Path, key: bytes, value: int) -> float:
    began = perf_counter()
    if who == "bare":
        store = BY_HAND[backend](folder)
        found = store.get(key)
        took = perf_counter() - began
        store.close()
        right = found == b"%d" % value
    else:
        app = App("bench", config=Config(folder))
        right = app.cache("state", backend=backend).get(key) == value
        took = perf_counter() - began
        app.close()
    if not right:
        raise WrongOutputError(f"{who} on {backend} lost what the killed process had written")
    return took * 1e3


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
