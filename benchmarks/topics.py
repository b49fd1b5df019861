"""Topics of the Kafka benchmarks: filled, watched from outside, and what came out checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Consumer

from benchmarks.common import progress
from benchmarks.contenders.jobs import PARTITIONS, SCHEMA
from slipcore.interfaces import partition_for

USERS: Final = 10_000
EVERY: Final = 0.025
"""Seconds between two looks at the end of a topic."""
READ_TIMEOUT: Final = 30.0
"""Seconds after which what has not come out of a topic is not there."""


def key_of(number: int) -> bytes:
    """The key of the record of that number: one of 10,000 users, in no order."""
    return b"u%04d" % (number * 7919 % USERS)


def n_of(number: int) -> int:
    """The field that the jobs change."""
    return number % 97


def json_value(number: int, size: int) -> bytes:
    """The value of the record of that number as JSON of about so many bytes."""
    head = b'{"id":%d,"user":"%s","n":%d,"note":"' % (number, key_of(number), n_of(number))
    return head + b"x" * (size - len(head) - 2) + b'"}'


@cache
def _schema() -> Any:
    from fastavro import parse_schema

    return parse_schema(SCHEMA)


def avro_value(number: int, size: int) -> bytes:
    """The same in Avro."""
    from fastavro import schemaless_writer

    user = key_of(number).decode()
    order = {"id": number, "user": user, "n": n_of(number), "note": "x" * (size - 15)}
    written = BytesIO()
    schemaless_writer(written, _schema(), order)
    return written.getvalue()


# --- making them --------------------------------------------------------------------------------


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create(bootstrap: str, topic: str) -> None:
    """Make a topic."""
    async with _admin(bootstrap) as admin:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])


async def delete(bootstrap: str, *topics: str) -> None:
    """Give back the disk that topics take."""
    async with _admin(bootstrap) as admin:
        await admin.delete_topics(list(topics))


async def fill(
    bootstrap: str, topic: str, records: int, value: Callable[[int, int], bytes], size: int
) -> None:
    """Make a topic of so many records, each in its key's partition."""
    await create(bootstrap, topic)
    of_key = {key: partition_for(key, PARTITIONS) for key in map(key_of, range(USERS))}
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_batch_size=1 << 18
    ) as producer:
        batches = [producer.create_batch() for _ in range(PARTITIONS)]
        sent: list[Any] = []
        for number in range(records):
            key, data = key_of(number), value(number, size)
            partition = of_key[key]
            while batches[partition].append(key=key, value=data, timestamp=None) is None:
                sent.append(
                    await producer.send_batch(batches[partition], topic, partition=partition)
                )
                batches[partition] = producer.create_batch()
            if number % 50_000 == 0:
                progress(f"kafka: filling {topic}: {number:,} of {records:,}")
        for partition, batch in enumerate(batches):
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
    progress("")


# --- seen from outside --------------------------------------------------------------------------


@dataclass(slots=True)
class Watched:
    """How a topic filled: when it held how many records.

    The rate is that between the first look that found 10 % and the one that found all.
    """

    records: int
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None
    at_tenth: Callable[[], None] = field(default=lambda: None)

    def look(self, held: int) -> bool:
        """Note what is there now; whether it is all."""
        now = time.perf_counter()
        if self.first is None or (held < self.records and self.first[1] == 0):
            if self.first is None or held < self.records / 10:
                self.first = (now, 0 if held < self.records / 10 else held)
            else:
                self.first = (now, held)
                self.at_tenth()
        self.last = (now, held)
        return held >= self.records

    @property
    def seen(self) -> int:
        """Records that came between those looks."""
        assert self.first is not None
        assert self.last is not None
        return self.last[1] - self.first[1]

    @property
    def rate(self) -> float:
        """Records a second."""
        assert self.first is not None
        assert self.last is not None
        return self.seen / max(self.last[0] - self.first[0], EVERY)


