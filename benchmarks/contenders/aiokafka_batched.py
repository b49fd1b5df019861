"""The loop one ends up with on aiokafka: batches, and eight rounds of them on the way at once.

See `jobs` for how it is started. Input and output have as many partitions, so that the partition of
a record is that of its key in the output too, and nothing has to be hashed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.contenders.jobs import Task, each_of, task

RECORDS: Final = 2000
"""How many are read at once."""
ROUNDS: Final = 8
"""How many may wait for their acknowledgement."""

Round = tuple[list[Any], dict[Any, int]]
"""The futures of its batches, and where its partitions are when they are done."""


Send = Callable[[Any, str, dict[Any, list[Any]], Any], Awaitable[Round]]
"""Hands over what one read gave: producer, topic, partition -> messages, what is done to each."""


async def send(
    producer: Any, topic: str, found: dict[Any, list[Any]], do: Callable[[bytes, bytes], bytes]
) -> Round:
    """Hand over what one read gave, as a batch of each partition."""
    sent, positions = [], {}
    for partition, messages in found.items():
        batch = producer.create_batch()
        for message in messages:
            key, value = message.key, do(message.key, message.value)
            while batch.append(key=key, value=value, timestamp=None) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition.partition))
                batch = producer.create_batch()
        sent.append(await producer.send_batch(batch, topic, partition=partition.partition))
        positions[partition] = messages[-1].offset + 1
    return sent, positions


async def started(given: Task) -> tuple[Any, Any]:
    """A consumer that commits when it is told to, and a producer."""
    consumer = AIOKafkaConsumer(
        given.source,
        bootstrap_servers=given.bootstrap,
        group_id=given.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=given.bootstrap, acks="all", max_batch_size=1 << 18
    )
    await consumer.start()
    await producer.start()
    return consumer, producer


async def run(given: Task, send: Send, do: Any) -> None:
    """Read, handle and write in turn, while the broker acknowledges; commit each second."""
    consumer, producer = await started(given)
    rounds: deque[Round] = deque()
    finished: dict[Any, int] = {}
    committing: asyncio.Future[Any] | None = None
    due = monotonic() + 1
    while True:
        found = await consumer.getmany(timeout_ms=10, max_records=RECORDS)
        if found:
            rounds.append(await send(producer, given.sink, found, do))
        while rounds and (len(rounds) > ROUNDS or all(f.done() for f in rounds[0][0])):
            sent, positions = rounds.popleft()
            await asyncio.gather(*sent)
            finished.update(positions)
        if finished and monotonic() > due:
            if committing is not None:
                await committing
            committing = asyncio.ensure_future(consumer.commit(dict(finished)))
            due = monotonic() + 1


if __name__ == "__main__":
    given = task()
    asyncio.run(run(given, send, each_of(given.job)))
