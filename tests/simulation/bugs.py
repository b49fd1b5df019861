"""Deliberate bugs of the engine, put in while a block lasts: the simulation has to notice each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final
from unittest.mock import patch

from slipcore.engine import delivery, outcomes, sources, state
from slipcore.engine.delivery import Lane
from slipcore.engine.flights import DONE, Flight, Line
from slipcore.engine.generations import Generation
from slipcore.engine.outcomes import FlightLane
from slipcore.engine.runner import Runner
from slipcore.engine.sinks import RunSink
from slipcore.engine.sources import SourceStream
from slipcore.interfaces import Assignment, Record, SinkError

Bug = Callable[[], AbstractContextManager[Any]]


def one_too_far() -> AbstractContextManager[Any]:
    """The record in hand counts as finished when it fails."""
    abandon = Lane.abandon

    def too_far(self: Lane, generation: Generation, index: int, error: BaseException) -> None:
        if isinstance(error, Exception):
            abandon(self, generation, index + 1, error)
        else:
            abandon(self, generation, index, error)

    return patch.object(Lane, "abandon", too_far)


def a_forgotten_gap() -> AbstractContextManager[Any]:
    """The next offset is taken to be the last one and one."""

    def without_gaps(lanes: Sequence[Lane]) -> dict[int, int]:
        return {p: offset + 1 for p, offset in committable(lanes).items() if offset >= 0}

    committable = delivery.committable
    return patch.object(sources, "committable", without_gaps)


def a_stale_epoch() -> AbstractContextManager[Any]:
    """What was read before a change of assignment or a seek is handled after it."""

    async def admit(self: Lane, records: Sequence[Record], epoch: int) -> Sequence[Record]:
        await self.room()
        return () if self.closed or self.stopping else records

    return patch.object(Lane, "admit", admit)


def stale_positions() -> AbstractContextManager[Any]:
    """What a pipe held of a partition before it moved counts afterwards."""

    def assign(self: Lane, partition: int, *places: Any) -> None:
        withheld = self._withheld
        assigned(self, partition, *places)
        self._withheld = withheld

    def unassign(self: Lane, partition: int, epoch: int) -> None:
        withheld = self._withheld
        unassigned(self, partition, epoch)
        self._withheld = withheld

    assigned, unassigned = Lane.assign, Lane.unassign
    return patch.multiple(Lane, assign=assign, unassign=unassign)


def a_reader_that_repeats() -> AbstractContextManager[Any]:
    """A binding that is ahead of the others of its source gets again what it has finished."""

    def unskipped(self: Lane, records: Sequence[Record]) -> list[Record]:
        return list(records)

    return patch.object(Lane, "_unskipped", unskipped)


def an_undo_left_out() -> AbstractContextManager[Any]:
    """What a failed record wrote stays."""
    return patch.object(delivery, "undo", lambda generation, index, mark=0: set())


def an_undo_in_the_wrong_order() -> AbstractContextManager[Any]:
    """The first write is taken back first."""
    undo = state.undo

    def forwards(generation: Generation, index: int, mark: int = 0) -> set[Generation]:
        size, log = state.ENTRY, generation.log
        entries = [log[at : at + size] for at in range(0, len(log), size)]
        kept = [entry for entry in entries if entry[-1] < index]
        gone = [entry for entry in entries if entry[-1] >= index]
        generation.log[:] = [each for entry in (*kept, *reversed(gone)) for each in entry]
        return undo(generation, index, mark)

    return patch.object(delivery, "undo", forwards)


def a_flush_not_awaited() -> AbstractContextManager[Any]:
    """Outputs count as durable when their flush has begun."""
    under_way: set[asyncio.Task[None]] = set()

    async def flush(self: RunSink) -> None:
        task = asyncio.ensure_future(self._sink.flush())
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    return patch.object(RunSink, "flush", flush)


def a_failed_flush_forgotten() -> AbstractContextManager[Any]:
    """What a flush has lost counts as durable."""

    async def flush(self: RunSink) -> None:
        with suppress(SinkError):
            await self._sink.flush()

    return patch.object(RunSink, "flush", flush)


def a_commit_before_the_state() -> AbstractContextManager[Any]:
    """A record counts as finished when its outputs are durable, before its state is."""
    flushed_generations = Lane.flushed_generations

    def early(self: Lane) -> list[Generation]:
        generations = flushed_generations(self)
        for generation in generations:
            self.finished.update(generation.live_positions())
        return generations

    return patch.object(Lane, "flushed_generations", early)


def state_before_its_outputs() -> AbstractContextManager[Any]:
    """State and positions are written before the outputs of their records are durable."""
    end = Lane._go_on

    def go_on(self: Lane, generation: Generation, finished: int) -> None:
        end(self, generation, finished)
        if self.stores:
            generation.flushed = True
            self._on_ready()

    return patch.object(Lane, "_go_on", go_on)


def a_position_beside_its_state() -> AbstractContextManager[Any]:
    """The state is written, and its positions with the next write."""
    write = state.StateWriter._write

    async def apart(self: state.StateWriter, ready: dict[Generation, None]) -> None:
        for generation in ready:
            for store in generation.lane.stores:
                changes = {space.name: writes for space, writes in generation.writes.items()}
                await store.awrite(changes)
        await write(self, ready)

    return patch.object(state.StateWriter, "_write", apart)


def a_cut_that_drops() -> AbstractContextManager[Any]:
    """What a cut holds back is forgotten."""

    def cut(self: Generation) -> None:
        self.records = self.records[: self.index() + 1]
        self.items = iter(())

    return patch.object(Generation, "cut", cut)


def a_seek_that_does_not_wait() -> AbstractContextManager[Any]:
    """A seek moves the source while records are on their way."""

    async def seek(self: SourceStream, offset: Mapping[int, int] | int) -> None:
        await self._move(self._targets(offset, self.owned))
        self.open_gate("control")

    return patch.object(SourceStream, "_seek", seek)


def a_revocation_that_does_not_wait() -> AbstractContextManager[Any]:
    """A partition is given up while its records are on their way."""

    async def apply(self: SourceStream, change: Assignment) -> None:
        if change.removed:
            await self._release(change)
        await self._accept(change)

    return patch.object(SourceStream, "_apply", apply)


def writes_that_land_apart() -> AbstractContextManager[Any]:
    """What one source built on the pending state of another lands without it."""

    def ready(self: state.StateWriter) -> dict[Generation, None]:
        return {g: None for lane in self._lanes if lane.stores for g in lane.flushed_generations()}

    return patch.object(state.StateWriter, "_ready", ready)


def the_groups_position_wins() -> AbstractContextManager[Any]:
    """A binding with state starts where its group stands, not its state."""

    async def nothing(*_: Any) -> dict[int, int]:
        return {}

    return patch.object(sources, "_read_positions", nothing)


def the_fastest_binding_counts() -> AbstractContextManager[Any]:
    """What one of several bindings has finished is committed for all."""

    def furthest(lanes: Sequence[Lane]) -> dict[int, int]:
        found: dict[int, int] = {}
        for lane in lanes:
            for partition, offset in lane.finished.items():
                found[partition] = max(offset, found.get(partition, -1))
        return found

    return patch.object(sources, "committable", furthest)


def a_last_commit_left_out() -> AbstractContextManager[Any]:
    """An orderly stop leaves the last positions uncommitted."""

    async def nothing(self: Runner) -> None:
        pass

    return patch.object(Runner, "_commit", nothing)


def a_commit_beyond_a_gap() -> AbstractContextManager[Any]:
    """What is finished goes on though a record before it is still in hand."""
    promote = FlightLane._promote

    def any_of_them(self: FlightLane) -> None:
        flights = self._line.flights
        self._line.flights = deque(sorted(flights, key=lambda flight: flight.stage != DONE))
        promote(self)

    return patch.object(FlightLane, "_promote", any_of_them)


def writes_out_of_order_that_land_apart() -> AbstractContextManager[Any]:
    """What one record built on the pending state of a later one of its lane lands without it."""

    def apart(built_on: Generation, generation: Generation) -> bool:
        return built_on.lane is not generation.lane

    return patch.object(state, "_may_land_later", apart)


def a_key_that_does_not_wait() -> AbstractContextManager[Any]:
    """The second record of a key is begun while the first is in hand."""

    def queue(self: Line, flight: Flight) -> None:
        self.ready.append(flight)

    def free(self: Line, key: Hashable) -> None:
        self._keys.pop(key, None)

    return patch.multiple(Line, _queue=queue, free=free)


def an_undo_one_by_one() -> AbstractContextManager[Any]:
    """What several records wrote is taken back record by record, and not write by write."""

    def undo_each(generations: Iterable[Generation]) -> set[Generation]:
        found: set[Generation] = set()
        for generation in sorted(generations, key=lambda generation: generation.number):
            found |= state.undo(generation, -1)
        return found.difference(generations)

    return patch.object(outcomes, "undo_all", undo_each)


BUGS: Final[tuple[Bug, ...]] = (
    one_too_far,
    a_forgotten_gap,
    a_stale_epoch,
    an_undo_left_out,
    an_undo_in_the_wrong_order,
    a_flush_not_awaited,
    a_failed_flush_forgotten,
    a_commit_before_the_state,
    state_before_its_outputs,
    a_position_beside_its_state,
    a_cut_that_drops,
    a_seek_that_does_not_wait,
    a_revocation_that_does_not_wait,
    writes_that_land_apart,
    the_groups_position_wins,
    the_fastest_binding_counts,
    a_last_commit_left_out,
    stale_positions,
    a_reader_that_repeats,
    a_commit_beyond_a_gap,
    writes_out_of_order_that_land_apart,
    a_key_that_does_not_wait,
    an_undo_one_by_one,
)
