"""Pipes on a source: a stream goes through functions of AsyncIterables before its handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from slipcore.engine.bindings import Pipe
from slipcore.engine.delivery import Lane
from slipcore.engine.generations import Generation
from slipcore.engine.policies import GivenBack, Retry
from slipcore.engine.state import CURRENT, in_hand, undo
from slipcore.engine.trials import Trials
from slipcore.interfaces import Record


class PipedLane(Lane):
    """A lane whose records go through pipes.

    An input is finished when the pipe asks for the next one: all that it has yielded until then
    has been through the handler. A pipe that ends early closes its lane; the others go on.
    """

    def __init__(self, *args: Any, pipes: Sequence[Pipe], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pipes = tuple(pipes)
        self._task: asyncio.Task[None] | None = None
        self._offered: asyncio.Queue[Generation | None] = asyncio.Queue(1)
        self._taken = asyncio.Event()
        self._item: Any = None

    async def _drive(self, generation: Generation) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(lambda _: self._taken.set())
        self._taken.clear()
        self._offered.put_nowait(generation)
        await self._taken.wait()
        if self._task.done():
            self._task.result()
            self.closed = True

    async def _run(self) -> None:
        stream: Any = self._feed()
        for function in self._pipes:
            stream = function(stream)
        one = self.step.one
        async for item in stream:
            if self.trials is not None:
                await self._try(item, self.trials)
                continue
            waiting = one(item)
            if waiting is not None and hasattr(waiting, "__await__"):
                await waiting

    async def _try(self, item: Any, trials: Trials) -> None:
        """Handle an item as often as the rules say; the pipe waits, and keeps what it holds."""
        self._item = item
        while True:
            generation = in_hand()
            assert generation is not None
            mark = len(generation.log)
            try:
                waiting = self.step.one(item)
                if waiting is not None and hasattr(waiting, "__await__"):
                    await waiting
            except GivenBack:
                raise
            except Exception as error:
                verdict = trials.judge(error, item)
                built_on = {g.lane for g in undo(generation, -1, mark)} - {self}
                for lane in built_on:
                    lane.fail(error)
                if verdict.rule is None or built_on:
                    raise
                if not isinstance(verdict.rule, Retry):
                    await trials.dispose(verdict, item)
                    return
                await self.wait_in_hand(trials.again(verdict, verdict.rule, item))
            else:
                trials.passed()
                return

    def attempt(self, record: Any) -> int:
        return super().attempt(self._item)  # what the pipe gave is what is tried again

    def _is_wanted_back(self) -> bool:
        return self.stopping  # what the pipe holds would be lost with the record

    async def _feed(self) -> AsyncIterator[Record]:
        while (generation := await self._offered.get()) is not None:
            CURRENT.set(generation)
            for record in generation.items:
                yield record
            self._taken.set()

    async def finish(self, epoch: int) -> None:
        """The source has ended: let the pipes end too, with what they still have to say."""
        if self._task is not None and not self._task.done():
            self._offered.put_nowait(None)
            with suppress(GivenBack):
                await self._task
        await super().finish(epoch)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
