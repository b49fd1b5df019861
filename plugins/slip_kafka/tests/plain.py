"""What a plain aiokafka client sees, and how a test runs its coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
    """Run a test's coroutine; one that hangs fails."""

    async def limited() -> T:
        async with asyncio.timeout(seconds):
            return await work

    return asyncio.run(limited())


async def records_of(address: str, topic: str, partitions: int = 1) -> list[ConsumerRecord]:
    """All that a topic has, one partition after the other."""
    places = [TopicPartition(topic, partition) for partition in range(partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[ConsumerRecord] = []
        for place in places:
            consumer.seek(place, 0)
        for place in places:
            while await consumer.position(place) < ends[place]:
                for batch in (await consumer.getmany(place, timeout_ms=200)).values():
                    found += batch
        return found
    finally:
        await consumer.stop()


async def values_of(address: str, topic: str, partitions: int = 1) -> Sequence[bytes | None]:
    """The values of all that a topic has, one partition after the other."""
    return [record.value for record in await records_of(address, topic, partitions)]
