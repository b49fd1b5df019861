"""Generations: what is finished, what may be committed, which guarantee holds.

A generation is what one read of a source handed over, up to a cut. It is handled, then flushed
(its outputs are durable), then settled (its state and positions are durable), and only then may
its positions be committed. The next generations run ahead meanwhile, a bounded number.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from operator import length_hint
from time import perf_counter
from typing import Any, Final

from slipcore.engine.bindings import Step
from slipcore.engine.finishing import Finishing
from slipcore.engine.generations import Generation
from slipcore.engine.policies import GivenBack, Retry, failure, raised
from slipcore.engine.state import CURRENT, undo, undo_all
from slipcore.engine.trials import Trials, Verdict
from slipcore.interfaces import ISink, Record

MAX_AHEAD: Final = 20_000
"""Records of a lane that may be handled and not finished."""

SLICE_SECONDS: Final = 0.02
"""How long a handler that never waits may keep the event loop to itself, about."""


class Lane(Finishing):
    """One binding's way through one source: its generations in order, and how far it is.

    Attributes:
        busy: whether a record is in hand.
        trials: how it deals with records that fail; None: it raises.
        waiting_for: the record that waits for another try.
    """

    def __init__(
        self,
        reader: str,
        step: Step,
        sinks: Sequence[ISink],
        *,
        on_ready: Callable[[], None],
        on_failure: Callable[[BaseException], None],
        on_finished: Callable[[int], None] = lambda _: None,
        holds: int = 0,
        trials: Trials | None = None,
    ) -> None:
        super().__init__(reader, sinks, on_ready, on_finished)
        self.step = step
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = False
        self.closed = False
        self.stopping = False
        self.failure: BaseException | None = None
        self.handled_records = 0
        self.trials = trials
        self.waiting_for: Any = None
        self._on_failure = on_failure
        self._holds = holds
        self._skip: dict[int, int] = {}
        self._waiting: Sequence[Record] = ()
        self._changed_in = 0  # the epoch of the last change: what is older has to be looked at
        self._withheld: list[Record] = []
        self._current: Generation | None = None
        self._slice = 1  # nobody knows yet how long one takes

    @classmethod
    def bare(cls, reader: str) -> Lane:
        """A lane without a handler: for a loop or a transaction outside of an app's run."""
        return cls(reader, Step.nothing(), (), on_ready=_nothing, on_failure=lambda _: None)

    # --- position -------------------------------------------------------------------------

    def assign(
        self, partition: int, epoch: int, place: int | None, starts: Mapping[int, int]
    ) -> None:
        """Stand after `place` in a partition; the source starts after `starts[partition]`."""
        self.since[partition] = self._changed_in = epoch
        self._skip.pop(partition, None)
        self._withheld = [r for r in self._withheld if r.partition != partition]
        if place is None:
            self.finished.pop(partition, None)
            return
        self.finished[partition] = place
        if starts.get(partition) != place:
            self._skip[partition] = place

    def unassign(self, partition: int, epoch: int) -> None:
        """What is still on the way from this partition is not this member's any more."""
        self._changed_in = epoch
        for places in (self.since, self.finished, self._skip):
            places.pop(partition, None)
        self._withheld = [r for r in self._withheld if r.partition != partition]

    # --- handling -------------------------------------------------------------------------

    async def process(self, records: Sequence[Record], epoch: int) -> None:
        """Handle what one read gave; cut and go on as pauses and new epochs demand.

        Raises:
            Exception: what the handler or a sink raised; what was finished before is kept.
        """
        self._waiting = records
        while records := await self.admit(records, epoch):
            self._waiting = ()
            generation = self.begin(records, epoch)
            CURRENT.set(generation)
            try:
                await self._drive(generation)
            except BaseException as error:
                records = await self.failed(generation, generation.index(), failure(error))
            else:
                self.end(generation)
                records = generation.held
                if self.trials is not None:
                    self.trials.passed()
            self._waiting = records

    async def failed(
        self, generation: Generation, index: int, error: BaseException
    ) -> Sequence[Record]:
        """Deal with a record that failed; what is still to be handled, itself where it is retried.

        What it wrote is undone, and what came before it goes on meanwhile.

        Raises:
            BaseException: the error, where no rule takes it; or that of the dead letter.
        """
        records = generation.records
        item = records[index] if index >= 0 else None
        verdict = self._verdict(error, item)
        built_on = {g.lane for g in undo(generation, index)} - {self}
        taken = verdict is None or verdict.rule is not None
        if built_on or self.closed or index < 0 or not taken:
            self.abandon(generation, index, error)
            for lane in built_on:
                lane.fail(error)
            raise error
        self._go_on(generation, index)
        self._waiting = rest = records[index:]
        if verdict is None:
            return rest
        if isinstance(verdict.rule, Retry):
            await self.wait_for_retry(verdict, verdict.rule, item)
            return rest
        return await self.go_around(verdict, rest, generation.epoch)

    async def go_around(
        self, verdict: Verdict, records: Sequence[Record], epoch: int
    ) -> Sequence[Record]:
        """Dispose of the first record, which failed; what is left."""
        await self.dispose(verdict, records[0], epoch)
        return records[1:]

    def _verdict(self, error: BaseException, item: Any) -> Verdict | None:
        """What to do about a failure; None: the record was only given back."""
        if isinstance(error, GivenBack):
            return None
        if self.trials is None or not isinstance(error, Exception):
            return Verdict(None, "handling", error, 1)
        # What has no place comes no second time: a stop leaves it one more try, at once.
        return self.trials.judge(error, item, final=self.stopping and not self.since)

    async def wait_for_retry(self, verdict: Verdict, rule: Retry, item: Any) -> None:
        """Wait for the next try, or for a stop. What can't be given back is in hand meanwhile."""
        assert self.trials is not None
        self.waiting_for = item
        self.busy = not self.since
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.trials.again(verdict, rule, item)):
                    while not self.stopping:
                        self._progress.clear()
                        await self._progress.wait()
        finally:
            self.waiting_for = None
            self.busy = False

    async def wait_in_hand(self, seconds: float) -> None:
        """Wait with a record in hand.

        Raises:
            GivenBack: it is wanted back by a stop, a pause or a rebalance.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_wanted_back():
                    self._progress.clear()
                    await self._progress.wait()
        if self.since and self._is_wanted_back():
            raise GivenBack

    def _is_wanted_back(self) -> bool:
        return self.stopping or (bool(self.since) and not self.gate.is_set())

    async def dispose(self, verdict: Verdict, item: Any, epoch: int) -> None:
        """Finish a record without its handler: it is dropped, or durable as a dead letter."""
        assert self.trials is not None
        generation = self.begin((item,), epoch)
        CURRENT.set(generation)
        next(generation.items)
        try:
            await self.trials.dispose(verdict, item)
        except BaseException as error:
            self.abandon(generation, 0, error)
            raise
        self.end(generation)

    def attempt(self, record: Any) -> int:
        """The number of the try that the record in hand is in; 1: the first."""
        return 1 if self.trials is None else self.trials.attempt(record)

    def given(self, generation: Generation) -> Any:
        """What the handler was given of a generation."""
        return generation.records[generation.index()]

    @property
    def retries(self) -> int:
        """Tries beyond the first since the start."""
        return 0 if self.trials is None else self.trials.totals.retries

    def in_hand(self) -> Record | None:
        """The record that the handler has; None: it has none, or something that is no record."""
        generation = self._current
        index = generation.index() if generation is not None else -1
        record = generation.records[index] if generation is not None and index >= 0 else None
        return record if isinstance(record, Record) else None

    def in_read(self) -> int:
        """Records that the handler has been given and that are not counted as handled yet."""
        return 0 if self._current is None else max(0, self._current.index() + 1)

    def hands(self) -> int:
        """How many records the handler has in hand."""
        return int(self.busy)

    def stands_in(self) -> asyncio.Task[None] | int | None:
        """The task or thread that has `in_hand()`; None: the task that reads."""
        return None

    def in_hand_since(self) -> float | None:
        """When `in_hand()` was begun, in monotonic seconds; None: nobody knows."""
        return None

    def is_full(self) -> bool:
        """Whether nothing more is taken in before something becomes durable."""
        return self.unfinished >= MAX_AHEAD

    def unhandled(self) -> Sequence[Record]:
        """What was read and has not reached the handler."""
        generation = self._current
        return self._waiting if generation is None else generation.records[generation.index() + 1 :]

    async def admit(self, records: Sequence[Record], epoch: int) -> Sequence[Record]:
        """Wait until records may be handled, and leave out what must not be any more."""
        await self.room()
        if self.closed or self.stopping:
            return ()
        if epoch < self._changed_in:
            records = [r for r in records if epoch >= self.since.get(r.partition, epoch + 1)]
        return self._unskipped(records) if self._skip else records

    def _unskipped(self, records: Sequence[Record]) -> list[Record]:
        """Leave out what this binding had finished, where another one is behind it."""
        kept = [r for r in records if r.offset > self._skip.get(r.partition, -1)]
        for record in kept:
            self._skip.pop(record.partition, None)
        return kept

    async def room(self) -> None:
        """Wait for an open gate and for fewer generations on the way than may be."""
        while not self.stopping and (not self.gate.is_set() or self.unfinished >= MAX_AHEAD):
            if not self.gate.is_set():
                await self.gate.wait()
                continue
            self._progress.clear()
            await self._progress.wait()

    async def _drive(self, generation: Generation) -> None:
        step = self.step.batch
        items = generation.items
        rested = perf_counter()
        while True:
            size = self._slice
            began = perf_counter()
            # The whole of a small batch is handled without a second iterator around it.
            waiting = step(items if size >= len(generation.records) else islice(items, size))
            if waiting is not None:
                # It may have stopped anywhere in its slice, and need not have waited for anything.
                await waiting
            if not length_hint(items):
                return
            took = perf_counter() - began
            if took < SLICE_SECONDS / 2:
                self._slice = min(size * 2, 8192)
            elif took > SLICE_SECONDS:
                self._slice = max(1, size // 2)
            if waiting is None or perf_counter() - rested > SLICE_SECONDS:
                await asyncio.sleep(0)
                rested = perf_counter()

    def begin(self, records: Sequence[Record], epoch: int) -> Generation:
        self.busy = True
        generation = self._current = Generation(self, records, epoch, items=iter(records))
        return generation

    def end(self, generation: Generation) -> None:
        """Handling is over: all records but the held ones go on."""
        self._go_on(generation, len(generation.records) - len(generation.held))

    def abandon(self, generation: Generation, index: int, error: BaseException) -> None:
        """The record at `index` failed: what it wrote is undone, what came before it goes on."""
        raised(error, self.reader, generation.records[index] if index >= 0 else None)
        built_on = undo(generation, index)
        self._go_on(generation, max(0, index))
        for other in built_on:
            if other.lane is not self:
                other.lane.fail(error)

    def _go_on(self, generation: Generation, finished: int) -> None:
        generation.open = False
        self.busy = False
        self._current = None
        self._progress.set()
        if generation.dead:
            undo(generation, -1)
            return
        self.handled_records += finished
        if finished < len(generation.records):
            generation.records = generation.records[:finished]
        if self._holds:
            self._withhold(generation)
        if not generation.records and not any(generation.writes.values()):
            generation.settled = True  # what its undone writes were made over waits for nothing
            return
        self._hand_on(generation)

    def _withhold(self, generation: Generation) -> None:
        """A pipe holds this many records: the last of them are finished later."""
        records = [*self._withheld, *generation.records]
        keep = max(0, len(records) - self._holds)
        generation.records, self._withheld = records[:keep], records[keep:]

    async def finish(self, epoch: int) -> None:
        """The source has ended: nothing is held any more."""
        withheld, self._withheld, self._holds = self._withheld, [], 0
        if withheld:
            self.end(self.begin(withheld, epoch))

    def break_off(self) -> None:
        """Cancel what is in hand beside the task that reads; nothing is begun any more."""

    async def close(self) -> None:
        """Let go of what the lane holds open."""

    async def caught_up(self) -> bool:
        """Wait until all that was taken in is handled; False: the lane has ended before."""
        return True

    async def rest(self) -> None:
        """Wait until nothing is in hand, once nothing new is begun."""
        while self.busy:
            self._progress.clear()
            await self._progress.wait()

    def open_gate(self) -> None:
        """Hand records to the handler again."""
        self.gate.set()

    def close_gate(self) -> None:
        """Let the record in hand be the last until the gate is set."""
        self.gate.clear()
        self.cut()
        self._progress.set()

    def stop(self) -> None:
        """Let the record in hand be the last of all."""
        self.stopping = True
        self.cut()
        self.gate.set()
        self._progress.set()

    def cut(self) -> None:
        """Let the record in hand be the last of its generation."""
        if self._current is not None:
            self._current.cut()

    # --- failed, at rest ------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """What is not settled is discarded, its state too; the records come again.

        What other lanes built on the discarded state goes with it. What is being written stays as
        it is until the write has ended: it may be durable already.
        """
        self.closed = True
        self.cut()
        discarded = [g for g in self.live_generations() if not g.landing and not g.dead]
        undo_all(discarded)
        for generation in discarded:
            generation.dead = True
        self._handled = deque(g for g in self._handled if g.landing)
        self.unfinished = sum(g.count for g in self._handled)
        self._progress.set()
        if self.failure is None:
            self.failure = error
            self._on_failure(error)
        for generation in discarded:
            for built_on in tuple(generation.entangled):
                if built_on.lane is not self and not built_on.settled:
                    built_on.lane.fail(error)
            generation.part()

    def discard(self) -> None:
        """The run is over: what is not settled is as if it had not been."""
        for generation in self.live_generations():
            generation.dead = True
            for space, writes in generation.writes.items():
                space.forget_pending(writes)
            generation.part()
        self._handled.clear()
        self.unfinished = 0

    @property
    def idle(self) -> bool:
        """Whether no record is in hand and all that was handled is finished."""
        return not self.busy and not self._handled

    async def quiet(self) -> None:
        """Wait until no record is in hand and all that was handled is finished."""
        while not self.idle:
            self._progress.clear()
            await self._progress.wait()

    def live_generations(self) -> list[Generation]:
        current = [self._current] if self._current is not None else []
        return [*self._handled, *current]


def _nothing() -> None:
    pass


def committable(lanes: Sequence[Lane]) -> dict[int, int]:
    """Partition -> the position that every lane has reached; without those one of them lacks."""
    reached = [lane.finished for lane in lanes if not lane.closed or lane.failure]
    if not reached:
        reached = [lane.finished for lane in lanes]
    return {
        partition: min(finished[partition] for finished in reached)
        for partition in reached[0]
        if all(partition in finished for finished in reached)
    }
