"""What a file holds as a source, and the handler that passes it on to a topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slipcore import ISource, Out, Record
from slipcore.interfaces import Assignment, Capability, Positions

from .data import Flight, Weather


class InOrder(ISource):
    """Items of a file in order; the offset of a record is its item's place.

    It keeps no positions of its own, but can start anywhere: the app saves how far it is.
    """

    capabilities = frozenset({Capability.SEEK})

    def __init__(self, name: str, items: Sequence[Flight | Weather]) -> None:
        self.__name__ = name
        self._items = items
        self._next = 0

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        self._next = positions.get(0, -1) + 1

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        self._next = max(0, offsets[0])
        return {0: self._next - 1}

    async def lag(self) -> Mapping[int, int]:
        return {0: max(0, len(self._items) - self._next)}

    async def read(self, max_records: int) -> Sequence[Record]:
        start = self._next
        items = self._items[start : start + max_records]
        self._next += len(items)
        return [
            Record(item, item.origin, self.__name__, 0, offset, item.time)
            for offset, item in enumerate(items, start)
        ]


def feed(record: Record) -> Out:
    """Send an item on under its key, with the time that it speaks of."""
    return Out(record.value, record.key, timestamp=record.timestamp)
