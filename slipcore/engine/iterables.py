"""What is read one item at a time: any AsyncIterable, for one binding or several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Coroutine, Sequence
from inspect import iscoroutinefunction
from types import CoroutineType
from typing import Any, Final

from slipcore.engine.batches import BatchLane
from slipcore.engine.bindings import Binding, Step, finish, is_deferred
from slipcore.engine.concurrency import ConcurrentLane
from slipcore.engine.delivery import Lane
from slipcore.engine.gathering import Gathered
from slipcore.engine.generations import Generation
from slipcore.engine.policies import failure
from slipcore.engine.state import CURRENT, Turns, in_hand
from slipcore.engine.streams import PausableStream

YIELD_EVERY: Final = 256
"""Items of an iterable that never waits, after which others get their turn."""

BRANCH_ITEMS: Final = 64
"""Items that may wait for one pipe of a shared iterable."""


class IterableStream(PausableStream):
    """Any AsyncIterable: pulled one at a time, the next only after the step returned.

    Where a binding keeps state or has sinks to flush, each item is a generation of its own; those
    that were handled meanwhile are flushed together while the next item is awaited.
    """

    def __init__(self, iterable: AsyncIterable[Any], name: str) -> None:
        super().__init__(iterable, name)
        self.loops: dict[Lane, Coroutine[Any, Any, Any]] = {}
        self._steps: list[tuple[Lane, Step, Binding]] = []
        self._interrupted = False
        self._stopped = asyncio.Event()

    def attach(self, lane: Lane, step: Step, binding: Binding) -> None:
        self.lanes.append(lane)
        self._steps.append((lane, step, binding))

    def close_gate(self, reason: str) -> None:
        self._interrupted = True
        super().close_gate(reason)

    def open_gate(self, reason: str) -> None:
        super().open_gate(reason)
        self._interrupted = bool(self._closed_for) or self.stopping

    def stop(self) -> None:
        self._interrupted = True
        self._stopped.set()
        super().stop()

    async def run(self) -> None:
        source = aiter(self.iterable)
        try:
            if self._is_side_by_side():
                await self._until_stopped(source)
            else:
                await self._read(source)
        finally:
            for lane in self.lanes:  # of all, before another cancellation ends the wait for one
                lane.break_off()
            for lane in self.lanes:
                await lane.close()
            await _aclose(source)

    def _is_side_by_side(self) -> bool:
        return any(isinstance(lane, ConcurrentLane) for lane in self.lanes)

    async def _read(self, source: AsyncIterator[Any]) -> None:
        if len(self._steps) > 1:
            await self._share(source)
            return
        lane, step, binding = self._steps[0]
        if isinstance(lane, ConcurrentLane):
            await self._offer_all(lane, source)
        elif isinstance(lane, BatchLane):
            await self._consume_lists(lane, source)
        else:
            await self._consume(lane, step, _through(binding, source))

    async def _until_stopped(self, source: AsyncIterator[Any]) -> None:
        """Read until the end or a stop: what waits for the next item ends with the stop."""
        reading = asyncio.ensure_future(self._read(source))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait([reading, stopped], return_when=asyncio.FIRST_COMPLETED)
            for lane in self.lanes:
                await lane.rest()
        finally:
            stopped.cancel()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if not reading.cancelled():
            reading.result()

    async def _offer_all(self, lane: ConcurrentLane, source: AsyncIterator[Any]) -> None:
        """Pull an item whenever a worker is free."""
        await lane.free()
        count = 0
        async for item in source:
            if self.stopping or lane.closed:
                return
            if not lane.offer(item):
                await lane.free()
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if self.stopping or lane.closed:
                return
        await lane.finish(0)

    async def _share(self, source: AsyncIterator[Any]) -> None:
        """Give each item to every binding: in turn, or through a bounded queue to its pipe."""
        is_plain = all(_is_plain(lane, step) and not b.pipe for lane, step, b in self._steps)
        if is_plain and not await self._share_plainly(source):
            return
        direct = [(lane, step) for lane, step, binding in self._steps if not binding.pipe]
        branches: list[tuple[asyncio.Queue[Any], asyncio.Future[None]]] = []
        for lane, step, binding in self._steps:
            if binding.pipe:
                queue = asyncio.Queue[Any](BRANCH_ITEMS)
                reader = self._consume(lane, step, _through(binding, _drain(queue)))
                branches.append((queue, asyncio.ensure_future(reader)))
        feeder = asyncio.ensure_future(self._feed(_Rest(source), direct, branches))
        tasks = [feeder, *(reader for _, reader in branches)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _share_plainly(self, source: AsyncIterator[Any]) -> bool:
        """The fast path of several bindings; whether there is more, for bindings with state."""
        standing = [Generation(lane, (), 0) for lane in self.lanes]
        turns = Turns()
        CURRENT.set(turns)
        try:
            loop = self._share_plain(source, standing, turns)
            self.loops.update(dict.fromkeys(self.lanes, loop))
            is_over = await loop
        except BaseException as caught:
            error = failure(caught)
            failed = in_hand() or standing[-1]
            for generation in standing:
                if generation is failed:
                    generation.lane.abandon(generation, -1, error)
                else:
                    generation.lane.end(generation)
            if error is not caught:
                raise error from caught
            raise
        finally:
            for lane in self.lanes:
                lane.busy = False
        for generation in standing:
            generation.lane.end(generation)
        return not is_over

    async def _share_plain(
        self, source: AsyncIterator[Any], standing: Sequence[Generation], turns: Turns
    ) -> bool:
        """As `_consume_plain`, for several bindings in turn; whether it is over.

        What is alike in the two is written out: to share it takes a call for each item.
        """
        in_turn = [
            (
                generation,
                step.call,
                step.emit,
                iscoroutinefunction(step.batch),
                set[type](),
                generation.lane.stores,
                Turns(),
            )
            for generation, (_, step, _) in zip(standing, self._steps, strict=True)
        ]
        lanes = self.lanes
        count = 0
        has_state = False
        try:
            async for item in source:
                if self._interrupted and not await self._may_all_go_on():
                    return True
                for generation, call, emit, is_async, at_once, stores, own in in_turn:
                    turns.now = generation
                    result = call(item)
                    if result is not None:
                        if type(result) in at_once:
                            waiting = emit(result)
                        elif is_deferred(type(result)):
                            waiting = finish(result, emit)
                        else:
                            at_once.add(type(result))
                            waiting = emit(result)
                        if waiting is not None and hasattr(waiting, "__await__"):
                            generation.lane.busy = True
                            if is_async:  # nothing of its item was begun before it is awaited
                                turns.now = None
                            own.now = generation
                            CURRENT.set(own)
                            await waiting
                            own.now = None
                            CURRENT.set(turns)
                            generation.lane.busy = False
                    if stores:
                        has_state = True
                turns.now = None
                count += 1
                if count == YIELD_EVERY:
                    for lane in lanes:
                        lane.handled_records += count
                    count = 0
                    await asyncio.sleep(0)
                if has_state:
                    return False
                if self._interrupted and not await self._may_all_go_on():
                    return True
            return True
        finally:
            for lane in lanes:
                lane.handled_records += count

    async def _may_all_go_on(self) -> bool:
        for lane in self.lanes:
            if not await self._may_go_on(lane):
                return False
        return True

    async def _feed(
        self,
        source: AsyncIterator[Any],
        direct: list[tuple[Lane, Step]],
        branches: list[tuple[asyncio.Queue[Any], asyncio.Future[None]]],
    ) -> None:
        count = 0
        async for item in source:
            for lane, _ in direct:
                if not await self._may_go_on(lane):
                    return
            for lane, step in direct:  # though a stop comes: what one has, the others get too
                if lane.closed:
                    return
                if isinstance(lane, ConcurrentLane):
                    if not lane.offer(item):
                        await lane.free()
                else:
                    await lane.room()
                    await self._handle(lane, step, item)
            for queue, reader in branches:
                await _put(queue, item, reader)
            if not direct and all(reader.done() for _, reader in branches):
                return
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            for lane, _ in direct:
                if not await self._may_go_on(lane):
                    return
        for queue, reader in branches:
            await _put(queue, _END, reader)
        for lane, _ in direct:
            await lane.caught_up()
        await asyncio.gather(*(reader for _, reader in branches), return_exceptions=True)

    async def _consume(self, lane: Lane, step: Step, source: AsyncIterator[Any]) -> None:
        """Pull and handle, one at a time."""
        standing, turns = Generation(lane, (), 0), Turns()
        CURRENT.set(turns)
        is_over = False
        try:
            # A step of another make may have more to do than to call and to emit.
            plain = type(step) is Step and not step.attended and lane.trials is None
            plain = plain and not self._is_side_by_side()  # a stop has to know when it rests
            if plain and not lane.sinks and not lane.stores:
                self.loops[lane] = loop = self._consume_plain(lane, step, source, standing, turns)
                is_over = await loop
            lane.end(standing)  # what the last item wrote, if that has met state, goes on with it
            if not is_over:
                await self._consume_tracked(lane, step, _Rest(source))
        except BaseException as caught:
            error = failure(caught)
            if standing.open:
                lane.abandon(standing, -1, error)
            if error is not caught:
                raise error from caught
            raise
        finally:
            lane.busy = False

    async def _consume_plain(
        self,
        lane: Lane,
        step: Step,
        source: AsyncIterator[Any],
        standing: Generation,
        turns: Turns,
    ) -> bool:
        """The fast path: nothing to flush, no state; a few checks beside the bare loop.

        Returns whether it is over; else there is state now.
        """
        call, emit, is_async = step.call, step.emit, iscoroutinefunction(step.batch)
        stores = lane.stores
        usual: type | None = None  # of results that go to the sinks as they are
        count = 0
        try:
            async for item in source:
                if self._interrupted and not await self._may_go_on(lane):
                    return True
                turns.now = standing
                result = call(item)
                if is_async:  # asked once: to look at each result for it takes longer
                    lane.busy = True
                    result = await result
                    lane.busy = False
                if result is not None:
                    if type(result) is usual:
                        waiting = emit(result)
                    elif is_deferred(type(result)):
                        waiting = finish(result, emit)
                    else:
                        usual = type(result)
                        waiting = emit(result)
                    if waiting is not None and (
                        type(waiting) is CoroutineType or hasattr(waiting, "__await__")
                    ):
                        lane.busy = True
                        await waiting
                        lane.busy = False
                turns.now = None
                count += 1
                if count == YIELD_EVERY:
                    lane.handled_records += count
                    count = 0
                    await asyncio.sleep(0)
                if stores:
                    return False
                if self._interrupted and not await self._may_go_on(lane):
                    return True
            return True
        finally:
            lane.handled_records += count

    async def _consume_tracked(self, lane: Lane, step: Step, source: AsyncIterator[Any]) -> None:
        """Each item a generation: what it sent and wrote lands together, or not at all."""
        count = 0
        if not await self._may_go_on(lane):
            return
        async for item in source:
            if not await self._may_go_on(lane):
                return
            await self._handle(lane, step, item)
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if not await self._may_go_on(lane):
                return

    async def _consume_lists(self, lane: BatchLane, source: AsyncIterator[Any]) -> None:
        """What can be had without waiting is a list; what was pulled is not lost at a stop."""
        async with Gathered(source, lane.gate) as gathered:
            async for items in gathered:
                await lane.process(items, 0)
                if not await self._may_go_on(lane):
                    await lane.process(gathered.take(), 0)
                    return

    async def _handle(self, lane: Lane, step: Step, item: Any) -> None:
        if isinstance(lane, BatchLane):  # each item goes to all before the next one is pulled
            await lane.process((item,), 0)
            return
        while True:
            generation = lane.begin((item,), 0)
            CURRENT.set(generation)
            next(generation.items)
            try:
                waiting = step.one(item)
                if waiting is not None and hasattr(waiting, "__await__"):
                    await waiting
            except BaseException as error:
                if not await lane.failed(generation, 0, failure(error)):
                    return
                await lane.room()
            else:
                lane.end(generation)
                if lane.trials is not None:
                    lane.trials.passed()
                return

    async def _may_go_on(self, lane: Lane) -> bool:
        """Wait while the gate is closed or too much is on the way; False when it is over."""
        if not self.stopping:
            await lane.room()
        return not self.stopping and not lane.closed


def _is_plain(lane: Lane, step: Step) -> bool:
    """Whether there is nothing to flush, no state and nothing to be asked about a record."""
    # A step of another make may have more to do than to call and to emit.
    plain = type(lane) is Lane and type(step) is Step and not step.attended
    return plain and lane.trials is None and not lane.sinks and not lane.stores


class _Rest:
    """What is left of an iterator.

    Another loop over it would ask it for itself again, and some then begin anew.
    """

    __slots__ = ("_next",)

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._next = source.__anext__

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._next()


_END: Final = object()
"""What follows the last item in a queue."""


async def _drain(queue: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    while (item := await queue.get()) is not _END:
        yield item


async def _put(queue: asyncio.Queue[Any], item: Any, reader: asyncio.Future[None]) -> None:
    """Wait for a place in the queue, as long as somebody reads it."""
    if not queue.full():
        queue.put_nowait(item)
        return
    putting = asyncio.ensure_future(queue.put(item))
    await asyncio.wait([putting, reader], return_when=asyncio.FIRST_COMPLETED)
    putting.cancel()


def _through(binding: Binding, source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The source as it comes out of the binding's pipes."""
    piped: Any = source
    for function in binding.pipe:
        piped = function(piped)
    return aiter(piped) if binding.pipe else source


async def _aclose(source: AsyncIterator[Any]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
