"""Outputs on their way into a topic: gathered, then written in batches, each of them once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from secrets import token_hex
from time import time_ns
from typing import TYPE_CHECKING, Final

from slip_redis.errors import reason
from slip_redis.layout import Keys, fields_of
from slip_redis.scripts import APPEND
from slipcore.interfaces import Out, SinkError, partition_for

if TYPE_CHECKING:
    from slip_redis.client import Arg, Client
    from slip_redis.settings import RedisTopicOptions

MAX_PENDING: Final = 10_000
"""Outputs that may wait for a flush before a sender is to wait for room."""

MAX_BATCH: Final = 500
"""Outputs of one call: while the server adds them it does nothing else."""

MAX_BATCH_BYTES: Final = 4 << 20

_REMEMBERED: Final = 3_600.0
"""Seconds without a batch after which a producer is forgotten, beyond its delivery timeout."""


class _Run:
    """Everything that is handed over between two failures.

    Attributes:
        handed: how many outputs were handed over.
        durable: how many of them are written; they are the first ones.
        error: why the next ones were not.
        lost: the outputs from there on.
    """

    __slots__ = ("durable", "error", "handed", "lost")

    def __init__(self) -> None:
        self.handed = 0
        self.durable = 0
        self.error: Exception | None = None
        self.lost: list[Out] = []


class Outbox:
    """Takes outputs at once and writes what has gathered whenever somebody flushes.

    One batch is under way at a time. It has a number that the server keeps, so that one whose
    answer was lost is sent again and added once.

    Args:
        client: an open client.
        topic: the topic's name.
        partitions: how many it has.
        options: the topic's settings.
    """

    def __init__(
        self, client: Client, topic: str, partitions: int, options: RedisTopicOptions
    ) -> None:
        self.pending: deque[Out] = deque()
        self._client = client
        self._topic = topic
        self._keys = Keys(topic)
        self._partitions = partitions
        self._timeout = options.delivery_timeout
        self._trim: list[Arg] = [
            options.max_length if options.max_length is not None else b"",
            round(options.max_age * 1000) if options.max_age is not None else b"",
        ]
        self._producer = token_hex(8)
        self._number = 0
        self._turn = 0
        self._run = _Run()
        self._writing: asyncio.Task[None] | None = None

    def add(self, output: Out) -> Awaitable[None] | None:
        """Take an output; what to await for room, if there is too little."""
        self.pending.append(output)
        self._run.handed += 1
        return self.room() if len(self.pending) > MAX_PENDING else None

    async def flush(self) -> None:
        """Return when all that was added before the call is written.

        A cancelled flush leaves its write going; the next one tells of its failure.

        Raises:
            SinkError: with what is not written. The outbox has let go of it.
        """
        run = self._run
        wanted = run.handed
        while run.durable < wanted:
            if run.error is not None:
                raise self._failure(run, run.error) from run.error
            await asyncio.wait([self._written(run)])

    async def room(self) -> None:
        """Return when there is room for more; what was handed over stays `flush`'s to tell of.

        Raises:
            SinkError: nothing can be written any more in this run.
        """
        run = self._run
        while len(self.pending) > MAX_PENDING and run is self._run:
            await asyncio.wait([self._written(run)])
            if run.error is not None:
                raise SinkError(self._told(run.error, len(self.pending) + len(run.lost)))

    async def close(self) -> None:
        """Drop what is pending, and the write under way: it is whole or not there."""
        self.pending.clear()
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    def _written(self, run: _Run) -> asyncio.Task[None]:
        """The write under way, or one that begins."""
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write_pending(run))
        return self._writing

    async def _write_pending(self, run: _Run) -> None:
        batch: list[Out] = []
        self._turn = (self._turn + 1) % self._partitions
        try:
            while self.pending:
                batch = self._next_batch()
                await self._write(batch)
                run.durable += len(batch)
                batch = []
        except Exception as error:
            run.error = error
        except asyncio.CancelledError:
            run.error = SinkError("it was closed")
            raise
        finally:
            run.lost = batch
            self._writing = None

    def _next_batch(self) -> list[Out]:
        pending, size = self.pending, 0
        batch: list[Out] = []
        while pending and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            output = pending.popleft()
            size += len(output.value or b"") + len(output.key or b"")
            batch.append(output)
        return batch

    async def _write(self, batch: list[Out]) -> None:
        """Add a batch, asking again until it is known to be there or the time is over."""
        self._number += 1
        remembered = round((_REMEMBERED + self._timeout) * 1000)
        args: list[Arg] = [self._number, remembered, *self._trim]
        keys = [self._keys.producer(self._producer), self._keys.topic]
        numbers: dict[int, bytes] = {}
        now = time_ns() // 1_000_000
        for output in batch:
            partition = self._partition(output)
            number = numbers.get(partition)
            if number is None:
                keys.append(self._keys.stream(partition))
                number = numbers[partition] = b"%d" % (len(numbers) + 1)
            fields = fields_of(output, now)
            args.append(number)
            args.append(b"%d" % len(fields))
            args += fields
        await self._client.persist(lambda: self._client.run(APPEND, keys, args), self._timeout)

    def _partition(self, output: Out) -> int:
        if output.partition is not None:
            return output.partition
        if output.key is not None:
            return partition_for(output.key, self._partitions)
        return self._turn

    def _failure(self, run: _Run, error: Exception) -> SinkError:
        if run is self._run:
            run.lost += self.pending
            self.pending = deque()
            self._run = _Run()
        return SinkError(self._told(error, len(run.lost)), run.lost)

    def _told(self, error: Exception, count: int) -> str:
        return (
            f"{count} output(s) of the topic {self._topic} are not known to be durable on Redis "
            f"at {self._client.address}: {reason(error)}"
        )
