"""The promises of `Cache` on the embedded stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipcore import App, Cache
from slipcore.config import Config
from slipcore.testing.caches import CacheContract, MakeCache


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


class TestCache(CacheContract):
    """Memory and sqlite."""


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
    asyncio.run(work(cache))
    app.close()
