"""The items of an AsyncIterable in lists: what it gives without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, Self

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
        self._asked = asyncio.Event()
        self._is_wanted = False

    async def __aenter__(self) -> Self:
        self._pulling = asyncio.ensure_future(self._pull())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._pulling.cancel()
        await asyncio.gather(self._pulling, return_exceptions=True)

    def __aiter__(self) -> AsyncIterator[list[Any]]:
        return self

    async def __anext__(self) -> list[Any]:
        self._is_wanted = True
        self._asked.set()
        while not self._items and not self._pulling.done():
            self._arrived.clear()
            await self._arrived.wait()
        if not self._items:
            self._pulling.result()
            raise StopAsyncIteration
        self._is_wanted = False
        return self.take()

    def take(self) -> list[Any]:
        """What is there now, if anything."""
        items = self._items.copy()
        self._items.clear()
        return items

    async def _pull(self) -> None:
        items, is_open = self._items, self._gate.is_set
        try:
            await self._wait()
            async for item in self._source:
                items.append(item)
                if len(items) == 1:
                    self._arrived.set()
                elif len(items) == MAX_GATHERED:
                    self._is_wanted = False
                if not (self._is_wanted and is_open()):
                    await self._wait()
        finally:
            self._arrived.set()

    async def _wait(self) -> None:
        """Wait until another item is wanted, and may be pulled."""
        while not (self._is_wanted and self._gate.is_set()):
            self._asked.clear()
            await (self._gate if self._is_wanted else self._asked).wait()
