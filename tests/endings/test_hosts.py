"""Apps run in anyone's event loop: a web server's, uvloop's, a notebook's, beside each other."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fastapi import FastAPI
from fastapi.testclient import TestClient

from slipcore import App, Cache, Limits, Record, Topic
from slipcore.config import Config


class Shop:
    """An app that counts, and the numbers of its runs."""

    def __init__(self, directory: Path, name: str = "shop") -> None:
        self.app = App(name, config=Config.load(directory, {}), limits=Limits(commit=0.02))
        self.orders: Topic = self.app.topic(f"{name}-orders")
        self.counts: Cache = self.app.cache(f"{name}-counts")
        self.app.handle(self.orders)(self._count)

    def _count(self, record: Record) -> None:
        self.counts[record.key] = (self.counts[record.key] or 0) + 1
        if record.value == "last":
            self.app.stop()

    async def until(self, number: int) -> None:
        """Wait until so many were counted."""
        async with asyncio.timeout(10):
            while self.counts["k"] != number:
                await asyncio.sleep(0.01)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """One shop, closed at the end."""
    made = Shop(tmp_path)
    yield made
    made.app.close()


def test_in_the_lifespan_of_fastapi(shop: Shop) -> None:
    """It runs while the server does, again with the next server, and leaves its signals alone."""

    @asynccontextmanager
    async def lifespan(server: FastAPI) -> AsyncIterator[None]:
        async with shop.app:
            yield

    server = FastAPI(lifespan=lifespan)

    @server.post("/orders")
    async def order() -> None:
        await shop.orders("k", "v")

    @server.get("/count/{number}")
    async def count(number: int) -> int:
        await shop.until(number)
        return number

    before = signal.getsignal(signal.SIGTERM)
    for number in (1, 2):
        with TestClient(server) as client:
            assert client.post("/orders").status_code == 200
            assert client.get(f"/count/{number}").json() == number
            assert signal.getsignal(signal.SIGTERM) is before
        assert not shop.app.running
    assert shop.counts["k"] == 2


def test_under_uvloop(shop: Shop) -> None:
    """From the start to an orderly end, twice."""

    async def run(value: str) -> None:
        await shop.orders("k", value)
        await shop.app.stream()

    for _ in range(2):
        uvloop.run(run("last"))
    assert shop.counts["k"] == 2


class Notebook:
    """A loop that runs all the time in a thread; a cell is run within it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self) -> Notebook:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def cell(self, work: Coroutine[Any, Any, Any]) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(20)


def test_in_a_notebook(shop: Shop) -> None:
    """Started in one cell it runs on beneath the next ones, and stops and starts as they say."""

    async def start() -> asyncio.Task[None]:
        return asyncio.ensure_future(shop.app.stream())

    async def end(running: asyncio.Task[None]) -> None:
        shop.app.stop()
        await running

    async def order() -> None:
        await shop.orders("k", "v")

    with Notebook() as notebook:
        for number in (1, 2):
            running = notebook.cell(start())
            notebook.cell(order())
            notebook.cell(shop.until(number))
            notebook.cell(end(running))
        assert notebook.cell(_others()) == 0


async def _others() -> int:
    return len(asyncio.all_tasks()) - 1


def test_several_apps_in_one_loop(tmp_path: Path) -> None:
    """On one file, each with its own group, position and end; one that fails stops no other."""
    shops = [Shop(tmp_path, f"shop{n}") for n in range(4)]

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise RuntimeError("broken")

    shops[0].app.handle(broken())(print)

    async def run() -> list[BaseException | None]:
        for each in shops:
            await each.orders("k", "v")
            await each.orders("k", "last")
        return await asyncio.gather(*(s.app.stream() for s in shops), return_exceptions=True)

    ends = asyncio.run(run())
    assert [type(end) for end in ends] == [RuntimeError, *[type(None)] * 3]
    assert [each.counts["k"] for each in shops[1:]] == [2, 2, 2]
    for each in shops:
        each.app.close()


def test_apps_in_threads_of_their_own(tmp_path: Path) -> None:
    """Each has a loop; signals are the main thread's and stay as they are."""
    shops = [Shop(tmp_path, f"shop{n}") for n in range(3)]
    before = signal.getsignal(signal.SIGTERM)

    async def run(each: Shop) -> None:
        await each.orders("k", "v")
        await each.orders("k", "last")
        async with asyncio.timeout(20):
            await each.app.stream()

    threads = [threading.Thread(target=asyncio.run, args=(run(each),)) for each in shops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert signal.getsignal(signal.SIGTERM) is before
    assert [each.counts["k"] for each in shops] == [2, 2, 2]
    for each in shops:
        each.app.close()
