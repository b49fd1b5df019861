"""The contract of a state store: what it says itself, and what a `Cache` over it promises."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from slipcore import App, Cache, hookimpl
from slipcore.config import Config
from slipcore.interfaces import EncodeError, Scope, SlipError, StateError
from slipcore.plugins import Plugins
from slipcore.testing.promises import promise
from slipcore.testing.state import MakeStore, StateContract

if TYPE_CHECKING:
    from slipcore.hookspecs import Register

MakeCache: TypeAlias = Callable[..., Cache]
"""`make_cache(name)`: a Cache; what is made after `close()` finds what was put before."""

KEYS: Final[list[Any]] = [
    False, True, -(2**70), -1000, -2.5, -1, -1.0, -0.5, 0, 0.5, 1, 1.0, 2, 1e10, 2**70,
    "", "a", "a\0b", "ab", "b", "é", b"", b"a", b"\xff", (), (1,), (1, "a"), ("a",), ("a", 1),
]  # fmt: skip
"""Keys in their order."""

VALUES: Final[list[Any]] = [
    None, True, 0, -1, 2**200, 1.5, math.inf, "text", b"bytes", [], [1, [2]], {}, {"a": {1: (2,)}},
    (), (1, "a"), {1, 2}, frozenset({1}), {(1, 2): "tuple key"}, date(2024, 2, 29),
    datetime(2024, 1, 1, 12, 30), datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))),
    datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Amsterdam")),
    timedelta(days=-1, microseconds=1), Decimal("1.10"), UUID(int=7),
]  # fmt: skip


class _StorePlugin:
    """What brings the store under test to an app, as a plugin would: it announces itself too."""

    name = value = "tested"
    dist = None

    def __init__(self, make_store: MakeStore) -> None:
        self._make_store = make_store

    def load(self) -> _StorePlugin:
        return self

    @hookimpl
    def register_caches(self, register: Register) -> None:
        def open_store(name: str, options: None, scope: Scope) -> object:
            return scope.shared("tested", self._make_store)

        register("tested", open_store)


# The dictionary face is used within a loop, which a remote cache warns of.
@pytest.mark.filterwarnings("ignore:.*is remote:UserWarning")
class CacheContract(StateContract):
    """The contract of `IStateStore`. A subclass gives the fixture `make_store`, see `MakeStore`."""

    @pytest.fixture
    def make_cache(self, make_store: MakeStore, tmp_path: Path) -> Iterator[MakeCache]:
        """Caches of one app over a store of `make_store`."""
        plugins = Plugins(entry_points=[_StorePlugin(make_store)])
        app = App("contract", config=Config.load(cwd=tmp_path, environ={}), plugins=plugins)

        def make(name: str) -> Cache:
            return app.cache(name, backend="tested")

        yield make
        app.close()

    @promise("cache.last-value", "cache.none-deletes")
    def test_a_missing_key_is_none(self, make_cache: MakeCache) -> None:
        """Reading never raises for a key that is not there."""
        cache = make_cache("c")
        assert (cache["k"], cache.get("k", 7), "k" in cache) == (None, 7, False)
        del cache["k"]

    @promise("cache.last-value", "cache.written-is-durable")
    def test_what_comes_out_equals_what_went_in(self, make_cache: MakeCache) -> None:
        """Type included, also after it was closed and opened again."""
        cache = make_cache("c")
        for n, value in enumerate(VALUES):
            cache[n] = value
        for again in (False, True):
            if again:
                cache.close()
                cache = make_cache("c")
            found = [cache[n] for n in range(len(VALUES))]
            assert found == VALUES
            assert [type(value) for value in found] == [type(value) for value in VALUES]

    @promise("cache.last-value")
    def test_a_value_that_can_not_be_kept_exactly_is_refused(self, make_cache: MakeCache) -> None:
        """At the write, with the way out, and the former value stays."""
        cache = make_cache("c")
        cache["k"] = 1

        class Point:
            pass

        with pytest.raises(EncodeError, match=r"Point.*type=.*codec=\"pickle\""):
            cache["k"] = Point()
        assert cache["k"] == 1

    @promise("cache.last-value", "cache.values-are-bytes")
    def test_what_was_read_can_be_changed_without_changing_the_cache(
        self, make_cache: MakeCache
    ) -> None:
        """No two readers share a value that can be changed."""
        cache = make_cache("c")
        put = [1]
        cache["k"] = put
        put.append(2)
        cache["k"].append(3)
        assert cache["k"] == [1]

    @promise("cache.key-order", "cache.scan-backwards", "cache.last-value")
    def test_keys_keep_their_order(self, make_cache: MakeCache) -> None:
        """Across types, negative numbers and fractions; forwards and backwards."""
        cache = make_cache("c")
        for key in reversed(KEYS):
            cache[key] = repr(key)
        assert [(k, type(k)) for k in cache.keys()] == [(k, type(k)) for k in KEYS]
        assert list(cache.values(backwards=True)) == [repr(k) for k in reversed(KEYS)]

    @promise("cache.scan-range", "cache.key-order", "cache.scan-backwards", "cache.last-value")
    def test_ranges_begin_at_a_key_or_at_the_next_there_is(self, make_cache: MakeCache) -> None:
        """from_key is part of the range, in both directions."""
        cache = make_cache("c")
        for n in (-1.5, 0, 1, 2.5, 4):
            cache[n] = n
        assert list(cache.keys(from_key=1)) == [1, 2.5, 4]
        assert list(cache.keys(from_key=3)) == [4]
        assert list(cache.keys(backwards=True, from_key=2.5)) == [2.5, 1, 0, -1.5]
        assert list(cache.keys(backwards=True, from_key=2)) == [1, 0, -1.5]

    @promise(
        "cache.scan-range",
        "cache.key-order",
        "cache.scan-backwards",
        "cache.last-value",
        "cache.none-deletes",
    )
    def test_a_number_begins_a_range_whatever_its_type(self, make_cache: MakeCache) -> None:
        """1 and 1.0 are two keys at one place: neither is left out."""
        cache = make_cache("c")
        cache[3.0], cache[1], cache[2] = "3.0", "1", "2"
        assert list(cache.values(backwards=True, from_key=3)) == ["3.0", "2", "1"]
        assert list(cache.values(from_key=1.0)) == ["1", "2", "3.0"]
        cache.delete_range(1.0, 3)
        assert list(cache.keys()) == [3.0]

    @promise("cache.scan-range", "cache.key-order", "cache.scan-backwards", "cache.last-value")
    def test_a_prefix_selects_strings_and_tuples(self, make_cache: MakeCache) -> None:
        """Strings that begin so, tuples that begin with these elements."""
        cache = make_cache("c")
        for key in ("a", "ab", "abc", "b", ("a", 1), ("a", 2), ("b", 1), b"ab"):
            cache[key] = 0
        assert list(cache.keys(prefix="ab")) == ["ab", "abc"]
        assert list(cache.keys(prefix=("a",), backwards=True)) == [("a", 2), ("a", 1)]
        assert list(cache.keys(prefix="a", from_key="abb")) == ["abc"]

    @promise(
        "cache.written-is-durable",
        "cache.large-writes",
        "cache.scan-limit",
        "cache.key-order",
        "cache.last-value",
    )
    def test_nothing_is_forgotten(self, make_cache: MakeCache) -> None:
        """Ten thousand keys, one of them overwritten ten thousand times, survive a close."""
        cache = make_cache("c")
        with cache.transaction():
            for n in range(10_000):
                cache[n] = "x" * 50
                cache["hot"] = n
        cache.close()
        again = make_cache("c")
        assert (sum(1 for _ in again.keys()), again["hot"], again[0]) == (10_001, 9_999, "x" * 50)

    @promise("cache.none-deletes", "cache.scan-range", "cache.key-order")
    def test_ranges_can_be_deleted(self, make_cache: MakeCache) -> None:
        """The end is not part of the range."""
        cache = make_cache("c")
        for n in range(5):
            cache[n] = n
        cache.delete_range(1, 3)
        assert list(cache.keys()) == [0, 3, 4]

    @promise("cache.last-value")
    def test_several_keys_are_read_at_once(self, make_cache: MakeCache) -> None:
        """A list of keys gives the list of their values."""
        cache = make_cache("c")
        cache["a"], cache["b"] = 1, 2
        assert cache[["a", "x", "b"]] == [1, None, 2]

    @promise("cache.awaited-does-the-same", "cache.none-deletes", "cache.last-value")
    def test_the_async_face_does_the_same(self, make_cache: MakeCache) -> None:
        """aget, aset and adelete."""
        cache = make_cache("c")

        async def work() -> list[Any]:
            await cache.aset("k", (1,))
            got = [await cache.aget("k"), cache["k"]]
            await cache.adelete("k")
            return [*got, await cache.aget("k", "gone")]

        assert asyncio.run(work()) == [(1,), (1,), "gone"]

    @promise("cache.last-value")
    def test_calls_are_seen_by_those_who_iterate(self, make_cache: MakeCache) -> None:
        """Every call from subscription on, in order; plain assignment does not publish."""
        cache = make_cache("c")

        async def work() -> list[Any]:
            cache("before", 0)
            updates = aiter(cache)
            cache("a", 1)
            cache["silent"] = 2
            await cache("b", 3)
            return [await anext(updates), await anext(updates)]

        assert asyncio.run(work()) == [("a", 1), ("b", 3)]
        assert cache["silent"] == 2

    @promise("cache.last-value")
    def test_a_reader_that_falls_behind_is_told_of_which_cache(self, make_cache: MakeCache) -> None:
        """Memory is bounded; the writer never waits."""
        cache = make_cache("c")

        async def work() -> None:
            updates = aiter(cache)
            for n in range(5_000):
                cache("k", n)
            with pytest.raises(SlipError, match=r"Cache\('c'\).*fell behind"):
                async for _ in updates:
                    pass

        asyncio.run(work())

    @promise("cache.last-value", "cache.none-deletes", "cache.written-is-durable")
    def test_a_transaction_that_raises_is_undone(self, make_cache: MakeCache) -> None:
        """Every key that the block wrote has its former value, also on disk."""
        cache = make_cache("c")
        cache["a"] = 1
        with pytest.raises(RuntimeError), cache.transaction("a", "b"):
            cache["a"] = 2
            cache["b"] = 3
            del cache["a"]
            raise RuntimeError
        assert (cache["a"], cache["b"]) == (1, None)
        cache.close()
        assert list(make_cache("c").items()) == [("a", 1)]

    @promise("cache.last-value", "cache.written-is-durable")
    def test_a_transaction_that_ends_is_durable(self, make_cache: MakeCache) -> None:
        """All of it is there after the close."""
        cache = make_cache("c")
        with cache.transaction("a"):
            cache["a"] = 2
            assert cache["a"] == 2
        cache.close()
        assert make_cache("c")["a"] == 2

    @promise("cache.last-value")
    def test_a_busy_key_is_waited_for_or_refused(self, make_cache: MakeCache) -> None:
        """`async with` waits its turn, `with` raises; other keys are free."""
        cache = make_cache("c")

        async def count(n: int) -> None:
            for _ in range(n):
                async with cache.transaction("n"):
                    value = cache.get("n", 0)
                    await asyncio.sleep(0)
                    cache["n"] = value + 1

        async def work() -> None:
            async with cache.transaction("n"):
                with cache.transaction("other"):
                    pass
                await asyncio.create_task(refused())
            await asyncio.gather(*(count(10) for _ in range(5)))

        async def refused() -> None:
            with pytest.raises(StateError, match="async with"):
                cache.transaction("n").__enter__()

        asyncio.run(work())
        assert cache["n"] == 50

    @promise("cache.one-owner", "cache.detach-gives-up", "cache.close-gives-up")
    def test_two_objects_of_one_name_are_refused(self, make_cache: MakeCache) -> None:
        """The second is told who has it; when the first is closed it may."""
        first = make_cache("c")
        first["k"] = 1
        with pytest.raises(StateError, match="c"):
            make_cache("c")["k"]
        first.close()
        assert make_cache("c")["k"] == 1
