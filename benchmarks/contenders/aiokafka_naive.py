"""The first loop one writes with aiokafka: see `jobs` for how it is started."""

from __future__ import annotations

import asyncio
from time import monotonic

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.contenders.jobs import Task, each_of, task


async def run(given: Task) -> None:
    """Read one, send one; commit each second what is acknowledged by then."""
    consumer = AIOKafkaConsumer(
        given.source,
        bootstrap_servers=given.bootstrap,
        group_id=given.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=given.bootstrap, acks="all", linger_ms=5)
    await consumer.start()
    await producer.start()
    do = each_of(given.job)
    due = monotonic() + 1
    async for message in consumer:
        await producer.send(given.sink, do(message.key, message.value), message.key)
        if monotonic() > due:
            await producer.flush()
            await consumer.commit()
            due = monotonic() + 1


if __name__ == "__main__":
    asyncio.run(run(task()))
