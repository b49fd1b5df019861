"""The promises of `Cache` on the embedded stores."""

from __future__ import annotations

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
