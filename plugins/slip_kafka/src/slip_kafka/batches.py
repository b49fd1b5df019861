"""Outputs that are sent together."""

from __future__ import annotations

import asyncio

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from slipcore.interfaces import Out


class Batch:
    """Outputs for one partition that are sent together.

    Args:
        partition: where they go.
        max_size: bytes that they have at the most, before compression.
        codec: how they are compressed, as in a batch's attributes.

    Attributes:
        builder: what will be sent.
        outputs: in the order in which they were handed over.
        numbers: the place of each output among all that were handed over.
        size: bytes of memory that they take.
        born: when the first one was added, in the loop's time.
        due: somebody flushes, or it has waited long enough.
        acknowledged: the broker has it.
        done: resolved when it is acknowledged or given up.
    """

    __slots__ = (
        "acknowledged",
        "born",
        "builder",
        "done",
        "due",
        "numbers",
        "outputs",
        "partition",
        "size",
    )

    def __init__(self, partition: int, max_size: int, codec: int) -> None:
        loop = asyncio.get_running_loop()
        self.partition = partition
        self.builder = BatchBuilder(max_size, codec)
        self.outputs: list[Out] = []
        self.numbers: list[int] = []
        self.size = 0
        self.born = loop.time()
        self.due = False
        self.acknowledged = False
        self.done: asyncio.Future[None] = loop.create_future()

    def add(self, output: Out) -> bool:
        """Add an output to what will be sent; an empty batch takes one of any size.

        Raises:
            TypeError, ValueError, OverflowError: it can't be written; nothing was added.
        """
        added = self.builder.append(
            timestamp=output.timestamp,
            key=output.key,
            value=output.value,
            headers=list(output.headers),
        )
        return added is not None

    def settle(self) -> None:
        """Tell those who wait for it that there is nothing to wait for any more."""
        if not self.done.done():
            self.done.set_result(None)


def codec_of(compression_type: str | None) -> int:
    """What a batch's attributes say of a compression, None: of none."""
    codec: int = getattr(DefaultRecordBatch, f"CODEC_{(compression_type or 'none').upper()}")
    return codec
