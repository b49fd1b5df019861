"""What every state store and checkpoint store must do, as tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipcore.interfaces import (
    ICheckpointStore,
    IStateStore,
    StateError,
    StateInUseError,
)

MakeStore = Callable[[], IStateStore]
"""Makes a store object; all it makes share one backend, as two processes or two runs do."""

MakeCheckpointStore = Callable[[], ICheckpointStore]
"""As `MakeStore`."""

_KEYS = st.binary(max_size=3)
_CHANGES = st.lists(
    st.dictionaries(_KEYS, st.one_of(st.none(), st.binary(max_size=3)), max_size=8), max_size=5
)
_spaces = count()


class StateStoreContract:
    """The contract of `IStateStore`. A subclass gives the fixture `make_store`.

    Attributes:
        patience: seconds that anything which is to happen may take.
    """

    patience: float = 10.0

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

    def test_what_is_written_is_there(self, store: IStateStore) -> None:
        """The last value of a key is its value; None deletes; empty is not None."""
        store.write({"a": {b"k": b"1", b"": b"", b"gone": b"x"}})
        store.write({"a": {b"k": b"2", b"gone": None, b"never": None}})
        assert store.get("a", b"k") == b"2"
        assert store.get("a", b"") == b""
        assert store.get("a", b"gone") is None
        assert store.get("a", b"never") is None
        assert store.scan("a") == [(b"", b""), (b"k", b"2")]

    def test_spaces_are_apart(self, store: IStateStore) -> None:
        """A key of one space is no key of another one."""
        store.write({"a": {b"k": b"1"}, "b": {b"k": b"2", b"l": b"3"}})
        store.write({"a": {b"k": None}})
        assert store.scan("a") == []
        assert store.scan("b") == [(b"k", b"2"), (b"l", b"3")]

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

    def test_ranges(self, store: IStateStore) -> None:
        """A scan has its start, not its end, and counts its limit from the end it begins at."""
        pairs = [(bytes([n]), b"%d" % n) for n in range(0, 250, 10)]
        store.write({"a": dict(reversed(pairs))})
        assert store.scan("a") == pairs
        assert store.scan("a", b"\x14", b"\x32") == pairs[2:5]
        assert store.scan("a", b"\x13", b"\x33") == pairs[2:6]
        assert store.scan("a", b"\x14", limit=2) == pairs[2:4]
        assert store.scan("a", end=b"\x14") == pairs[:2]
        assert store.scan("a", backwards=True) == pairs[::-1]
        assert store.scan("a", b"\x14", b"\x32", backwards=True, limit=2) == [pairs[4], pairs[3]]
        assert store.scan("a", b"\x32", b"\x14") == []
        assert store.scan("a", b"\x14", b"\x14") == []

    def test_a_scan_is_bounded(self, store: IStateStore) -> None:
        """Without a limit a scan gives 256 pairs; all are had by going on behind the last."""
        store.write({"a": {b"%05d" % n: b"v" for n in range(1_000)}})
        found: list[bytes] = []
        while chunk := store.scan("a", found[-1] + b"\0" if found else None):
            assert len(chunk) <= 256
            found += [key for key, _ in chunk]
        assert found == [b"%05d" % n for n in range(1_000)]

    def test_it_is_a_sorted_dictionary(self, store: IStateStore) -> None:
        """Whatever is written, scans and gets see what a sorted dictionary would hold."""

        # Made for each store: hypothesis must not mix the examples of several subclasses.
        @settings(max_examples=50, deadline=None)
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

    def test_positions(self, store: IStateStore) -> None:
        """Positions are kept by reader and partition; those that are not named stay."""
        assert store.positions("reader") == {}
        store.write({}, {"reader": {0: 1, 1: 7}, "other": {0: 9}})
        store.write({"a": {b"k": b"v"}}, {"reader": {0: 2, 2: 2**62}})
        assert store.positions("reader") == {0: 2, 1: 7, 2: 2**62}
        assert store.positions("other") == {0: 9}

    def test_a_space_has_one_owner(self, make_store: MakeStore) -> None:
        """A space that is attached is refused to another object until it is given up."""
        first, second = make_store(), make_store()
        first.attach("a")
        with pytest.raises(StateInUseError, match="a"):
            second.attach("a")
        second.attach("b")
        first.detach("a")
        second.attach("a")
        second.write({"a": {b"k": b"v"}})
        second.close()
        first = make_store()
        first.attach("a")
        first.attach("b")
        assert first.get("a", b"k") == b"v"

    def test_giving_up_is_harmless(self, make_store: MakeStore) -> None:
        """A space that was never attached may be detached, and a store closed twice."""
        store = make_store()
        store.detach("never")
        store.close()
        store.close()

    def test_large_and_many(self, store: IStateStore) -> None:
        """Values of a megabyte and writes of ten thousand keys are nothing special."""
        large = bytes(range(256)) * 4_096
        store.write({"a": {b"large": large}, "b": {b"%d" % n: b"v" for n in range(10_000)}})
        assert store.get("a", b"large") == large
        assert store.get("b", b"9999") == b"v"

    def test_the_awaitable_face(self, store: IStateStore) -> None:
        """`aget`, `ascan` and `awrite` do what their plain twins do."""

        async def scenario() -> None:
            await store.awrite({"a": {b"k": b"v", b"l": b"w"}}, {"reader": {0: 1}})
            assert await store.aget("a", b"k") == b"v"
            assert await store.ascan("a", b"k", backwards=True, limit=1) == [(b"l", b"w")]
            assert store.positions("reader") == {0: 1}

        asyncio.run(scenario())

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


class CheckpointStoreContract:
    """The contract of `ICheckpointStore`. A subclass gives the fixture `make_store`."""

    @pytest.fixture
    def make_store(self) -> MakeCheckpointStore:
        """To be given by the subclass; it closes what it has made."""
        raise NotImplementedError("a contract suite needs the fixture make_store")

    def test_a_state_is_replaced_whole(self, make_store: MakeCheckpointStore) -> None:
        """The last saved state is loaded, None where there is none; empty is not None."""
        store = make_store()
        assert store.load("a") is None
        store.save("a", b"a long state")
        store.save("a", b"short")
        store.save("empty", b"")
        assert store.load("a") == b"short"
        assert store.load("empty") == b""

    @pytest.mark.parametrize("name", ["a/b", "../a", "é 🏆", "A", "a.b:c|d", "n" * 200])
    def test_any_name(self, make_store: MakeCheckpointStore, name: str) -> None:
        """Names are any text, and apart from each other."""
        store = make_store()
        store.save("a", b"another")
        store.save(name, b"\0\xff")
        assert store.load(name) == b"\0\xff"
        assert store.load("a") == b"another"

    def test_states_outlive_their_object(self, make_store: MakeCheckpointStore) -> None:
        """What was saved is there for the next object."""
        store: Any = make_store()
        store.save("a", b"state")
        store.close()
        store.close()
        assert make_store().load("a") == b"state"
