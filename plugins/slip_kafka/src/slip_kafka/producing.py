"""Outputs on their way into a topic: gathered into batches, one on the way for each partition.

aiokafka's own `send()` makes a future and a task switch of each record; batches of one's own are
sixteen times as fast. They are also what can be dealt with when one fails: the client then has a
gap in its sequence numbers that no later batch of the partition gets over, so it is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable
from random import randrange
from typing import Any, Final

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from slip_kafka.batches import Batch, codec_of
from slip_kafka.clients import Client
from slip_kafka.failures import reason_of
from slip_kafka.settings import KafkaTopicOptions
from slipcore.interfaces import Headers, Out, SinkError, SlipError, partition_for

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 32 * 1024 * 1024
"""What may be on its way before `send` asks to be awaited; as in Kafka's Java client."""

RECORD_BYTES: Final = 200
"""What an output takes beside its key and its value."""

SETTLE_SECONDS: Final = 1.0
"""How long other partitions may take to acknowledge what they have when one has failed."""

KEYS: Final = 65_536
"""Of how many keys the partition is remembered: `partition_for` knows it too, but takes four times
as long to say so."""

_NO_HEADERS: Final[list[tuple[str, bytes]]] = []


class _Run:
    """Everything that is handed over between two failures.

    Attributes:
        error: why something of it is not durable.
        given_up: nothing of it is on its way any more.
        lost: the outputs that are not durable, in order, once somebody has been told.
    """

    __slots__ = ("error", "given_up", "lost")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.given_up = False
        self.lost: list[Out] | None = None


