"""What is handled becomes finished: its outputs durable, then its state, then its position."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from slipcore.engine.generations import Generation
from slipcore.engine.sinks import flush_all
from slipcore.interfaces import ISink, IStateStore


class Finishing:
    """The part of a lane that is behind its handler.

    Attributes:
        reader: the name under which stores keep its positions.
        finished: partition -> offset of the last finished record (absent: nothing known).
        since: partition -> the epoch in which it was assigned; what is older is ignored.
        unfinished: records that are handled and not finished.
        stores: where the binding keeps state.
    """

    def __init__(
        self,
        reader: str,
        sinks: Sequence[ISink],
        on_ready: Callable[[], None],
        on_finished: Callable[[int], None],
    ) -> None:
        self.reader = reader
        self.sinks = tuple(sinks)
        self.stores: dict[IStateStore, None] = {}
        self.finished: dict[int, int] = {}
        self.since: dict[int, int] = {}
        self.unfinished = 0
        self._on_ready = on_ready
        self._on_finished = on_finished
        self._handled: deque[Generation] = deque()
        self._progress = asyncio.Event()
        self._flush_wanted = asyncio.Event()

    def fail(self, error: BaseException) -> None:
        """What is not settled is discarded."""
        raise NotImplementedError

    def _hand_on(self, generation: Generation) -> None:
        """What was handled is to be flushed, and settled."""
        generation.let_go()
        self._handled.append(generation)
        self.unfinished += generation.count
        if self.sinks or self.stores:
            self._flush_wanted.set()
        else:
            generation.flushed = True
            self._settle_stateless()

    async def flush_forever(self) -> None:
        """Flush what was handled, all of it at once, until cancelled.

        One flush answers for every generation that was handled before it, so that under load
        one acknowledgement covers many.
        """
        while True:
            await self._flush_wanted.wait()
            self._flush_wanted.clear()
            generations = [g for g in self._handled if not g.flushed]
            if not generations:
                continue
            try:
                await flush_all(self.sinks)
            except Exception as error:
                self.fail(error)
                continue
            for generation in generations:
                generation.flushed = True
            if self.stores:
                self._on_ready()
            else:
                self._settle_stateless()

    def _settle_stateless(self) -> None:
        while self._handled and self._handled[0].flushed:
            self.settle(self._handled[0])

    def settle(self, generation: Generation) -> None:
        """Its outputs, state and positions are durable: it is finished."""
        if generation.dead:
            return
        generation.settled = True
        for space, writes in generation.writes.items():
            space.land(writes, generation)
        generation.part()
        self.finished.update(generation.live_positions())
        self._handled.remove(generation)
        self.unfinished -= generation.count
        self._on_finished(generation.count)
        self._progress.set()

    def uses(self, store: IStateStore) -> None:
        self.stores[store] = None

    def flushed_generations(self) -> list[Generation]:
        return [g for g in self._handled if g.flushed]
