"""An `ISource` being read: batches, assignment, positions, seeking, commits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import time
from typing import Any, Final, Protocol

import msgspec

from slipcore.engine.decoding import BatchDecoder
from slipcore.engine.delivery import Lane, committable
from slipcore.engine.feeding import Feed
from slipcore.engine.generations import Generation
from slipcore.engine.signals import interruptible
from slipcore.engine.state import in_hand
from slipcore.engine.streams import PausableStream
from slipcore.interfaces import (
    Assignment,
    Capability,
    ConnectError,
    ICheckpointStore,
    ISource,
    IStateStore,
    Record,
    SlipError,
    SourceError,
    StateError,
)

logger = logging.getLogger(__name__)

MAX_RECORDS: Final = 2_000
"""Records asked for in one read."""

COMMIT_SECONDS: Final = 1.0
"""Between two commits of a loop outside of an app."""


class Connection(Protocol):
    """What is opened before a source is read."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...


class SourceStream(PausableStream):
    """A source read in batches; each batch is a generation of every binding."""

    def __init__(
        self,
        iterable: Any,
        name: str,
        source: ISource,
        *,
        connection: Connection | None = None,
        decoder: BatchDecoder | None = None,
        offset: Mapping[int, int] | int | None = None,
        store: Callable[[], ICheckpointStore] | None = None,
        assignment_timeout: float = 30.0,
    ) -> None:
        super().__init__(iterable, name)
        self.source = source
        self.committed_at: float | None = None  # seconds since 1970
        self.epoch = 0
        self.owned: set[int] = set()
        self._connection: Connection = connection if connection is not None else source
        self._feed = Feed(self.lanes, decoder, self.stop)
        self._offset = offset
        self._store = store
        self._assignment_timeout = assignment_timeout
        self._assigned_epoch = 0
        self._total = 1
        self._committed: dict[int, int] = {}
        self._control = asyncio.Lock()
        self._committing = asyncio.Lock()
        self._reading: asyncio.Future[tuple[Sequence[Record], int]] | None = None
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._seeks: set[asyncio.Task[None]] = set()
        self._giving_up: asyncio.TimerHandle | None = None
        self.keeps_positions = Capability.COMMIT in source.capabilities
        self._saves_positions = (
            not self.keeps_positions
            and Capability.SEEK in source.capabilities
            and store is not None
        )

    def attach(self, lane: Lane) -> None:
        self.lanes.append(lane)

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
        for task in self._seeks:
            task.cancel()
        await self._connection.close()

    async def lag(self) -> Mapping[int, int]:
        lag = dict(await self.source.lag())
        waiting = max((lane.unhandled() for lane in self.lanes), key=len, default=())
        for record in (*waiting, *self._feed.left):
            lag[record.partition] = lag.get(record.partition, 0) + 1
        return lag

    # --- reading --------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            while not self.stopping and not all(lane.closed for lane in self.lanes):
                batch = await self._read()
                if batch is None:
                    continue
                records, epoch = batch
                if not records:
                    await self._finish_lanes()
                    break
                await self._feed.hand_over(records, epoch)
                await asyncio.sleep(0)
            for lane in self.lanes:
                await lane.rest()
        finally:
            for lane in self.lanes:  # of all, before another cancellation ends the wait for one
                lane.break_off()
            for lane in self.lanes:
                await lane.close()

    async def _read(self) -> tuple[Sequence[Record], int] | None:
        """Records and the epoch they were read in; None where the read was interrupted."""
        while not self._may_read.is_set():  # it may be closed again before this goes on
            await self._may_read.wait()
        if self.stopping:
            return None
        self._reading = asyncio.ensure_future(self._read_in_epoch())
        try:
            return await self._reading
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return None
        finally:
            self._reading = None

    async def _read_in_epoch(self) -> tuple[Sequence[Record], int]:
        records = await self.source.read(MAX_RECORDS)
        return records, self.epoch

    async def _finish_lanes(self) -> None:
        for lane in self.lanes:
            if not lane.closed:
                await lane.finish(self.epoch)

    def stop(self) -> None:
        super().stop()
        if self._reading is not None:  # a read that is cancelled gives its records back
            self._reading.cancel()

    async def iterate(self) -> AsyncGenerator[Record, None]:
        """The records one by one, for a loop outside of an app: one lane, no handler.

        A record is finished when the next is asked for.
        """
        (lane,) = self.lanes
        positioning = asyncio.ensure_future(self.position())
        generation: Generation | None = None
        try:
            ready = asyncio.ensure_future(self.positioned.wait())
            await asyncio.wait([positioning, ready], return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            if positioning.done():
                positioning.result()
            clock = asyncio.get_running_loop().time
            committed = clock()
            while lane.failure is None:
                batch = await self._read()
                if batch is None:
                    continue
                records, epoch = batch
                if not records:
                    return
                records, poison = await self._feed.decoded(records)
                while records := await lane.admit(records, epoch):
                    generation = lane.begin(records, epoch)
                    for record in generation.items:
                        yield record
                        if clock() - committed > COMMIT_SECONDS:
                            generation.cut()
                    lane.end(generation)
                    records = generation.held
                    if clock() - committed > COMMIT_SECONDS:
                        await self.commit_if_reachable()
                        committed = clock()
                if poison is not None:
                    raise poison
            raise lane.failure
        finally:
            positioning.cancel()
            if generation is not None and generation.open:
                lane.abandon(generation, generation.index(), GeneratorExit())
            try:
                await self.commit()
            except SlipError as error:  # the loop may have been let go of after all was closed
                logger.warning("%s: the last commit failed: %s", self.name, error)

    # --- assignment -----------------------------------------------------------------------

    async def position(self) -> None:
        while True:
            change = await self.source.assignment()
            async with self._control:
                await self._apply(change)
            self.positioned.set()

    async def _apply(self, change: Assignment) -> None:
        if not change.removed:
            await self._accept(change)
            return
        async with self._standstill():
            await self._release(change)
            # Until it is accepted, the source may still deliver what goes to others.
            await self._accept(change)

    async def _accept(self, change: Assignment) -> None:
        """Tell the source where to start, and the bindings where they stand."""
        self._assigned_epoch = change.epoch
        self._total = change.total
        if not change.added:
            await self.source.accept(change, {})
            self.owned -= change.removed
            if self.owned or not change.removed:
                self._require_all_partitions()
            return
        stored = await self._stored_positions(change)
        starts: dict[int, int] = {}
        for partition, committed in change.added.items():
            places = [own.get(partition, committed) for own in stored]
            known = [place for place in places if place is not None]
            if len(known) == len(places) and known:
                starts[partition] = min(known)
        self.epoch += 1
        for lane, own in zip(self.lanes, stored, strict=True):
            for partition, committed in change.added.items():
                lane.assign(partition, self.epoch, own.get(partition, committed), starts)
        await self.source.accept(change, starts)
        self.owned = (self.owned - change.removed) | set(change.added)
        if self._offset is not None:
            await self._move(self._targets(self._offset, change.added))
        self._require_all_partitions()

    async def _stored_positions(self, change: Assignment) -> list[Mapping[int, int]]:
        """For each lane the positions that its stores hold, the lowest where there are several."""
        saved = self._saved_positions()
        found: list[Mapping[int, int]] = []
        for lane in self.lanes:
            kept = [places for s in lane.stores if (places := await _read_positions(s, lane))]
            own = {p: min(k[p] for k in kept if p in k) for p in set[int]().union(*kept)}
            unknown = [p for p, c in change.added.items() if c is not None and p not in own]
            if lane.stores and unknown:
                logger.warning(
                    "%s: the state of %s knows nothing of partitions %s, but its group has a "
                    "position there; it goes on behind that. To replay the topic into the state, "
                    "read it with offset=READ_FROM_START.",
                    self.name,
                    lane.reader,
                    unknown,
                )
            for partition, committed in change.added.items():
                if self.keeps_positions and committed is None and own.get(partition, -1) >= 0:
                    logger.warning(
                        "%s[%d]: the state of %s stands at offset %d, but its group has no "
                        "position: nothing was committed before a crash, what was has expired, or "
                        "the topic was made anew. It goes on behind that offset. If the topic is "
                        "a new one, read it with offset=READ_FROM_START, or forget the state.",
                        self.name,
                        partition,
                        lane.reader,
                        own[partition],
                    )
                if partition in own and committed is not None and own[partition] != committed:
                    logger.info(
                        "%s[%d]: %s goes on after offset %d, where its state stands; the group "
                        "had committed %d.",
                        self.name,
                        partition,
                        lane.reader,
                        own[partition],
                        committed,
                    )
            found.append(own or saved)
        return found

    async def _release(self, change: Assignment) -> None:
        """Finish and commit what goes to others, and let nothing more of it in."""
        if not change.lost:
            await self.commit_if_reachable()
        self.epoch += 1
        for lane in self.lanes:
            for partition in change.removed:
                lane.unassign(partition, self.epoch)
        for partition in change.removed:
            self._committed.pop(partition, None)
        if change.lost:
            logger.warning(
                "%s: partitions %s were taken over by another member of the group.",
                self.name,
                sorted(change.removed),
            )

    def _require_all_partitions(self) -> None:
        """Local state needs all partitions in one member; until then nothing is read."""
        keeping = [lane.reader for lane in self.lanes if lane.stores]
        if self._giving_up is not None:
            self._giving_up.cancel()
        if not keeping or len(self.owned) >= self._total:
            self.open_gate("partitions")
            return
        self.close_gate("partitions")
        message = (
            f"{self.name}: {keeping[0]} keeps local state, which needs all {self._total} "
            f"partitions in one member of the group, and this member has {len(self.owned)}. "
            "Stop the other members, or give this app a group of its own."
        )
        logger.warning("%s It waits %g s.", message, self._assignment_timeout)
        loop = asyncio.get_running_loop()
        self._giving_up = loop.call_later(self._assignment_timeout, self._give_up, message)

    def _give_up(self, message: str) -> None:
        if not self.stopping:
            for lane in self.lanes:
                lane.fail(StateError(message))

    @asynccontextmanager
    async def _standstill(self) -> AsyncIterator[None]:
        """No read under way, no record in hand, all that was handled finished."""
        self.close_gate("control")
        self._may_read.clear()
        try:
            if self._reading is not None:
                self._reading.cancel()
            # Side by side: what one has handled may have to land with what another is still at.
            await asyncio.gather(*(lane.quiet() for lane in self.lanes))
            yield
        finally:
            self._may_read.set()
            self.open_gate("control")

    # --- seeking --------------------------------------------------------------------------

    async def seek(self, offset: Mapping[int, int] | int, timeout: float) -> None:
        """Go on elsewhere from the next cut on; does not wait where a handler is running.

        Raises:
            SourceError: a partition is named that is not there.
        """
        if self._total:
            self._check_partitions(offset)
        self.close_gate("control")
        task = asyncio.ensure_future(self._seek(offset))
        self._seeks.add(task)
        task.add_done_callback(self._sought)
        generation = in_hand()
        if self.busy or (generation is not None and generation.open):
            return
        async with asyncio.timeout(timeout):
            await asyncio.shield(task)

    @property
    def idle(self) -> bool:
        return not self._seeks and super().idle

    async def quiet(self) -> None:
        while self._seeks:
            await asyncio.wait(self._seeks)
        await super().quiet()

    def _sought(self, task: asyncio.Task[None]) -> None:
        self._seeks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            for lane in self.lanes:
                lane.fail(error)

    async def _seek(self, offset: Mapping[int, int] | int) -> None:
        async with self._control, self._standstill():
            try:
                await self._move(self._targets(offset, self.owned))
            except Exception as error:  # no binding goes on where only some have been moved
                for lane in self.lanes:
                    lane.fail(error)
                raise

    def _targets(
        self, offset: Mapping[int, int] | int, partitions: Mapping[int, Any] | set[int]
    ) -> dict[int, int]:
        self._check_partitions(offset)
        if isinstance(offset, int):
            return dict.fromkeys(partitions, offset)
        return {p: o for p, o in offset.items() if p in partitions}

    def _check_partitions(self, offset: Mapping[int, int] | int) -> None:
        named = () if isinstance(offset, int) else offset
        unknown = sorted(p for p in named if not 0 <= p < self._total)
        if unknown:
            raise SourceError(
                f"{self.name} has no partition {unknown[0]}: it has {self._total}, counted from 0."
            )

    async def _move(self, targets: dict[int, int]) -> None:
        """Move the source and, with it, the positions that the group and the stores hold."""
        if not targets:
            return
        places = await self.source.seek(targets)
        self.epoch += 1
        for lane in self.lanes:
            for partition, place in places.items():
                lane.assign(partition, self.epoch, place, places)
            for store in lane.stores:
                await store.awrite({}, {lane.reader: places})
        await self.commit()

    # --- commits --------------------------------------------------------------------------

    async def commit(self) -> None:
        """Commit the positions that every binding has finished."""
        async with self._committing:
            positions = {
                partition: offset
                for partition, offset in committable(self.lanes).items()
                if self._committed.get(partition) != offset
            }
            if not positions:
                return
            epoch = self._assigned_epoch
            if self.keeps_positions:
                await self.source.commit(positions, epoch)
            elif self._saves_positions and self._store is not None:
                kept = {**self._saved_positions(), **positions}
                await asyncio.to_thread(
                    self._store().save, f"positions/{self.name}", msgspec.msgpack.encode(kept)
                )
            if epoch == self._assigned_epoch:  # else the group may have ignored it
                self._committed.update(positions)
            self.committed_at = time()

    @property
    def committed(self) -> Mapping[int, int]:
        """Partition -> the position of the last commit in this run."""
        return self._committed

    @property
    def commits(self) -> bool:
        """Whether there is anything that keeps positions."""
        return self.keeps_positions or self._saves_positions

    async def commit_if_reachable(self) -> None:
        try:
            await self.commit()
        except ConnectError as error:
            logger.warning(
                "%s: positions are not committed now, and will be with the next commit: %s",
                self.name,
                error,
            )

    def _saved_positions(self) -> dict[int, int]:
        """The positions of a source that keeps none of its own."""
        if not self._saves_positions or self._store is None:
            return {}
        with interruptible():
            state = self._store().load(f"positions/{self.name}")
        return msgspec.msgpack.decode(state, type=dict[int, int]) if state is not None else {}


async def _read_positions(store: IStateStore, lane: Lane) -> Mapping[int, int]:
    if store.remote:
        return await asyncio.to_thread(store.positions, lane.reader)
    return store.positions(lane.reader)
