"""What every checkpoint store must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import pytest

from slipcore.interfaces import ICheckpointStore
from slipcore.testing.contract import Contract
from slipcore.testing.promises import promise

MakeCheckpointStore: TypeAlias = Callable[[], ICheckpointStore]
"""Makes a store object; all it makes share one backend, as two processes or two runs do."""

_NAMES: Final = ("a", "A", "a/b", "a_b", "a%2Fb", "../a", "é 🏆", "a.b:c|d", "n" * 200)


class CheckpointStoreContract(Contract):
    """The contract of `ICheckpointStore`. A subclass gives the fixture `make_store`."""

    @pytest.fixture
    def make_store(self) -> MakeCheckpointStore:
        """To be given by the subclass; it closes what it has made."""
        raise NotImplementedError("a suite of checkpoint stores needs the fixture make_store")

    @promise("checkpoint-store.last-state")
    def test_the_last_state_is_loaded(self, make_store: MakeCheckpointStore) -> None:
        """None where there is none; empty is not None; what is given out is bytes."""
        store = make_store()
        assert store.load("a") is None
        store.save("a", b"first")
        store.save("a", b"\0\xff")
        store.save("empty", b"")
        assert store.load("a") == b"\0\xff"
        assert store.load("empty") == b""
        assert type(store.load("a")) is bytes

    @promise("checkpoint-store.whole")
    def test_a_state_is_replaced_whole(self, make_store: MakeCheckpointStore) -> None:
        """By a longer one or a shorter one, for the next object too."""
        long = bytes(range(256)) * 400
        store = make_store()
        for state in (long, b"short", long[1:], b"s"):
            store.save("a", state)
            assert store.load("a") == state
        store.close()
        assert make_store().load("a") == b"s"

    @promise("checkpoint-store.names")
    def test_any_name(self, make_store: MakeCheckpointStore) -> None:
        """Names are any text, and apart from each other."""
        store = make_store()
        for name in _NAMES:
            store.save(name, name.encode())
        assert [store.load(name) for name in _NAMES] == [name.encode() for name in _NAMES]

    @promise("checkpoint-store.saved-is-durable")
    def test_states_outlive_their_object(self, make_store: MakeCheckpointStore) -> None:
        """What was saved is there for the next object."""
        store = make_store()
        store.save("a", b"state")
        store.close()
        assert make_store().load("a") == b"state"

    @promise("checkpoint-store.close-twice")
    def test_closing_is_harmless(self, make_store: MakeCheckpointStore) -> None:
        """A store may be closed twice, used or not."""
        for uses in (True, False):
            store: Any = make_store()
            if uses:
                store.save("a", b"state")
            store.close()
            store.close()
