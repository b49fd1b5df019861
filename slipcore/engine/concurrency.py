"""Several records of one binding in hand at a time, finished in delivery order all the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Mapping, Sequence
from time import monotonic
from types import CoroutineType
from typing import Any

from slipcore.engine.bindings import Order, Step, finish, is_deferred
from slipcore.engine.delivery import MAX_AHEAD, SLICE_SECONDS, Lane
from slipcore.engine.flights import DONE, PARKED, RUNNING, WAITING, Flight, Line
from slipcore.engine.generations import Generation
from slipcore.engine.policies import GivenBack, Retry, raised
from slipcore.engine.state import CURRENT, undo, undo_all
from slipcore.engine.threads import ThreadPool
from slipcore.engine.trials import Verdict, named
from slipcore.interfaces import Record, StateError


class ConcurrentLane(Lane):
    """A lane that has up to `size` records in hand.

    Each record is a generation of its own. Those that are finished without a gap before them go on
    to be flushed, settled and committed, in delivery order. Where nothing new is begun any more,
    what stands before the last record begun is handled all the same, so that nothing finished is
    left behind a gap; only a record that waits for another try leaves one.

    Args:
        size: records in hand.
        order: what is kept in order.
        threads: what the handler runs in; None: the event loop.
    """

    def __init__(
        self,
        *args: Any,
        size: int,
        order: Order = "key",
        threads: ThreadPool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.size = size
        self._line = Line(order == "partition")
        self._threads = threads
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._running = 0
        self._open = True
        self._draining = 0
        self._ended = False
        self._parked: dict[Flight, asyncio.TimerHandle | None] = {}
        self._intake: asyncio.Future[None] | None = None
        self._low = 0  # the intake wants to know when no more than that can be begun
        self._promoting = False
        self._breath = monotonic()

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
        dropped = self._line.drop(lambda flight: flight.records[0].partition == partition)
        self._let_go(dropped, None)
        self._look()

    # --- intake ---------------------------------------------------------------------------

    async def process(self, records: Sequence[Record], epoch: int) -> None:
        """Take in what one read gave; return when more is wanted."""
        self._waiting = records
        while records := await self.admit(records, epoch):
            room = MAX_AHEAD - self._ahead()
            add = self._line.add
            for record in records[:room]:
                flight = add(self, record, record.key, record.partition, epoch)
                if self.trials is not None:
                    flight.original = self.trials.original
            self._waiting = records = records[room:]
            self._look()
            while len(self._line.ready) > self.size and not (self.stopping or self.closed):
                await self._wanted(self.size)

    async def offer(self, item: Any) -> None:
        """Take in one item of an iterable, and wait until a worker is free for the next."""
        key = item.key if isinstance(item, Record) else None
        self._line.add(self, item, key, 0, 0)
        self._look()
        await self.free()

    async def free(self) -> None:
        """Wait for a worker that is free, and an open gate."""
        while not (self.stopping or self.closed) and (
            self._running + self._line.startable() >= self.size
        ):
            await self._wanted(-1)
        await self.room()

    async def _wanted(self, low: int) -> None:
        """Wait until a worker leaves no more than that to be begun, or is free."""
        self._low = low
        self._intake = asyncio.get_running_loop().create_future()
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
        step = self.step
        # A step of another make may have more to do than to call and to emit.
        call, emit = (step.call, step.emit) if type(step) is Step else (step.one, _taken)
        at_once: set[type] = set()
        task = asyncio.current_task()
        assert task is not None
        while True:
            flight = self._line.pop() if self._open or self._may_begin() else None
            if flight is None:
                await self._turn()
                continue
            CURRENT.set(flight)
            flight.task = task
            flight.stage = RUNNING
            flight.began = now = monotonic()
            self._line.last = max(self._line.last, flight.number)
            self._running += 1
            self.busy = True
            if self._intake is not None and len(self._line.ready) <= self._low:
                self._call_for_more()
            try:
                result = call(flight.records[0])
                if type(result) is CoroutineType:
                    result = await result
                if result is not None:
                    if type(result) in at_once:
                        waiting = emit(result)
                    elif is_deferred(type(result)):
                        waiting = finish(result, emit)
                    else:
                        at_once.add(type(result))
                        waiting = emit(result)
                    if waiting is not None and hasattr(waiting, "__await__"):
                        await waiting
            except Exception as error:
                await self._failed(flight, error)
            except BaseException as error:
                self._interrupted(flight, error, task)
            else:
                self._passed(flight)
            if now - self._breath > SLICE_SECONDS:
                await asyncio.sleep(0)
                self._breath = monotonic()

    async def _turn(self) -> None:
        """Wait until there is something to begin."""
        self._call_for_more()
        waiter = asyncio.get_running_loop().create_future()
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
            task = asyncio.create_task(self._work())
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

    # --- how records end ------------------------------------------------------------------

    def _passed(self, flight: Flight) -> None:
        flight.open = False
        flight.task = None
        self._running -= 1
        if flight.dead:
            self._let_go([flight], self.failure)
        else:
            flight.stage = DONE
            if flight.key is not None:
                self._line.free(flight.key)
            if not self._promoting and self._line.flights[0].stage == DONE:
                self._promoting = True
                asyncio.get_running_loop().call_soon(self._promote)
        if not self._running:
            self._see_busy()
            self._progress.set()

    def _promote(self) -> None:
        """What is finished without a gap before it goes on."""
        self._promoting = False
        flights = self._line.flights
        records: list[Any] = []
        epoch = 0
        while flights and flights[0].stage == DONE:
            flight = flights.popleft()
            if flight.log or flight.epoch != epoch:
                self._promote_together(records, epoch)
                records, epoch = [], flight.epoch
            if flight.log:
                self.handled_records += 1
                self._hand_on(flight)
            else:
                records.append(flight.records[0])
        self._promote_together(records, epoch)
        self._progress.set()

    def _promote_together(self, records: list[Any], epoch: int) -> None:
        """Records that wrote no state are one generation: one flush answers for all of them."""
        if not records:
            return
        generation = Generation(self, records, epoch)
        generation.open = False
        self.handled_records += len(records)
        self._hand_on(generation)

    async def _failed(self, flight: Flight, error: Exception) -> None:
        """Do what the rules say about a record that failed; what it wrote is undone."""
        built_on = undo(flight, 0)
        verdict = self._verdict_on(flight, error)
        if flight.dead or (verdict is not None and verdict.rule is None):
            self._give_up(flight, error, built_on)
        elif built_on:
            self._give_up(flight, _built_upon(self, flight, error), built_on)
        elif verdict is None:
            flight.part()
            self._park(flight, None)
        else:
            flight.part()
            await self._obey(flight, verdict)

    async def _obey(self, flight: Flight, verdict: Verdict) -> None:
        """Try again later, or finish the record without its handler."""
        trials, item = flight.trials, flight.records[0]
        assert trials is not None
        if isinstance(verdict.rule, Retry):
            self._park(flight, trials.again(verdict, verdict.rule, item))
            return
        task = flight.task
        assert task is not None
        try:
            await trials.dispose(verdict, item)
        except Exception as refused:
            self._give_up(flight, refused, undo(flight, 0))
        except BaseException as error:
            self._interrupted(flight, error, task)
        else:
            self._passed(flight)

    def _verdict_on(self, flight: Flight, error: Exception) -> Verdict | None:
        """What to do about a failure; None: the record was only given back."""
        if isinstance(error, GivenBack):
            return None
        if flight.trials is None:
            return Verdict(None, "handling", error, 1)
        final = self.stopping and not self.since
        return flight.trials.judge(error, flight.records[0], final=final)

    def _interrupted(self, flight: Flight, error: BaseException, task: asyncio.Task[None]) -> None:
        """The handler was cancelled, or has raised what is no Exception."""
        if task.cancelling():
            self._running -= 1
            flight.dead = True  # a thread may still have it
            undo(flight, 0)
            self._look()
            raise error
        self._give_up(flight, error, undo(flight, 0))
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error

    def _give_up(self, flight: Flight, error: BaseException, built_on: set[Generation]) -> None:
        """A record's error is raised: what is before it goes on, all from it on comes again."""
        self._running -= 1
        flight.task = None
        if flight.dead:
            self._let_go([flight], error, built_on)
        else:
            raised(error, self.reader, flight.records[0])
            self.closed = True
            self._let_go(self._line.cut(flight), error, built_on)
            if self.failure is None:
                self.failure = error
                self._on_failure(error)
        self._look()

    def _let_go(
        self,
        flights: Sequence[Flight],
        error: BaseException | None,
        built_on: Collection[Generation] = (),
    ) -> None:
        """Undo what flights wrote that are in the line no more; what is built on it goes too."""
        for flight in flights:
            flight.dead = True
            if (timer := self._parked.pop(flight, None)) is not None:
                timer.cancel()
            if flight.task is not None and self._threads is None:
                flight.task.cancel()
        left = undo_all(flights).union(built_on).difference(flights)
        for flight in flights:
            flight.part()
        self._see_parked()
        for lane in {generation.lane for generation in left}:
            lane.fail(error if error is not None else _moved_away(self))

    def fail(self, error: BaseException) -> None:
        super().fail(error)
        self._let_go(self._line.drop(lambda _: True), error)
        self._look()

    # --- another try ----------------------------------------------------------------------

    def _park(self, flight: Flight, seconds: float | None) -> None:
        """Let a record wait, in its place, for another try; None: until the gate is open."""
        flight.stage, flight.task = PARKED, None
        self._running -= 1
        loop = asyncio.get_running_loop()
        timer = None if seconds is None else loop.call_later(seconds, self._try_again, flight)
        self._parked[flight] = timer
        self._see_parked()
        if seconds is None and self.gate.is_set() and not self.stopping:
            self._try_again(flight)
        self._look()

    def _try_again(self, flight: Flight) -> None:
        if (timer := self._parked.pop(flight, None)) is not None:
            timer.cancel()
        self._line.again(flight)
        self._see_parked()
        self._look()

    def _see_parked(self) -> None:
        self.waiting_for = next((flight.records[0] for flight in self._parked), None)

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

    async def close(self) -> None:
        """Cancel what is in hand, and wait for the end of it."""
        self._ended = True
        for timer in self._parked.values():
            if timer is not None:
                timer.cancel()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        try:
            await asyncio.gather(*workers, return_exceptions=True)
        finally:
            if self._threads is not None:
                self._threads.release()

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
        item = None if oldest is None else oldest.records[0]
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
        waiting = [f.records[0] for f in self._line.flights if f.stage == WAITING]
        return [*waiting, *self._waiting]


def _taken(_: Any) -> None:
    """What a whole step has done with its results."""


def _built_upon(lane: Lane, flight: Flight, error: Exception) -> StateError:
    """Why no rule can take a failure: another record has written over what the failed one wrote."""
    shared = StateError(
        f"{lane.reader}: {named(flight.records[0])} failed, and another record in flight has "
        "written over what it wrote, so that neither can stay. Records that are handled side by "
        "side may fail only if each writes keys of its own: let the cache's key be the record's "
        "key, or leave concurrency= and threads= out."
    )
    shared.__cause__ = error
    return shared


def _moved_away(lane: Lane) -> StateError:
    return StateError(
        f"{lane.reader}: a partition was taken away or moved while one of its records waited for "
        "another try, and a record of another partition had written over what it wrote. All that "
        "is not durable comes again. Let the cache's key be the record's key, or leave "
        "concurrency= out."
    )
