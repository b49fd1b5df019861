"""The view of a cache over pending writes equals a dictionary that knows their order."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from slipcore.backends.memory import MemoryStateOptions, open_state_store
from slipcore.engine.delivery import Lane
from slipcore.engine.generations import Generation
from slipcore.engine.state import CURRENT, Space, undo
from slipcore.testing import LocalScope

KEYS = st.sampled_from([b"a", b"ab", b"b", b"c"])
VALUES = st.one_of(st.none(), st.binary(max_size=2))


class PendingWrites(RuleBasedStateMachine):
    """Generations write, fail, land in order, and are overtaken by writes from outside."""

    def __init__(self) -> None:
        super().__init__()
        store = open_state_store("s", MemoryStateOptions(), LocalScope("s", Path("unused")))
        store.attach("s")
        self.space = Space(store, "s", 10)
        self.lane = Lane.bare("lane")
        self.durable: dict[bytes, bytes] = {}
        self.pending: list[tuple[Generation, dict[bytes, bytes | None]]] = []

    def view(self) -> dict[bytes, bytes]:
        seen: dict[bytes, bytes | None] = dict(self.durable)
        for _, writes in self.pending:
            seen.update(writes)
        return {key: value for key, value in seen.items() if value is not None}

    @rule(changes=st.lists(st.tuples(KEYS, VALUES), max_size=4), fails=st.booleans())
    def handle(self, changes: list[tuple[bytes, bytes | None]], fails: bool) -> None:
        """A record writes, and fails or not."""
        generation = self.lane.begin((), 0)
        token = CURRENT.set(generation)
        for key, value in changes:
            self.space.put(key, value)
        CURRENT.reset(token)
        if fails:
            undo(generation, -1)
        elif changes:
            self.pending.append((generation, dict(changes)))
        self.lane.end(generation)

    @rule()
    def land(self) -> None:
        """The oldest generation becomes durable."""
        if not self.pending:
            return
        generation, writes = self.pending.pop(0)
        self.space.store.write({"s": generation.writes.get(self.space, {})})
        self.lane.settle(generation)
        self._apply(writes)

    @rule(key=KEYS, value=VALUES)
    def write_outside(self, key: bytes, value: bytes | None) -> None:
        """A write outside of a handler is durable at once, and no older one comes over it."""
        self.space.put(key, value)
        self._apply({key: value})
        for _, writes in self.pending:
            writes.pop(key, None)

    @rule()
    def end_the_run(self) -> None:
        """What has not landed is as if it had not been."""
        self.lane.discard()
        self.pending.clear()

    def _apply(self, writes: dict[bytes, bytes | None]) -> None:
        for key, value in writes.items():
            if value is None:
                self.durable.pop(key, None)
            else:
                self.durable[key] = value

    @invariant()
    def reads_agree(self) -> None:
        view = self.view()
        assert {k: v for k in (b"a", b"ab", b"b", b"c") if (v := self.space.get(k))} == {
            k: v for k, v in view.items() if v
        }

    @invariant()
    def scans_agree(self) -> None:
        expected = sorted(self.view().items())
        assert list(self.space.scan(None, None, backwards=False)) == expected
        assert list(self.space.scan(None, None, backwards=True)) == expected[::-1]
        assert list(self.space.scan(b"ab", b"c", backwards=False)) == [
            (k, v) for k, v in expected if b"ab" <= k < b"c"
        ]


TestPendingWrites = PendingWrites.TestCase
TestPendingWrites.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