async def watch(
    bootstrap: str, topic: str, watched: Watched, lives: Callable[[], bool], patience: float
) -> bool:
    """Look at the end of a topic until it holds all; whether it came to that.

    Args:
        lives: whether whoever writes to it still runs.
        patience: seconds that may pass without a new record.
    """
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        moved, before = time.monotonic(), -1
        while True:
            held = sum((await consumer.end_offsets(partitions)).values())
            if watched.look(held):
                return True
            if held != before:
                moved, before = time.monotonic(), held
            if not lives() or time.monotonic() - moved > patience:
                return False
            await asyncio.sleep(EVERY)


# --- checked ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Output:
    """What is in an output topic, as it should be: nothing lost, changed, or out of its place."""

    job: str
    records: int
    count: int = 0
    checksum: int = 0
    wrong: int = 0
    disordered: int = 0
    misplaced: int = 0
    _of_key: dict[bytes, int] = field(default_factory=dict)
    _partition: dict[bytes, int] = field(default_factory=dict)

    def take(self, key: bytes, value: bytes, partition: int) -> None:
        """Look at the next record of a partition."""
        self.count += 1
        if self.job == "count":
            number = int(value)
            self.checksum += number
            if number != self._of_key.get(key, 0) + 1:
                self.disordered += 1
        else:
            number, n, user = self._decoded(value)
            self.checksum += number
            self.wrong += n != n_of(number) + (self.job != "pass") or user != key
            if number <= self._of_key.get(key, -1):
                self.disordered += 1
        self._of_key[key] = number
        place = self._partition.get(key)
        if place is None:
            place = self._partition[key] = partition_for(key, PARTITIONS)
        self.misplaced += place != partition

    def _decoded(self, value: bytes) -> tuple[int, int, bytes]:
        if self.job == "avro":
            from fastavro import schemaless_reader

            order: Any = schemaless_reader(BytesIO(value), _schema(), None)
        else:
            order = msgspec.json.decode(value)
        return order["id"], order["n"], order["user"].encode()

    def fault(self) -> str:
        """What is wrong; "" if nothing is."""
        said = []
        if self.count != self.records:
            said.append(f"{self.count:,} records instead of {self.records:,}")
        elif self.checksum != self._right_checksum():
            said.append("another checksum")
        if self.wrong:
            said.append(f"{self.wrong:,} with another value")
        if self.disordered:
            said.append(f"{self.disordered:,} out of the order of their key")
        if self.misplaced:
            said.append(f"{self.misplaced / self.count:.0%} not in the partition of their key")
        return f"wrong output: {', '.join(said)}" if said else ""

    def _right_checksum(self) -> int:
        if self.job != "count":
            return self.records * (self.records - 1) // 2
        per_key: dict[bytes, int] = {}
        for number in range(self.records):
            key = key_of(number)
            per_key[key] = per_key.get(key, 0) + 1
        return sum(count * (count + 1) // 2 for count in per_key.values())


def check(bootstrap: str, topic: str, job: str, records: int) -> str:
    """Read all of an output topic; what is wrong with it, "" if nothing is."""
    output = Output(job, records)
    for key, value, partition in read(bootstrap, topic):
        output.take(key, value, partition)
    return output.fault()


def read(bootstrap: str, topic: str) -> Iterator[tuple[bytes, bytes, int]]:
    """Key, value and partition of all records that are there."""
    from confluent_kafka import TopicPartition as Place

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"check-{topic}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.assign([Place(topic, number, 0) for number in range(PARTITIONS)])
    ended: set[int] = set()
    heard = time.monotonic()
    try:
        while len(ended) < PARTITIONS and time.monotonic() - heard < READ_TIMEOUT:
            for message in consumer.consume(1000, 0.1):
                heard = time.monotonic()
                partition = message.partition()
                assert partition is not None
                if message.error():
                    ended.add(partition)
                else:
                    yield message.key() or b"", message.value() or b"", partition
    finally:
        consumer.close()
