"""What a `Cache` does beyond what its store must: locks, and words of warning."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipcore import App, Cache
from slipcore.config import Config
from slipcore.interfaces import DeadlockError
from slipcore.testing.caches import MakeCache


@pytest.fixture(params=["memory", "sqlite"])
def make_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeCache]:
    """Caches of one app."""
    app = App("caches", config=Config.load(cwd=tmp_path, environ={}))
    made: list[Cache] = []

    def make(name: str) -> Cache:
        cache = app.cache(name, backend=request.param)
        made.append(cache)
        return cache

    yield make
    app.close()


def test_transactions_that_wait_for_each_other_are_refused(make_cache: MakeCache) -> None:
    """The one that closes the circle gets a DeadlockError; nested on one key too."""
    cache = make_cache("c")
    refused: list[str] = []

    async def nested(first: str, second: str) -> None:
        try:
            async with cache.transaction(first):
                await asyncio.sleep(0.01)
                async with cache.transaction(second):
                    pass
        except DeadlockError:
            refused.append(first)

    async def work() -> None:
        async with asyncio.timeout(5):
            await asyncio.gather(nested("a", "b"), nested("b", "a"))
            await nested("c", "c")

    asyncio.run(work())
    assert len(refused) == 2
    assert refused[1] == "c"


def test_a_cancelled_wait_leaves_no_lock(make_cache: MakeCache) -> None:
    """The next in line gets the key."""
    cache = make_cache("c")

    async def wait() -> None:
        async with cache.transaction("k"):
            pass

    async def work() -> None:
        async with asyncio.timeout(5):
            async with cache.transaction("k"):
                waiting = [asyncio.create_task(wait()) for _ in range(3)]
                await asyncio.sleep(0)
                waiting[0].cancel()
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(e) for e in ended] == [asyncio.CancelledError, type(None), type(None)]
            async with cache.transaction("k"):
                pass

    asyncio.run(work())


def test_a_turn_that_is_cancelled_goes_to_the_next(make_cache: MakeCache) -> None:
    """Cancelled between being woken and going on, a waiter passes the key on."""
    cache = make_cache("c")

    async def wait() -> None:
        async with cache.transaction("k"):
            pass

    async def work() -> None:
        async with asyncio.timeout(5):
            async with cache.transaction("k"):
                waiting = [asyncio.create_task(wait()) for _ in range(2)]
                await asyncio.sleep(0)
            waiting[0].cancel()
            ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(e) for e in ended] == [asyncio.CancelledError, type(None)]

    asyncio.run(work())


def test_a_remote_cache_warns_of_its_dictionary_face_alone(tmp_path: Path) -> None:
    """Once, in a loop; its awaited face and its transactions block nothing."""

    async def work(cache: Cache) -> None:
        async with cache.transaction("fish"):
            await cache.aset("fish", "🐟")
        assert await cache.aget("fish") == "🐟"
        with pytest.warns(UserWarning, match="blocks the event loop"):
            assert cache["fish"] == "🐟"
        assert cache["fish"] == "🐟"

    app = App("tests", config=Config.load(cwd=tmp_path, environ={}))
    cache = app.cache("prizes", backend="memory")
    cache.open().store.remote = True
    cache.close()  # which face blocks is settled when it is opened
    asyncio.run(work(cache))
    app.close()
