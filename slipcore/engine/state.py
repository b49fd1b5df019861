"""State between a handler's write and the disk: what is pending, what it depends on, when it lands.

A write is visible in the process at once and durable with its generation. A store never holds an
effect of a record beyond the position that is written with it, so generations whose writes build
on each other across sources land together, in one write.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from itertools import count
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING, Final, final

from slipcore.engine.generations import Generation
from slipcore.interfaces import IStateStore, Positions

if TYPE_CHECKING:
    from slipcore.engine.delivery import Lane


@final
class Turns:
    """Generations that have the same task in turn, with all that they begin in the background.

    Each item changes whose turn it is: to set a context variable would cost more than the rest.
    What a task in the background writes in nobody's turn is durable at once.

    Attributes:
        now: whose turn it is; None: nobody's, as between two items.
    """

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: Generation | None = None


CURRENT: ContextVar[Generation | Turns | None] = ContextVar("slipcore_generation", default=None)
"""What `in_hand` tells, for who sets it."""

_MISSING: Final = object()
_STAMPS: Final = count(1)
"""Writes in the order in which they were made, across all lanes."""
ENTRY: Final = 7
"""What a write leaves in its generation's log: space, key, who had written it before, what this
generation had written itself, that one's stamp, this one's, and the place of the record."""
BETWEEN_WRITES: Final = 0.05
"""Seconds from one write to the next, where so much is to be written that it pays to wait."""
LOAD: Final = 256
"""Records on the way at which it does."""
_PAGE = 256
"""Pairs per scan of a store: a scan never holds a read transaction open."""


def in_hand() -> Generation | None:
    """The generation whose record is in hand in this task."""
    current = CURRENT.get()
    return current.now if type(current) is Turns else current


class Space:
    """One cache's keys: what its store holds and, over it, what is not durable yet.

    A write makes no object of its own: what Python's collector has to look at costs more than the
    write.

    Attributes:
        pending: key -> the generation that wrote it last; its `writes` have the value.
        hot: key -> value, decoded.
    """

    __slots__ = ("_order", "hot", "hot_size", "name", "pending", "store")

    def __init__(self, store: IStateStore, name: str, hot_size: int) -> None:
        self.store = store
        self.name = name
        self.pending: dict[bytes, Generation] = {}
        self.hot: dict[bytes, object] = {}
        self.hot_size = hot_size
        self._order: list[bytes] | None = None  # the pending keys in order, where a scan asked

    def get(self, key: bytes) -> bytes | None:
        writer = self.pending.get(key)
        if writer is not None:
            return writer.writes[self][key]
        return self.store.get(self.name, key)

    async def aget(self, key: bytes) -> bytes | None:
        writer = self.pending.get(key)
        if writer is not None:
            return writer.writes[self][key]
        return await self.store.aget(self.name, key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value, or None to delete: with the generation in hand, else durably at once."""
        generation = in_hand()
        if generation is None or not generation.open:
            self.store.write({self.name: {key: value}})
            self.supersede((key,))
            return
        self._stage(generation, key, value)

    async def aput(self, key: bytes, value: bytes | None) -> None:
        generation = in_hand()
        if generation is None or not generation.open:
            await self.store.awrite({self.name: {key: value}})
            self.supersede((key,))
            return
        self._stage(generation, key, value)

    def _stage(self, generation: Generation, key: bytes, value: bytes | None) -> None:
        pending = self.pending
        before = pending.get(key)
        writes = generation.writes.get(self)
        if writes is None:
            writes = generation.begin_writes(self)
        if before is not None and before is not generation and _may_land_later(before, generation):
            before.entangled.add(generation)
            generation.entangled.add(before)
        own = writes.get(key, _MISSING)
        stamp = next(_STAMPS)
        former = 0
        if generation.entangled or (before is not None and before.stamps):
            former = generation.stamps.get((self, key), 0)
            generation.stamps[self, key] = stamp
        generation.log += (self, key, before, own, former, stamp, generation.index())
        writes[key] = value
        pending[key] = generation
        if before is None and self._order is not None:
            insort(self._order, key)

    def supersede(self, keys: Iterable[bytes]) -> None:
        """These are durable already: no older write that is still pending may overwrite them."""
        for key in keys:
            self.hot.pop(key, None)
            writer = self._drop(key)
            if writer is None:
                continue
            writers = {*writer.lane.live_generations(), *writer.entangled}
            for generation in writers:
                generation.writes.get(self, {}).pop(key, None)

    def forget_pending(self, keys: Iterable[bytes]) -> None:
        """Go back to what the store holds, where all that was written since is discarded."""
        for key in keys:
            self.hot.pop(key, None)
            self._drop(key)

    def land(self, keys: Iterable[bytes], generation: Generation) -> None:
        """What a generation wrote is durable: from here on the store answers for it."""
        pending = self.pending
        self._order = None
        for key in keys:
            if pending.get(key) is generation:
                del pending[key]

    def take_back(self, key: bytes, before: Generation | None) -> None:
        """Put what was pending before a write in its place again, if it has not gone meanwhile."""
        self.hot.pop(key, None)
        if (
            before is None
            or before.settled
            or before.dead
            or key not in before.writes.get(self, ())
        ):
            self._drop(key)
        else:
            self.pending[key] = before

    def _drop(self, key: bytes) -> Generation | None:
        self._order = None
        return self.pending.pop(key, None)

    def scan(
        self, start: bytes | None, end: bytes | None, backwards: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end in order, the pending ones among the durable ones."""
        between = self._pending_between(start, end)
        staged = [(key, self.pending[key].writes[self][key]) for key in between]
        covered = {key for key, _ in staged}
        waiting = iter(reversed(staged) if backwards else staged)
        head = next(waiting, None)
        for key, value in self._durable(start, end, backwards):
            while head is not None and ((head[0] > key) if backwards else (head[0] < key)):
                if head[1] is not None:
                    yield head[0], head[1]
                head = next(waiting, None)
            if key not in covered:
                yield key, value
        while head is not None:
            if head[1] is not None:
                yield head[0], head[1]
            head = next(waiting, None)

    def _pending_between(self, start: bytes | None, end: bytes | None) -> list[bytes]:
        order = self._order
        if order is None:
            order = self._order = sorted(self.pending)
        first = 0 if start is None else bisect_left(order, start)
        return order[first : len(order) if end is None else bisect_left(order, end)]

    def _durable(
        self, start: bytes | None, end: bytes | None, backwards: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        limit = 16  # a first small page: most scans want the nearest key only
        while True:
            page = self.store.scan(self.name, start, end, backwards=backwards, limit=limit)
            yield from page
            if len(page) < limit:
                return
            if backwards:
                end = page[-1][0]
            else:
                start = page[-1][0] + b"\0"
            limit = _PAGE


def _may_land_later(built_on: Generation, generation: Generation) -> bool:
    """Whether nothing else keeps what a generation builds on from landing behind it."""
    return built_on.lane is not generation.lane or built_on.number > generation.number


def is_built_upon(generation: Generation) -> bool:
    """Whether another generation has written over what this one wrote."""
    return any(
        space.pending.get(key, generation) is not generation
        for space, writes in generation.writes.items()
        for key in writes
    ) or bool(built_upon({generation}))


def built_upon(generations: set[Generation]) -> set[Generation]:
    """The others that have written right over what these wrote and can land only with them."""
    return {
        other
        for generation in generations
        for other in generation.entangled
        if other not in generations
        and not other.settled
        and not generations.isdisjoint(other.log[2::ENTRY])
    }


def undo(generation: Generation, index: int, mark: int = 0) -> set[Generation]:
    """Take back what the records from `index` on wrote, last write first.

    Only keys that this generation wrote last are restored: what came after stands.

    Args:
        index: place of the first record to undo; -1 for all.
        mark: how much of the log stays in any case.

    Returns:
        the generations that wrote over what was taken back, and may have built on it.
    """
    log = generation.log
    built_on: set[Generation] = set()
    while len(log) > mark and log[-1] >= index:
        space, key, before, own, former, _, _ = log[-ENTRY:]
        del log[-ENTRY:]
        writes = generation.writes[space]
        if own is _MISSING:
            writes.pop(key, None)
        else:
            writes[key] = own
        if former:
            generation.stamps[space, key] = former
        else:
            generation.stamps.pop((space, key), None)
        writer = space.pending.get(key)
        if writer is generation:
            space.take_back(key, before)
        elif writer is not None:
            built_on.add(writer)
    return built_on


def undo_all(generations: Iterable[Generation]) -> set[Generation]:
    """Take back all that several generations wrote, of all their writes the last one first.

    Returns:
        the others that wrote over what was taken back, and may have built on it.
    """
    written = [(g.log[at + 5], g) for g in generations for at in range(0, len(g.log), ENTRY)]
    built_on: set[Generation] = set()
    for _, generation in sorted(written, key=itemgetter(0), reverse=True):
        built_on |= undo(generation, -1, len(generation.log) - ENTRY)
    return built_on.difference(g for _, g in written)


class StateWriter:
    """Lands the state of flushed generations: values and positions of a store in one write."""

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._lanes = tuple(lanes)
        self._wake = asyncio.Event()
        self._landing: asyncio.Task[None] | None = None
        self._began = 0.0

    def notify(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Write whenever something is ready, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._let_more_come()
            ready = self._ready()
            if ready:
                self._began = monotonic()
                for generation in ready:  # a lane that fails before it begins must leave it alone
                    generation.landing = True
                self._landing = asyncio.ensure_future(self._write(ready))
                await asyncio.shield(self._landing)

    async def _let_more_come(self) -> None:
        """Under load a key that is written over and over is written to the store once."""
        if sum([lane.unfinished for lane in self._lanes if lane.stores]) >= LOAD:
            await asyncio.sleep(max(0.0, self._began + BETWEEN_WRITES - monotonic()))

    async def close(self) -> None:
        """Wait for the write that is under way: it can't be called back."""
        if self._landing is not None and not self._landing.done():
            await asyncio.wait([self._landing])

    def _ready(self) -> dict[Generation, None]:
        """Flushed generations that wait for none that isn't, in the order of their lanes."""
        flushed = [lane.flushed_generations() for lane in self._lanes if lane.stores]
        while True:
            ready = {g: None for generations in flushed for g in generations}
            for generations in flushed:
                for place, generation in enumerate(generations):
                    if any(not e.settled and e not in ready for e in generation.entangled):
                        del generations[place:]
                        break
            if len(ready) == sum(map(len, flushed)):
                return ready

    async def _write(self, ready: dict[Generation, None]) -> None:
        stores: dict[IStateStore, dict[str, dict[bytes, bytes | None]]] = {}
        positions: dict[IStateStore, dict[str, dict[int, int]]] = {}
        stamps: dict[tuple[Space, bytes], int] = {}
        for generation in ready:
            for store in generation.lane.stores:
                stores.setdefault(store, {})
                kept = positions.setdefault(store, {}).setdefault(generation.lane.reader, {})
                kept.update(generation.live_positions())
            for space, writes in generation.writes.items():
                changes = stores[space.store].setdefault(space.name, {})
                if not generation.stamps and not stamps:
                    changes.update(writes)
                    continue
                for key, value in writes.items():
                    stamp = generation.stamps.get((space, key), 0)
                    if stamp >= stamps.get((space, key), 0):
                        stamps[space, key] = stamp
                        changes[key] = value
        failure: Exception | None = None
        failed: set[IStateStore] = set()
        for store, changes_of_store in stores.items():
            kept_positions: dict[str, Positions] = {
                reader: places for reader, places in positions[store].items() if places
            }
            if not kept_positions and not any(changes_of_store.values()):
                continue
            try:
                await store.awrite(changes_of_store, kept_positions)
            except Exception as error:
                failure = error
                failed.add(store)
        for generation in ready:
            generation.landing = False
        for generation in ready:
            if failure is not None and not failed.isdisjoint(generation.lane.stores):
                generation.lane.fail(failure)
            else:
                generation.lane.settle(generation)
