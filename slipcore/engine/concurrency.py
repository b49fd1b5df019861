"""Several records of one binding in hand at a time, finished in delivery order all the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from time import monotonic
from types import CoroutineType
from typing import Any, Final

from slipcore.engine.bindings import Step, finish, is_deferred
from slipcore.engine.delivery import MAX_AHEAD, SLICE_SECONDS
from slipcore.engine.flights import RUNNING, WAITING, Flight
from slipcore.engine.generations import Generation
from slipcore.engine.outcomes import FlightLane
from slipcore.engine.policies import failure
from slipcore.engine.state import CURRENT
from slipcore.interfaces import Record

READY: Final = 4
"""Records to be begun, for each in hand, at which more are wanted: to read takes some turns."""

WOKEN: Final = 100
"""Workers that wait each for an item of an iterable; for more than that items are pulled ahead."""


class ConcurrentLane(FlightLane):
    """A lane that has up to `size` records in hand.

    Where nothing new is begun any more, what stands before the last record begun is handled all
    the same, so that nothing finished is left behind a gap; only a record that waits for another
    try leaves one.

    Args:
        size: records in hand.
    """

    def __init__(self, *args: Any, size: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.size = size
        self._context = copy_context()  # not that of whoever happens to set a worker to work
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._open = True
        self._draining = 0
        self._ended = False
        self._intake: asyncio.Future[None] | None = None
        self._low = 0  # the intake wants to know when no more than that can be begun
        self._room = 0  # items that may be pulled before that is looked at again

    # --- position -------------------------------------------------------------------------

    def assign(
        self, partition: int, epoch: int, place: int | None, starts: Mapping[int, int]
    ) -> None:
        super().assign(partition, epoch, place, starts)
        self._drop(partition)

    def unassign(self, partition: int, epoch: int) -> None:
        super().unassign(partition, epoch)
        self._drop(partition)

    def _drop(self, partition: int) -> None:
        """What is in flight of a partition comes again, or is another member's."""
        dropped = self._line.drop(lambda flight: flight.item.partition == partition)
        self._let_go(dropped, None)
        self._look()

    # --- intake ---------------------------------------------------------------------------

    async def process(self, records: Sequence[Record], epoch: int) -> None:
        """Take in what one read gave; return when more is wanted."""
        self._waiting = records
        low = min(READY * self.size, MAX_AHEAD // READY)
        while records := await self.admit(records, epoch):
            room = MAX_AHEAD - self._ahead()
            add = self._line.add
            for record in records[:room]:
                flight = add(self, record, record.key, record.partition, epoch)
                if self.trials is not None:
                    flight.original = self.trials.original
            self._waiting = records = records[room:]
            self._look()
            while len(self._line.ready) > low and not (self.stopping or self.closed):
                await self._wanted(low)

    def offer(self, item: Any) -> bool:
        """Take in one item of an iterable; whether the next one is wanted."""
        key = item.key if isinstance(item, Record) else None
        flight = self._line.add(self, item, key, 0, 0)
        if self.trials is not None:
            flight.original = self.trials.original
        if not self._open:
            self._look()
            return False
        self.busy = True
        if self._idle or len(self._workers) < self.size:
            self._wake(1)
        self._room -= 1
        return self._room > 0

    async def free(self) -> None:
        """Wait until more items are wanted, and for an open gate."""
        ahead = max(0, self.size - WOKEN)
        while not (self.stopping or self.closed):
            self._room = self.size + ahead - self._running - self._line.startable()
            if self._room > 0:
                break
            await self._wanted(ahead // 2)
        await self.room()
        self._room = min(self._room, MAX_AHEAD - self._ahead())

    async def _wanted(self, low: int) -> None:
        """Wait until a worker leaves no more than that to be begun, or is free."""
        self._low = low
        self._intake = self._loop.create_future()
        try:
            await self._intake
        finally:
            self._intake = None

    def _ahead(self) -> int:
        return self.unfinished + len(self._line.flights)

    def is_full(self) -> bool:
        return self._ahead() >= MAX_AHEAD

    async def room(self) -> None:
        while not (self.stopping or self.closed) and (not self.gate.is_set() or self.is_full()):
            if not self.gate.is_set():
                await self.gate.wait()
                continue
            self._progress.clear()
            await self._progress.wait()

    # --- workers --------------------------------------------------------------------------

    async def _work(self) -> None:
        line, step = self._line, self.step
        # A step of another make may have more to do than to call and to emit.
        call, emit = (step.call, step.emit) if type(step) is Step else (step.one, _taken)
        usual: type | None = None  # of results that go to the sinks as they are
        task = asyncio.current_task()
        assert task is not None
        while True:
            flight = line.pop() if self._open or self._may_begin() else None
            if flight is None:
                await self._turn()
                continue
            CURRENT.set(flight)
            flight.task = task
            flight.stage = RUNNING
            flight.began = now = monotonic()
            if flight.number > line.last:
                line.last = flight.number
            self._running += 1
            self.busy = True
            if self._intake is not None and len(line.ready) <= self._low:
                self._call_for_more()
            try:
                result = call(flight.item)
                if type(result) is CoroutineType:
                    result = await result
                if result is not None:
                    if type(result) is usual:
                        waiting = emit(result)
                    elif is_deferred(type(result)):
                        waiting = finish(result, emit)
                    else:
                        usual = type(result)
                        waiting = emit(result)
                    if waiting is not None and hasattr(waiting, "__await__"):
                        await waiting
            except Exception as error:
                await self._failed(flight, error)
            except BaseException as error:
                if isinstance(failed := failure(error), Exception):
                    await self._failed(flight, failed)
                else:
                    self._interrupted(flight, error, task)
            else:
                self._passed(flight)
            if now - self._breath > SLICE_SECONDS:
                await asyncio.sleep(0)
                self._breath = monotonic()

    async def _turn(self) -> None:
        """Wait until there is something to begin."""
        self._call_for_more()
        waiter = self._loop.create_future()
        self._idle.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._idle:
                self._idle.remove(waiter)
            raise

    def _wake(self, count: int) -> None:
        """Set so many workers to work, if there are."""
        if self._ended:
            return
        while count > 0 and self._idle:
            waiter = self._idle.pop()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1
        for _ in range(min(count, self.size - len(self._workers))):
            task = self._loop.create_task(self._work(), context=self._context.copy())
            self._workers.add(task)
            task.add_done_callback(self._worker_ended)

    def _worker_ended(self, task: asyncio.Task[None]) -> None:
        self._workers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
        self._look()

    def _call_for_more(self) -> None:
        if self._intake is not None and not self._intake.done():
            self._intake.set_result(None)

    def _may_begin(self) -> bool:
        """Whether something may be begun now."""
        first = self._line.first()
        return first is not None and (self._open or first.number <= self._limit())

    def _limit(self) -> int:
        """Up to which number records are begun though nothing new is; -1: none."""
        if not (self.stopping or self.closed or self._draining):
            return -1
        if not self.since:  # what has no place comes no second time
            return sys.maxsize
        return min((self._line.last, *(flight.number - 1 for flight in self._parked)))

    def _look(self) -> None:
        """Something has changed: see what may be begun, and who waits for that."""
        self._open = self.gate.is_set() and not (self.stopping or self.closed or self._draining)
        self._see_busy()
        if self.busy and self._may_begin():
            self._wake(self._line.startable())
        self._call_for_more()
        self._progress.set()

    def _see_busy(self) -> None:
        # What can't be given back is in hand while it waits for another try.
        kept = bool(self._parked) and not self.since
        self.busy = self._running > 0 or kept or self._may_begin()

    # --- gate and end ---------------------------------------------------------------------

    def open_gate(self) -> None:
        super().open_gate()
        for flight in [f for f, timer in self._parked.items() if timer is None]:
            self._try_again(flight)
        self._look()

    def close_gate(self) -> None:
        super().close_gate()
        self._look()

    def stop(self) -> None:
        super().stop()
        for flight, timer in list(self._parked.items()):
            if not self.since:  # what has no place comes no second time: one more try, at once
                self._try_again(flight)
            elif timer is not None:
                timer.cancel()
        self._look()

    async def caught_up(self) -> bool:
        while self._line.flights and not (self.closed or self.stopping):
            self._progress.clear()
            await self._progress.wait()
        return not self._line.flights

    async def finish(self, epoch: int) -> None:
        """The source has ended: what was taken in is handled to its end."""
        await self.caught_up()
        await super().finish(epoch)

    def break_off(self) -> None:
        if self._ended:
            return
        self._ended = True
        for timer in self._parked.values():
            if timer is not None:
                timer.cancel()
        for worker in self._workers:
            worker.cancel()
        if self._threads is not None:
            self._threads.release()

    async def close(self) -> None:
        """Wait for the end of what was in hand."""
        self.break_off()
        await asyncio.gather(*self._workers, return_exceptions=True)

    @property
    def idle(self) -> bool:
        return super().idle and not self._promoting

    async def quiet(self) -> None:
        self._draining += 1
        self._look()
        try:
            await super().quiet()
        finally:
            self._draining -= 1
            self._look()

    # --- what can be asked ----------------------------------------------------------------

    def live_generations(self) -> list[Generation]:
        return [*super().live_generations(), *(f for f in self._line.begun() if f.log)]

    def in_read(self) -> int:
        return sum(1 for _ in self._line.begun())

    def hands(self) -> int:
        return self._running

    def _oldest(self) -> Flight | None:
        """What the handler has had for the longest time."""
        running = (flight for flight in self._line.begun() if flight.stage == RUNNING)
        return min(running, key=lambda flight: flight.began, default=None)

    def in_hand(self) -> Record | None:
        oldest = self._oldest()
        item = None if oldest is None else oldest.item
        return item if isinstance(item, Record) else None

    def in_hand_since(self) -> float | None:
        oldest = self._oldest()
        return None if oldest is None else oldest.began

    def stands_in(self) -> asyncio.Task[None] | int | None:
        oldest = self._oldest()
        if oldest is None:
            return None
        thread = None if self._threads is None else self._threads.thread_of(oldest)
        return oldest.task if thread is None else thread

    def unhandled(self) -> Sequence[Record]:
        waiting = [f.item for f in self._line.flights if f.stage == WAITING]
        return [*waiting, *self._waiting]


def _taken(_: Any) -> None:
    """What a whole step has done with its results."""