class Producer:
    """What is sent to one topic, in the loop that it is made in.

    Args:
        topic: the topic's name.
        options: its settings.
        partitions: how many it has.
    """

    def __init__(self, topic: str, options: KafkaTopicOptions, partitions: int) -> None:
        self._topic = topic
        self._options = options
        self._count = partitions
        self._codec = codec_of(options.compression_type)
        self._patience = options.delivery_timeout_ms / 1000
        # A record that is surely small enough, whatever its length takes to be written.
        self._small = options.max_request_size - DefaultRecordBatchBuilder.estimate_size_in_bytes(
            b"", b"", []
        )
        self._run = _Run()
        self._number = 0
        self._bytes = 0
        self._sticky = randrange(partitions)
        self._places: dict[bytes | None, int] = {}
        self._filling: dict[int, Batch] = {}
        self._full: defaultdict[int, deque[Batch]] = defaultdict(deque)
        self._live: dict[Batch, None] = {}
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._client: Client | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._linger: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        if not options.acks_all:
            logger.warning(
                "The topic %s is written with acks = %s: an output that the leader loses is lost, "
                'so outputs are at most once; acks = "all" keeps them.',
                topic,
                options.acks,
            )

    # --- handing over -----------------------------------------------------------------------

    def send(self, output: Out) -> Awaitable[None] | None:
        return self.send_parts(
            output.value, output.key, output.headers, output.timestamp, output.partition
        )

    def send_parts(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp: int | None = None,
        partition: int | None = None,
    ) -> Awaitable[None] | None:
        if type(value) is bytes and type(key) is bytes:
            size = len(value) + len(key)
        else:
            size = self._size_of(value, key, headers, timestamp, partition)
        named = headers or timestamp is not None or partition is not None
        if headers or size > self._small:
            size = self._check_size(Out(value, key, headers, timestamp, partition))
        if partition is None:
            place = self._places.get(key)
            if place is None:
                place = self._place_of(key)
        elif 0 <= partition < self._count:
            place = partition
        else:
            raise SinkError(
                f"the topic {self._topic} has no partition {partition}: it has 0 to "
                f"{self._count - 1}",
                (Out(value, key, headers, timestamp, partition),),
            )
        if self._bytes >= MAX_BYTES and self._run.given_up:
            raise SinkError(
                f"the topic {self._topic} takes no more: outputs before this one were lost, and "
                "flush() has not been called to say which",
                (Out(value, key, headers, timestamp, partition),),
            )
        batch = self._filling.get(place)
        listed = list(headers) if headers else _NO_HEADERS
        try:
            if (
                batch is None
                or batch.write(len(batch.numbers), timestamp, key, value, listed) is None
            ):
                batch = self._next_batch(place, batch)
                batch.write(0, timestamp, key, value, listed)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._malformed(Out(value, key, headers, timestamp, partition)) from error
        if named:
            batch.more[len(batch.numbers)] = headers, timestamp, partition
        batch.numbers.append(self._number)
        self._number += 1
        size += RECORD_BYTES
        batch.size += size
        self._bytes += size
        return None if self._bytes < MAX_BYTES else self._room()

    def _size_of(self, value: bytes | None, key: bytes | None, *more: Any) -> int:
        """Bytes of a value and a key, either of which may be None.

        Raises:
            SinkError: one is something else; subclasses of bytes are none.
        """
        for each in (value, key):
            if each is not None and not isinstance(each, bytes):
                raise SinkError(
                    f"the topic {self._topic} takes a key and a value of bytes or None, not "
                    f"{type(key).__name__} and {type(value).__name__}: encode them",
                    (Out(value, key, *more),),
                )
        return len(value or b"") + len(key or b"")

    def _place_of(self, key: bytes | None) -> int:
        """The partition of a key that is not known yet, or of an output without one."""
        if key is None:
            return self._sticky
        if len(self._places) >= KEYS:
            self._places.clear()
        place = self._places[key] = partition_for(key, self._count)
        return place

    def _check_size(self, output: Out) -> int:
        """How large an output is, if it is not too large for a request."""
        try:
            size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(
                output.key, output.value, list(output.headers)
            )
        except (TypeError, ValueError) as error:
            raise self._malformed(output) from error
        if size > self._options.max_request_size:
            raise SinkError(
                f"an output of {size} bytes is too large for the topic {self._topic}: "
                f"max_request_size is {self._options.max_request_size}; raise it, and "
                "max.message.bytes of the topic, or send less at once",
                (output,),
            )
        return size

    def _malformed(self, output: Out) -> SinkError:
        return SinkError(
            f"the topic {self._topic} takes headers that are pairs of a str and bytes, and a "
            f"timestamp in ms, an int or None, not {output.headers!r} and {output.timestamp!r}",
            (output,),
        )

    def _next_batch(self, partition: int, full: Batch | None) -> Batch:
        if full is not None:
            self._full[partition].append(full)
            self._leave(partition)
            self._pump(partition)
        batch = Batch(partition, self._options.max_batch_size, self._codec)
        self._filling[partition] = batch
        self._live[batch] = None
        if self._run.given_up:
            batch.settle()
        loop = asyncio.get_running_loop()
        if self._linger is None:
            self._linger = loop.call_later(self._options.linger_ms / 1000, self._ripen)
        if self._deadline is None:
            self._deadline = loop.call_later(self._patience, self._expire)
        return batch

    def _room(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._make_due()
        return waiter

    def _make_room(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    # --- on the way -------------------------------------------------------------------------

    def _ripen(self) -> None:
        self._linger = None
        self._make_due()

    def _make_due(self) -> None:
        for partition, batch in list(self._filling.items()):
            batch.due = True
            self._pump(partition)

    def _pump(self, partition: int) -> None:
        """Send the partition's next batch if it is time to: never two at once.

        What is due meanwhile goes on filling, so that many small flushes share a batch.
        """
        if partition in self._sending or self._run.error is not None:
            return
        full = self._full[partition]
        if full:
            batch = full.popleft()
        elif partition in self._filling and self._filling[partition].due:
            batch = self._filling.pop(partition)
            self._leave(partition)
        else:
            return
        self._sending[partition] = asyncio.ensure_future(self._deliver(batch, self._run))

    def _leave(self, partition: int) -> None:
        """Outputs without a key go to the next partition once a batch is closed."""
        if partition == self._sticky:
            self._sticky = (partition + 1) % self._count

    async def _deliver(self, batch: Batch, run: _Run) -> None:
        partition = batch.partition
        closed = batch.closed()
        try:
            if self._client is None:
                self._client = Client(self._options, self._patience)
            client = await self._client.producer()
            taken = await client.send_batch(closed, self._topic, partition=partition)
            await taken
        except Exception as error:
            self._fail(run, error)
            return
        finally:
            del self._sending[partition]
        batch.acknowledged = True
        batch.settle()
        del self._live[batch]
        self._bytes -= batch.size
        if self._waiting and self._bytes < MAX_BYTES / 2:
            self._make_room()
        self._pump(partition)

    # --- durable ----------------------------------------------------------------------------

    async def flush(self) -> None:
        run, batches = self._run, list(self._live)
        if not batches:
            return
        self._make_due()
        await asyncio.wait([batch.done for batch in batches])
        if all(batch.acknowledged for batch in batches):
            return
        assert run.error is not None
        lost = self._lost(run)
        raise SinkError(
            f"{len(lost)} output(s) of the topic {self._topic} are not durable: "
            f"{self._reason(run.error)}",
            lost,
        ) from run.error

    def _lost(self, run: _Run) -> list[Out]:
        """What is not durable of a run, in order; after that a new one begins."""
        if run.lost is None:
            numbered = [pair for batch in self._live for pair in batch.numbered()]
            run.lost = [output for _, output in sorted(numbered, key=lambda pair: pair[0])]
            self._run = _Run()
            self._forget()
        return run.lost

    def _forget(self) -> None:
        self._live.clear()
        self._filling.clear()
        self._full.clear()
        self._bytes = 0
        self._make_room()

    def _reason(self, error: BaseException) -> str:
        return str(error) if isinstance(error, SlipError) else reason_of(error)

    # --- failures ---------------------------------------------------------------------------

    def _expire(self) -> None:
        self._deadline = None
        oldest = next(iter(self._live), None)
        if oldest is None or self._run.error is not None:
            return
        loop = asyncio.get_running_loop()
        left = oldest.born + self._patience - loop.time()
        if left > 0:
            self._deadline = loop.call_later(left, self._expire)
            return
        self._fail(
            self._run,
            SinkError(
                f"the brokers did not acknowledge them within {self._patience:g} s "
                "(delivery_timeout_ms); see that the cluster is there"
            ),
        )

    def _fail(self, run: _Run, error: BaseException) -> None:
        """Give up what is not acknowledged, and the client, of which it is not known what it has.

        A batch that failed leaves a gap in the client's sequence numbers, which brokers refuse
        ever after: https://github.com/aio-libs/aiokafka/issues/1017.
        """
        if run.error is not None:
            return
        run.error = error
        self._in_background(self._give_up())

    async def _give_up(self) -> None:
        sending = tuple(self._sending.values())
        if sending:
            await asyncio.wait(sending, timeout=SETTLE_SECONDS)
        await self._abandon()

    async def _abandon(self) -> None:
        """Stop what is on its way; what of it is written is not known."""
        client, self._client = self._client, None
        sending = tuple(self._sending.values())
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        self._run.given_up = True
        for batch in self._live:
            batch.settle()
        self._make_room()
        if client is not None:
            self._in_background(client.end())

    def _in_background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Drop what is not acknowledged, and end within some seconds."""
        for timer in (self._linger, self._deadline):
            if timer is not None:
                timer.cancel()
        if self._run.error is None:
            self._run.error = SinkError("the topic was closed")
        await self._abandon()
        while self._background:
            await asyncio.wait(tuple(self._background))
