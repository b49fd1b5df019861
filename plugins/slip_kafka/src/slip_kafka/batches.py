"""Outputs that are sent together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from slipcore.interfaces import Headers, Out


class Batch:
    """Outputs for one partition that are sent together.

    Args:
        partition: where they go.
        max_size: bytes that they have at the most, before compression.
        codec: how they are compressed, as in a batch's attributes.

    Attributes:
        write: adds a record to what will be sent: place, timestamp, key, value, headers; None: it
            is full.
        numbers: the place of each output among all that were handed over.
        more: index -> headers, timestamp and partition, of the outputs that name any.
        size: bytes of memory that they take.
        born: when the first one was added, in the loop's time.
        due: somebody flushes, or it has waited long enough.
        acknowledged: the broker has it.
        done: resolved when it is acknowledged or given up.
    """

    __slots__ = (
        "_builder",
        "acknowledged",
        "born",
        "done",
        "due",
        "more",
        "numbers",
        "partition",
        "size",
        "write",
    )

    def __init__(self, partition: int, max_size: int, codec: int) -> None:
        loop = asyncio.get_running_loop()
        self.partition = partition
        self._builder = BatchBuilder(max_size, codec)
        # The client's own `append` of a batch checks, for each record, what is known here.
        self.write: Callable[..., Any] = self._builder._builder.append
        self.numbers: list[int] = []
        self.more: dict[int, tuple[Headers, int | None, int | None]] = {}
        self.size = 0
        self.born = loop.time()
        self.due = False
        self.acknowledged = False
        self.done: asyncio.Future[None] = loop.create_future()

    def closed(self) -> BatchBuilder:
        """What is sent; nothing can be added any more."""
        self._builder._relative_offset = len(self.numbers)
        self._builder.close()
        return self._builder

    def numbered(self) -> Iterator[tuple[int, Out]]:
        """The outputs, each with its number: read back from what is sent.

        To keep them beside it would take as much memory again, and fill the processor's cache.
        """
        if not self.numbers:
            return
        written = DefaultRecordBatch(self.closed()._build())
        for index, (number, record) in enumerate(zip(self.numbers, written, strict=True)):
            yield number, Out(record.value, record.key, *self.more.get(index, ()))

    def settle(self) -> None:
        """Tell those who wait for it that there is nothing to wait for any more."""
        if not self.done.done():
            self.done.set_result(None)


def codec_of(compression_type: str | None) -> int:
    """What a batch's attributes say of a compression, None: of none."""
    codec: int = getattr(DefaultRecordBatch, f"CODEC_{(compression_type or 'none').upper()}")
    return codec
