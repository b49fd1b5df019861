"""The isolated block of a cache: locks in the order of keys, undone if it raises."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeAlias

from slipcore.engine.delivery import Lane
from slipcore.engine.generations import Generation
from slipcore.engine.state import CURRENT, Space, Turns, in_hand, undo
from slipcore.interfaces import DeadlockError, IStateStore, StateError

_Changes: TypeAlias = dict[Space, dict[bytes, "bytes | None"]]
"""Space -> key -> value, of one store."""

_ENCLOSING: ContextVar[Transaction | None] = ContextVar("slipcore_transaction", default=None)


class KeyLocks:
    """Who holds which key of a cache, and who waits for it; nothing is kept of idle keys."""

    def __init__(self) -> None:
        self.holders: dict[bytes, Transaction] = {}
        self.waiting: dict[bytes, deque[asyncio.Future[None]]] = {}

    def release(self, key: bytes) -> None:
        del self.holders[key]
        queue = self.waiting.get(key)
        while queue:
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.waiting.pop(key, None)


class Transaction:
    """`with` and `async with`: holds its keys, and takes its writes back if the block raises.

    Within a handler the writes go with the record's generation; elsewhere they are written
    together when the block ends. Reads are not limited by it, and see its writes at once.
    """

    def __init__(self, space: Space, locks: KeyLocks, keys: dict[bytes, Any]) -> None:
        self._space = space
        self._locks = locks
        self._keys = {key: keys[key] for key in sorted(keys)}
        self._held: list[bytes] = []
        self._waits_for: tuple[KeyLocks, bytes] | None = None
        self._parent: Transaction | None = None
        self._task: asyncio.Task[Any] | None = None
        self._entered: Token[Transaction | None] | None = None
        self._outer: Token[Generation | Turns | None] | None = None
        self._generation: Generation | None = None
        self._mark = 0

    def __enter__(self) -> None:
        self._nest()
        for key in self._keys:
            if key in self._locks.holders:
                self._let_go()
                raise StateError(
                    f"Key {self._keys[key]!r} of cache '{self._space.name}' is in another "
                    "transaction; write `async with` to wait for it."
                )
            self._hold(key)
        self._begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            for store, spaces in self._end(error).items():
                store.write({space.name: changes for space, changes in spaces.items()})
                _supersede(spaces)
        finally:
            self._let_go()

    async def __aenter__(self) -> None:
        self._nest()
        try:
            for key in self._keys:
                while key in self._locks.holders:
                    await self._wait(key)
                self._hold(key)
        except BaseException:
            self._let_go()
            raise
        self._begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            for store, spaces in self._end(error).items():
                await store.awrite({space.name: changes for space, changes in spaces.items()})
                _supersede(spaces)
        finally:
            self._let_go()

    def _nest(self) -> None:
        """Know the enclosing transaction of this task; those of other tasks may be waited for."""
        self._task = _current_task()
        enclosing = _ENCLOSING.get()
        self._parent = enclosing if enclosing and enclosing._task is self._task else None

    # --- locks ----------------------------------------------------------------------------

    def _hold(self, key: bytes) -> None:
        self._locks.holders[key] = self
        self._held.append(key)

    def _let_go(self) -> None:
        for key in self._held:
            self._locks.release(key)
        self._held.clear()

    async def _wait(self, key: bytes) -> None:
        self._refuse_cycle(key)
        self._root()._waits_for = (self._locks, key)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._locks.waiting.setdefault(key, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and key not in self._locks.holders:
                # It was this one's turn: the next in line must not sleep for ever.
                self._locks.holders[key] = self
                self._locks.release(key)
            raise
        finally:
            self._root()._waits_for = None

    def _refuse_cycle(self, key: bytes) -> None:
        """Raise where waiting for the key would be waiting for oneself."""
        mine = self._root()
        locks, wanted = self._locks, key
        while True:
            holder = locks.holders.get(wanted)
            if holder is None:
                return
            if holder._root() is mine:
                raise DeadlockError(
                    f"Waiting for key {self._keys[key]!r} of cache '{self._space.name}' would "
                    "never end: its holder waits for this transaction. Name all keys in one "
                    "transaction(...)."
                )
            waits_for = holder._root()._waits_for
            if waits_for is None:
                return
            locks, wanted = waits_for

    def _root(self) -> Transaction:
        return self if self._parent is None else self._parent._root()

    # --- writes ---------------------------------------------------------------------------

    def _begin(self) -> None:
        self._entered = _ENCLOSING.set(self)
        generation = in_hand()
        if generation is None or not generation.open:
            generation = Generation(Lane.bare("transaction"), (), 0)
            self._outer = CURRENT.set(generation)
        self._generation = generation
        self._mark = len(generation.log)

    def _end(self, error: BaseException | None) -> dict[IStateStore, _Changes]:
        """Undo the block if it raised; what is left to be written here, outside of a handler."""
        generation = self._generation
        assert generation is not None
        if self._entered is not None:
            _ENCLOSING.reset(self._entered)
        if error is not None:
            undo(generation, -1, self._mark)
        if self._outer is None:
            return {}
        CURRENT.reset(self._outer)
        generation.open = False
        left: dict[IStateStore, _Changes] = {}
        for space, writes in generation.writes.items():
            if writes:
                left.setdefault(space.store, {})[space] = dict(writes)
        undo(generation, -1)
        generation.part()
        return left


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop: plain code, where nothing can be waited for
        return None


def _supersede(spaces: _Changes) -> None:
    for space, changes in spaces.items():
        space.supersede(changes)
