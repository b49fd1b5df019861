"""Pipes on a source: a stream goes through functions of AsyncIterables before its handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from slipcore.engine.bindings import Pipe
from slipcore.engine.delivery import Generation, Lane
from slipcore.engine.state import CURRENT
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
            waiting = one(item)
            if waiting is not None and hasattr(waiting, "__await__"):
                await waiting

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
            await self._task
        await super().finish(epoch)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
