"""The items of an AsyncIterable in lists: what it gives without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import copy_context
from typing import Any, Final, Self

from slipcore.engine.state import CURRENT

MAX_GATHERED: Final = 1_000
"""Items of an iterable that never waits in one list."""


class Gathered:
    """Lists of an iterator's items: at least one, and with it those that it gives at once.

    A task of its own pulls, and only while a list is wanted and the gate is open: but for one item
    that was being waited for, nothing is pulled while a list is handled or in a pause.

    Args:
        source: what is pulled.
        gate: set where items may be pulled.
    """

    def __init__(self, source: AsyncIterator[Any], gate: asyncio.Event) -> None:
        self._source = source
        self._gate = gate
        self._items: list[Any] = []
        self._arrived = asyncio.Event()
        self._wanted = asyncio.Event()

    async def __aenter__(self) -> Self:
        context = copy_context()
        context.run(CURRENT.set, None)  # what the source writes belongs to no record
        loop = asyncio.get_running_loop()
        self._pulling = loop.create_task(self._pull(), context=context)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._pulling.cancel()
        await asyncio.gather(self._pulling, return_exceptions=True)

    def __aiter__(self) -> AsyncIterator[list[Any]]:
        return self

    async def __anext__(self) -> list[Any]:
        self._wanted.set()
        while not self._items and not self._pulling.done():
            self._arrived.clear()
            await self._arrived.wait()
        if not self._items:
            self._pulling.result()
            raise StopAsyncIteration
        self._wanted.clear()
        return self.take()

    def take(self) -> list[Any]:
        """What is there now, if anything."""
        items, self._items = self._items, []
        return items

    async def _pull(self) -> None:
        try:
            await self._wanted.wait()
            async for item in self._source:
                self._items.append(item)
                if len(self._items) == 1:
                    self._arrived.set()
                elif len(self._items) == MAX_GATHERED:
                    self._wanted.clear()
                while not (self._wanted.is_set() and self._gate.is_set()):
                    await (self._gate if self._wanted.is_set() else self._wanted).wait()
        finally:
            self._arrived.set()
