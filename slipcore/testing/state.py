"""What every state store must do, as tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipcore.interfaces import IStateStore, StateError, StateInUseError
from slipcore.testing.contract import Contract
from slipcore.testing.promises import promise

MakeStore: TypeAlias = Callable[[], IStateStore]
"""Makes a store object; all it makes share one backend, as two processes or two runs do."""

_KEYS: Final = st.binary(max_size=3)
_CHANGES: Final = st.lists(
    st.dictionaries(_KEYS, st.one_of(st.none(), st.binary(max_size=3)), max_size=8), max_size=5
)
_spaces: Final = count()


class StateContract(Contract):
    """What `IStateStore` says, method by method."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """To be given by the subclass; it closes what it has made."""
        raise NotImplementedError("a contract suite needs the fixture make_store")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> IStateStore:
        """A store with the spaces `a` and `b`."""
        store = make_store()
        store.attach("a")
        store.attach("b")
        return store

    @promise("cache.last-value")
    def test_what_is_written_is_there(self, store: IStateStore) -> None:
        """The last value of a key is its value; there is none where nothing was written."""
        store.write({"a": {b"k": b"1", b"l": b"\0\xff"}})
        store.write({"a": {b"k": b"2"}})
        assert [store.get("a", key) for key in (b"k", b"l", b"x")] == [b"2", b"\0\xff", None]

    @promise("cache.none-deletes")
    def test_none_deletes(self, store: IStateStore) -> None:
        """Whether the key was there or not, and in one write with others."""
        store.write({"a": {b"k": b"1", b"gone": b"x"}})
        store.write({"a": {b"gone": None, b"never": None}})
        assert store.get("a", b"gone") is None
        assert store.get("a", b"never") is None
        assert [key for key, _ in store.scan("a")] == [b"k"]

    @promise("cache.empty-is-not-none")
    def test_empty_is_not_none(self, store: IStateStore) -> None:
        """Neither as a key nor as a value."""
        store.write({"a": {b"": b"v", b"k": b""}})
        assert (store.get("a", b""), store.get("a", b"k")) == (b"v", b"")
        assert store.scan("a") == [(b"", b"v"), (b"k", b"")]

    @promise("cache.values-are-bytes")
    def test_what_is_given_out_is_bytes(self, store: IStateStore) -> None:
        """Nothing that a reader could change for the others."""
        store.write({"a": {b"k": b"v"}})
        assert type(store.get("a", b"k")) is bytes
        assert [(type(k), type(v)) for k, v in store.scan("a")] == [(bytes, bytes)]

    @promise("cache.spaces-are-apart")
    def test_spaces_are_apart(self, store: IStateStore) -> None:
        """A key of one space is no key of another one."""
        store.write({"a": {b"k": b"1"}, "b": {b"k": b"2", b"l": b"3"}})
        store.write({"a": {b"k": None}})
        assert store.scan("a") == []
        assert store.scan("b") == [(b"k", b"2"), (b"l", b"3")]

    @promise("cache.written-is-durable")
    def test_state_outlives_its_object(self, make_store: MakeStore) -> None:
        """Values and positions are there for the next object."""
        store = make_store()
        store.attach("a")
        store.write({"a": {b"k": b"v"}}, {"reader": {0: 5, 3: -1}})
        store.close()
        store = make_store()
        store.attach("a")
        assert store.get("a", b"k") == b"v"
        assert store.positions("reader") == {0: 5, 3: -1}

    @promise("cache.key-order")
    def test_keys_come_in_the_order_of_their_bytes(self, store: IStateStore) -> None:
        """Whatever the order in which they were written, and however long they are."""
        keys = [
            b"",
            b"\0",
            b"\0\0",
            b"\x01",
            b"1",
            b"10",
            b"2",
            b"a",
            b"a\xff",
            b"b",
            b"\x80",
            b"\xff",
        ]
        store.write({"a": dict.fromkeys(reversed(keys), b"v")})
        assert [key for key, _ in store.scan("a")] == keys

    @promise("cache.scan-range")
    def test_a_scan_has_its_start_and_not_its_end(self, store: IStateStore) -> None:
        """Neither needs to be a key that is there."""
        pairs = [(bytes([n]), b"%d" % n) for n in range(0, 100, 10)]
        store.write({"a": dict(pairs)})
        assert store.scan("a", b"\x14", b"\x32") == pairs[2:5]
        assert store.scan("a", b"\x13", b"\x33") == pairs[2:6]
        assert store.scan("a", b"\x14") == pairs[2:]
        assert store.scan("a", end=b"\x14") == pairs[:2]
        assert store.scan("a", b"\x32", b"\x14") == []
        assert store.scan("a", b"\x14", b"\x14") == []

    @promise("cache.scan-backwards")
    def test_a_scan_may_go_backwards(self, store: IStateStore) -> None:
        """From the end of the range, which is no part of it either; the limit counts from there."""
        pairs = [(bytes([n]), b"%d" % n) for n in range(0, 100, 10)]
        store.write({"a": dict(pairs)})
        assert store.scan("a", backwards=True) == pairs[::-1]
        assert store.scan("a", b"\x14", b"\x32", backwards=True) == pairs[2:5][::-1]
        assert store.scan("a", b"\x14", b"\x32", backwards=True, limit=2) == [pairs[4], pairs[3]]

    @promise("cache.scan-limit")
    def test_a_scan_is_bounded(self, store: IStateStore) -> None:
        """Without a limit it gives 256 pairs; all are had by going on behind the last."""
        store.write({"a": {b"%05d" % n: b"v" for n in range(600)}})
        assert len(store.scan("a", limit=2)) == 2
        found: list[bytes] = []
        while chunk := store.scan("a", found[-1] + b"\0" if found else None):
            assert len(chunk) <= 256
            found += [key for key, _ in chunk]
        assert found == [b"%05d" % n for n in range(600)]

    @promise(
        "cache.key-order",
        "cache.last-value",
        "cache.none-deletes",
        "cache.empty-is-not-none",
        "cache.scan-backwards",
        "cache.scan-range",
    )
    def test_it_is_a_sorted_dictionary(self, store: IStateStore) -> None:
        """Whatever is written, scans and gets see what a sorted dictionary would hold."""

        # Made for each store: hypothesis must not mix the examples of several subclasses.
        # How busy the machine is says nothing about a store.
        @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(_CHANGES, st.none() | _KEYS, st.none() | _KEYS, st.booleans())
        def check(
            changes: list[dict[bytes, bytes | None]],
            start: bytes | None,
            end: bytes | None,
            backwards: bool,
        ) -> None:
            space = f"space-{next(_spaces)}"
            store.attach(space)
            model: dict[bytes, bytes] = {}
            for written in changes:
                store.write({space: written})
                model.update({k: v for k, v in written.items() if v is not None})
                for key in [k for k, v in written.items() if v is None]:
                    model.pop(key, None)
                expected = [
                    (k, model[k])
                    for k in sorted(model, reverse=backwards)
                    if (start is None or k >= start) and (end is None or k < end)
                ]
                assert store.scan(space, start, end, backwards=backwards) == expected
                assert all(store.get(space, k) == model.get(k) for k in written)
            store.detach(space)

        check()

    @promise("cache.all-or-nothing", "cache.write-needs-a-claim")
    def test_all_or_nothing(self, store: IStateStore) -> None:
        """A write to a space that is not attached writes nothing anywhere."""
        store.write({"a": {b"k": b"old"}}, {"reader": {0: 1}})
        with pytest.raises(StateError):
            store.write(
                {"a": {b"k": b"new"}, "unattached": {b"k": b"v"}, "b": {b"k": b"v"}},
                {"reader": {0: 2}},
            )
        assert store.get("a", b"k") == b"old"
        assert store.get("b", b"k") is None
        assert store.positions("reader") == {0: 1}

    @promise("cache.positions-are-kept")
    def test_positions_are_kept(self, store: IStateStore) -> None:
        """By reader and partition, with values or without."""
        assert store.positions("reader") == {}
        store.write({}, {"reader": {0: 1, 1: -1}, "other": {0: 9}})
        store.write({"a": {b"k": b"v"}}, {"reader": {0: 2, 1: 2**62}})
        assert store.positions("reader") == {0: 2, 1: 2**62}
        assert store.positions("other") == {0: 9}

    @promise("cache.positions-not-named-stay")
    def test_positions_that_are_not_named_stay(self, store: IStateStore) -> None:
        """Those of other partitions, of other readers, and all where none is named."""
        store.write({}, {"reader": {0: 1, 1: 7}, "other": {0: 9}})
        store.write({}, {"reader": {0: 2}})
        store.write({"a": {b"k": b"v"}})
        assert (store.positions("reader"), store.positions("other")) == ({0: 2, 1: 7}, {0: 9})

    @promise("cache.one-owner")
    def test_a_space_has_one_owner(self, make_store: MakeStore) -> None:
        """A space that is attached is refused to another object; others are free."""
        first, second = make_store(), make_store()
        first.attach("a")
        with pytest.raises(StateInUseError, match="a"):
            second.attach("a")
        second.attach("b")

    @promise("cache.detach-gives-up")
    def test_what_is_detached_can_be_claimed(self, make_store: MakeStore) -> None:
        """With what was written to it; one that was never attached may be detached."""
        first, second = make_store(), make_store()
        first.detach("never")
        first.attach("a")
        first.write({"a": {b"k": b"v"}})
        first.detach("a")
        second.attach("a")
        assert second.get("a", b"k") == b"v"

    @promise("cache.close-gives-up")
    def test_what_is_closed_can_be_claimed(self, make_store: MakeStore) -> None:
        """All its spaces; and it may be closed twice."""
        first = make_store()
        first.attach("a")
        first.attach("b")
        first.close()
        first.close()
        second = make_store()
        second.attach("a")
        second.attach("b")

    @promise("cache.database-or-refusal")
    def test_a_database_object_or_a_refusal(self, store: IStateStore) -> None:
        """A StateError where there is none."""
        with suppress(StateError):
            assert store.database("a") is not None

    @promise("cache.large-writes")
    def test_large_and_many(self, store: IStateStore) -> None:
        """Values of a megabyte and writes of ten thousand keys are nothing special."""
        large = bytes(range(256)) * 4_096
        store.write({"a": {b"large": large}, "b": {b"%d" % n: b"v" for n in range(10_000)}})
        assert store.get("a", b"large") == large
        assert store.get("b", b"9999") == b"v"

    @promise("cache.awaited-does-the-same")
    def test_the_awaitable_face(self, store: IStateStore) -> None:
        """`aget`, `ascan` and `awrite` do what their plain twins do."""

        async def scenario() -> None:
            await store.awrite({"a": {b"k": b"v", b"l": b"w"}}, {"reader": {0: 1}})
            assert await store.aget("a", b"k") == b"v"
            assert await store.ascan("a", b"k", backwards=True, limit=1) == [(b"l", b"w")]
            assert store.positions("reader") == {0: 1}

        asyncio.run(scenario())

    @promise("cache.cancelled-write-is-whole")
    def test_a_cancelled_write_is_whole(self, store: IStateStore) -> None:
        """A write that was begun is done although its caller was cancelled."""

        async def scenario() -> None:
            writing = asyncio.create_task(
                store.awrite({"a": {b"k": b"v"}, "b": {b"k": b"v"}}, {"reader": {0: 1}})
            )
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            deadline = time.monotonic() + self.patience
            while store.get("b", b"k") is None and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert (store.get("a", b"k"), store.get("b", b"k")) == (b"v", b"v")
            assert store.positions("reader") == {0: 1}

        asyncio.run(scenario())

    @promise("cache.reads-beside-a-write")
    def test_reading_while_a_thread_writes(self, store: IStateStore) -> None:
        """The loop's thread reads, always something whole, while a worker thread writes."""

        async def scenario() -> None:
            store.write({"a": {b"x": b"0", b"y": b"0"}})

            def work() -> None:
                for n in range(1, 51):
                    value = b"%d" % n
                    store.write({"a": {b"x": value, b"y": value, b"n" + value: value}})

            writing = asyncio.create_task(asyncio.to_thread(work))
            while not writing.done():
                found = dict(store.scan("a", b"x"))
                assert found[b"x"] == found[b"y"]
                assert store.get("a", b"x") is not None
                await asyncio.sleep(0)
            await writing
            assert len(store.scan("a")) == 52

        asyncio.run(scenario())
