"""A cache's methods do the same on every backend; its database object is there where one is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from rocksdict import Rdict, ReadOptions, WriteOptions

from slipcore import App, Cache
from slipcore.config import Config
from slipcore.interfaces import StateError
from slipcore.testing.caches import MakeCache


def make_app(directory: Path) -> App:
    return App("methods", config=Config.load(cwd=directory, environ={}))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app in the test's directory."""
    app = make_app(tmp_path)
    yield app
    app.close()


@pytest.fixture(params=["memory", "sqlite", "rocks"])
def make_cache(request: pytest.FixtureRequest, app: App) -> MakeCache:
    """Caches of that app."""

    def make(name: str) -> Cache:
        return app.cache(name, backend=request.param)

    return make


def test_arguments_may_be_given_by_place(make_cache: MakeCache) -> None:
    """Backwards, the first key, how to read, the prefix: in this order."""
    cache = make_cache("c")
    for key in ("a", "ab", "abc", "b"):
        cache.put(key, key.upper(), WriteOptions())
    assert list(cache.keys(True, "abb", ReadOptions(), "a")) == ["ab", "a"]
    assert list(cache.values(False, "ab", None, "ab")) == ["AB", "ABC"]
    assert list(cache.items(True, None, None)) == [
        ("b", "B"), ("abc", "ABC"), ("ab", "AB"), ("a", "A"),
    ]  # fmt: skip
    assert cache.get("x", 0, ReadOptions()) == 0
    assert cache.get(["a", "x"], 0, ReadOptions()) == ["A", 0]
    cache.delete("a", WriteOptions())
    cache.delete_range("ab", "b", WriteOptions())
    assert list(cache.keys()) == ["b"]


def test_whether_a_key_exists(make_cache: MakeCache) -> None:
    """It is known for sure; the value comes with it where it is asked for."""
    cache = make_cache("c")
    cache["k"] = None
    assert (cache.key_may_exist("k"), cache.key_may_exist("x")) == (True, False)
    assert cache.key_may_exist("k", fetch=True) == (True, None)
    assert cache.key_may_exist("x", True, ReadOptions()) == (False, None)


def test_a_range_is_deleted_whole_or_not_at_all(make_cache: MakeCache) -> None:
    """In a transaction that raises it is there again."""
    cache = make_cache("c")
    for n in range(5):
        cache[n] = n
    with pytest.raises(RuntimeError), cache.transaction():
        cache.delete_range(1, 4)
        assert list(cache.keys()) == [0, 4]
        raise RuntimeError
    assert list(cache.keys()) == [0, 1, 2, 3, 4]
    cache.delete_range(1, 4)
    cache.close()
    assert list(make_cache("c").keys()) == [0, 4]


def test_a_cache_that_is_destroyed_is_empty(make_cache: MakeCache) -> None:
    """Others stay as they are, and it may be used again."""
    cache, other = make_cache("c"), make_cache("other")
    with cache.transaction():
        for n in range(25_000):
            cache[n] = n
    other["k"] = 1
    assert cache[7] == 7
    cache.destroy()
    assert (list(cache.keys()), cache[7], other["k"]) == ([], None, 1)
    cache["k"] = 2
    cache.close()
    assert list(make_cache("c").items()) == [("k", 2)]


def test_flushing_is_never_needed_and_never_harmful(make_cache: MakeCache) -> None:
    """What was put is there before and after."""
    cache = make_cache("state/x")
    cache["k"] = 1
    cache.flush()
    cache.flush(wait=False)
    cache.flush_wal()
    cache.flush_wal(sync=False)
    assert cache["k"] == 1
    assert isinstance(cache.path(), str)


def test_hints_change_nothing(app: App) -> None:
    """What another one's options say of size and eviction does not make a cache forget."""
    cache = app.cache("c", backend="rocks")
    hinted = Cache(
        "hinted", options=None, target_table_size=1, number_of_locks=1, app=app, backend="rocks"
    )
    for n in range(1_000):
        cache[n] = hinted[n] = "x" * 1_000
    assert list(hinted.items()) == list(cache.items())


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
def test_a_backend_without_a_database_object_says_so(app: App, backend: str) -> None:
    """The cache is named, and its path is its name."""
    cache = app.cache("state/x", backend=backend)
    with pytest.raises(StateError, match="the state state/x is in a .* no database object"):
        _ = cache.db
    assert cache.path() == "state/x"


def test_the_database_object_is_the_one_that_the_cache_is_in(app: App, tmp_path: Path) -> None:
    """All that its library can do is at hand, on the cache's own data."""
    cache = app.cache("state/x", backend="rocks")
    for n in range(100):
        cache[n] = n
    assert isinstance(cache.db, Rdict)
    assert cache.path() == cache.db.path() == str(tmp_path / ".slip/rocks/state%2Fx")
    assert cache.db.latest_sequence_number() >= 100
    assert cache.db.live_files() != []
    assert len(list(cache.db.snapshot().keys())) >= 100
    cache.db.flush()
    cache.db.compact_range(None, None)
    assert [cache[n] for n in range(100)] == list(range(100))


def test_state_and_position_go_on_after_a_failure(tmp_path: Path) -> None:
    """A handler that fails leaves a state of whole records, from which the next run goes on."""
    seen: list[int] = []

    async def fill(app: App) -> None:
        topic = app.topic("numbers", codec="json")
        for n in range(10):
            await topic(None, n)

    async def run(failing: int | None) -> None:
        app = make_app(tmp_path)
        sums = app.cache("sums", backend="rocks")
        topic = app.topic("numbers", codec="json")

        @app.handle(topic)
        def add(message: object) -> None:
            n = message.value  # type: ignore[attr-defined]  # a record
            sums["sum"] = (sums["sum"] or 0) + n
            if n == failing:
                raise RuntimeError("failing")
            seen.append(n)

        async def until_all_are_seen() -> AsyncIterator[int]:
            while len(seen) < 10:
                await asyncio.sleep(0.01)
            yield 0

        @app.handle(until_all_are_seen())
        def stop(_: int) -> None:
            app.stop()

        try:
            async with asyncio.timeout(20):
                await app.stream()
        finally:
            app.close()

    app = make_app(tmp_path)
    asyncio.run(fill(app))
    app.close()
    with pytest.raises(RuntimeError, match="failing"):
        asyncio.run(run(6))
    asyncio.run(run(None))
    assert seen == list(range(10))
    app = make_app(tmp_path)
    assert app.cache("sums", backend="rocks")["sum"] == 45
    app.close()
