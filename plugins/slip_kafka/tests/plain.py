"""How a test writes a topic, and what a plain aiokafka client sees of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition
from slip_kafka.connecting import open_topic
from slip_kafka.producing import Producer
from slip_kafka.settings import KafkaTopicOptions

from slipcore.interfaces import Out

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
    """Run a test's coroutine; one that hangs fails."""

    async def limited() -> T:
        async with asyncio.timeout(seconds):
            return await work

    return asyncio.run(limited())


@asynccontextmanager
async def producer(address: str, name: str, **settings: Any) -> AsyncIterator[Producer]:
    """A producer for a topic that is made; it is closed in bounded time."""
    options = KafkaTopicOptions(bootstrap_servers=address, **{"partitions": 1, **settings})
    made = Producer(name, options, await open_topic(name, options))
    try:
        yield made
    finally:
        began = time.monotonic()
        await made.close()
        assert time.monotonic() - began < 20.0


async def send(to: Producer, *outputs: Out) -> None:
    """Send outputs, waiting where there is no room."""
    for output in outputs:
        waiting = to.send(output)
        if waiting is not None:
            await waiting


def numbered(start: int, stop: int, **given: Any) -> list[Out]:
    """Outputs whose values are numbers."""
    return [Out(b"%d" % number, **given) for number in range(start, stop)]


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
