"""How records end that are handled side by side: passed, tried again, put aside, or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

from slipcore.engine.bindings import Order
from slipcore.engine.delivery import Lane
from slipcore.engine.flights import DONE, PARKED, Flight, Line
from slipcore.engine.generations import Generation
from slipcore.engine.policies import GivenBack, Retry, raised
from slipcore.engine.state import built_upon, is_built_upon, undo, undo_all
from slipcore.engine.threads import ThreadPool
from slipcore.engine.trials import Verdict, named
from slipcore.interfaces import StateError


class FlightLane(Lane):
    """The part of a concurrent lane that is behind its workers.

    Each record is a generation of its own. Those that are finished without a gap before them go on
    to be flushed, settled and committed, in delivery order.

    Args:
        order: what is kept in order.
        threads: what the handler runs in; None: the event loop.
    """

    def __init__(
        self,
        *args: Any,
        order: Order = "key",
        threads: ThreadPool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._loop = asyncio.get_running_loop()
        self._line = Line(order == "partition")
        self._threads = threads
        self._running = 0
        self._parked: dict[Flight, asyncio.TimerHandle | None] = {}
        self._promoting = False
        self._breath = monotonic()  # when others had their turn last, about

    def _look(self) -> None:
        """Something has changed: see what may be begun, and who waits for that."""
        raise NotImplementedError

    def _see_busy(self) -> None:
        """See whether something is in hand, or is to be."""
        raise NotImplementedError

    # --- how they end ---------------------------------------------------------------------

    def _passed(self, flight: Flight) -> None:
        flight.open = False
        flight.task = None
        self._running -= 1
        if flight.dead:
            self._let_go([flight], self.failure)
        else:
            flight.stage = DONE
            line = self._line
            if flight.key is not None:
                line.free(flight.key)
            if not self._promoting and line.flights[0].stage == DONE:
                self._promoting = True
                self._loop.call_soon(self._promote)
        if not self._running:
            self._see_busy()
            self._progress.set()

    def _promote(self) -> None:
        """What is finished without a gap before it goes on."""
        self._promoting = False
        self._breath = monotonic()
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
                records.append(flight.item)
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
        verdict = self._verdict_on(flight, error)
        if flight.dead or (verdict is not None and verdict.rule is None):
            self._give_up(flight, error)
            return
        if is_built_upon(flight):
            self._give_up(flight, _built_upon(self, flight, error))
            return
        undo(flight, 0)
        self._part(flight)
        if verdict is None:
            self._park(flight, None)
        else:
            await self._obey(flight, verdict)

    def _part(self, flight: Flight) -> None:
        """Nothing is left of what it wrote: what waited to land with it may go on."""
        if flight.entangled:
            flight.part()
            self._on_ready()

    async def _obey(self, flight: Flight, verdict: Verdict) -> None:
        """Try again later, or finish the record without its handler."""
        trials, item = flight.trials, flight.item
        assert trials is not None
        if isinstance(verdict.rule, Retry):
            self._park(flight, trials.again(verdict, verdict.rule, item))
            return
        task = flight.task
        assert task is not None
        try:
            await trials.dispose(verdict, item)
        except Exception as refused:
            self._give_up(flight, refused)
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
        return flight.trials.judge(error, flight.item, final=final)

    def _interrupted(self, flight: Flight, error: BaseException, task: asyncio.Task[None]) -> None:
        """The handler was cancelled, or has raised what is no Exception."""
        if task.cancelling():
            self._running -= 1
            flight.task = None
            flight.dead = True  # a thread may still have it
            undo(flight, 0)
            self._look()
            raise error
        self._give_up(flight, error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error

    def _give_up(self, flight: Flight, error: BaseException) -> None:
        """A record's error is raised: what is before it goes on, all from it on comes again."""
        self._running -= 1
        flight.task = None
        if flight.dead:
            self._let_go([flight], error)
        else:
            raised(error, self.reader, flight.item)
            self.closed = True
            self._let_go(self._line.cut(flight), error)
            if self.failure is None:
                self.failure = error
                self._on_failure(error)
        self._look()

    def _let_go(self, flights: Sequence[Flight], error: BaseException | None) -> None:
        """Undo what flights wrote that are in the line no more; what is built on it goes too."""
        for flight in flights:
            if (timer := self._parked.pop(flight, None)) is not None:
                timer.cancel()
            if flight.task is not None and self._threads is None:
                flight.task.cancel()
        doomed: set[Generation] = set(flights)
        lanes: set[Lane] = set()
        while found := {generation.lane for generation in built_upon(doomed)} - lanes:
            lanes |= found  # what a lane discards it discards whole
            doomed.update(g for lane in found for g in lane.live_generations() if not g.landing)
        # In one go: of what is left the value written last is to be seen.
        lanes |= {generation.lane for generation in undo_all(doomed)}
        for flight in flights:
            flight.dead = True
            self._part(flight)
        self._see_parked()
        for lane in lanes:
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
        timer = None if seconds is None else self._loop.call_later(seconds, self._try_again, flight)
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
        self.waiting_for = next((flight.item for flight in self._parked), None)


def _built_upon(lane: Lane, flight: Flight, error: Exception) -> StateError:
    """Why no rule can take a failure: another record has written over what the failed one wrote."""
    shared = StateError(
        f"{lane.reader}: {named(flight.item)} failed, and another record in flight has "
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
