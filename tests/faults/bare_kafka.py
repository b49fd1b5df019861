"""Topics on Kafka as librdkafka sees them: the product stands on another client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs lack some
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from tests.faults.bare import Entry, Unreachable

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds in which a broker that is there answers, whatever else the machine does."""
LONG = 120.0
"""Seconds in which what was written is acknowledged, whatever happens to the broker."""
GLANCE = 2.0
"""Seconds that a look which may fail waits for its answer."""
QUIET = {"log_level": 0, "socket.timeout.ms": 5000, "reconnect.backoff.max.ms": 500}


class KafkaLog:
    """Topics of a cluster. Any thread may call it.

    Args:
        address: `host:port`, several between commas.
        replicas: how many brokers have each topic.
    """

    def __init__(self, address: str, replicas: int = 1) -> None:
        self._address = address
        self._replicas = replicas
        self._admin = AdminClient({"bootstrap.servers": address, **QUIET})
        self._consumers: dict[str, Any] = {}
        self._partitions: dict[str, int] = {}
        self._lock = Lock()

    def create(
        self, topic: str, partitions: int, settings: Mapping[str, str] | None = None
    ) -> None:
        config = {"retention.ms": "-1", **(settings or {})}
        new = NewTopic(topic, partitions, self._replicas, config=config)
        self._admin.create_topics([new])[topic].result(PATIENCE)
        self._partitions[topic] = partitions
        self._until(lambda: self._has_leaders(topic, partitions))

    def _has_leaders(self, topic: str, partitions: int) -> bool:
        found = self._admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
        return len(found) == partitions and all(each.leader >= 0 for each in found.values())

    def delete(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""
        self._admin.delete_topics([topic])[topic].result(PATIENCE)
        self._partitions.pop(topic)
        self._until(lambda: topic not in self._admin.list_topics(timeout=PATIENCE).topics)

    def truncate(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete what stands before these offsets."""
        places = [TopicPartition(topic, p, offset) for p, offset in before.items()]
        for future in self._admin.delete_records(places).values():
            future.result(PATIENCE)

    def write(self, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> set[int]:
        producer = Producer(
            {
                "bootstrap.servers": self._address,
                "enable.idempotence": True,
                "linger.ms": 2,
                "partitioner": "murmur2",
                "message.timeout.ms": int(LONG * 1000),
                **QUIET,
            }
        )
        acknowledged: set[int] = set()

        def note(number: int, error: object, _: object) -> None:
            if error is None:
                acknowledged.add(number)

        for number, (key, value) in enumerate(pairs):
            producer.produce(topic, value, key, on_delivery=partial(note, number))
            producer.poll(0)
        producer.flush(LONG)
        return acknowledged

    def read(self, topic: str) -> list[Entry]:
        ends = self._until(lambda: self.ends(topic))
        consumer = self._make("reader")
        found: list[Entry] = []
        try:
            starts = self._until(lambda: {p: self._watermarks(consumer, topic, p)[0] for p in ends})
            left = {p for p, end in ends.items() if end > starts[p]}
            consumer.assign([TopicPartition(topic, p, starts[p]) for p in left])
            deadline = time.monotonic() + PATIENCE
            while left:
                if time.monotonic() > deadline:
                    raise Unreachable(f"{topic} can't be read to its end")
                for message in consumer.consume(10_000, 0.1):
                    if message.error() is not None:
                        continue
                    found.append(_entry(message))
                    if message.offset() >= ends[message.partition()] - 1:
                        left.discard(message.partition())
        finally:
            consumer.close()
        return sorted(found, key=lambda each: (each.partition, each.offset))

    def ends(self, topic: str) -> dict[int, int]:
        count = self._partitions.get(topic, 0)
        with self._asking("reader") as consumer:
            return {p: self._watermarks(consumer, topic, p)[1] for p in range(count)}

    def count(self, topic: str) -> int:
        return sum(self.ends(topic).values())

    def committed(self, group: str, topic: str) -> dict[int, int]:
        places = [TopicPartition(topic, p) for p in range(self._partitions.get(topic, 0))]
        with self._asking(group) as consumer:
            found = consumer.committed(places, timeout=GLANCE)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    @contextmanager
    def _asking(self, group: str) -> Iterator[Any]:
        """A consumer to ask; one that gets no answer may not know of a new leader, and is replaced.

        Raises:
            Unreachable: it gets none.
        """
        with self._lock:
            if group not in self._consumers:
                self._consumers[group] = self._make(group)
            try:
                yield self._consumers[group]
            except (KafkaException, Unreachable) as error:
                self._consumers.pop(group).close()
                raise Unreachable(str(error)) from error

    def set(self, topic: str, **settings: str) -> None:
        """Change settings of a topic; their dots are underscores here."""
        changes = [
            ConfigEntry(
                name.replace("_", "."),
                value,
                incremental_operation=AlterConfigOpType.SET,
            )
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=changes)
        self._admin.incremental_alter_configs([resource])[resource].result(PATIENCE)

    def members(self, group: str) -> list[str]:
        """The names that a group has given its members: who was expelled has a new one."""
        found = self._admin.describe_consumer_groups([group])[group].result(PATIENCE)
        return sorted(member.member_id for member in found.members)

    def leader(self, topic: str, partition: int) -> int:
        """The id of the broker that leads a partition."""
        found = self._admin.list_topics(topic, timeout=PATIENCE).topics[topic]
        return int(found.partitions[partition].leader)

    def follower(self, topic: str, partition: int) -> int:
        """The id of a broker that has a partition and does not lead it."""
        found = self._admin.list_topics(topic, timeout=PATIENCE).topics[topic]
        place = found.partitions[partition]
        return int(next(each for each in place.replicas if each != place.leader))

    def rewind(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Have a group that has no members go on at these offsets."""
        places = [TopicPartition(topic, p, offset) for p, offset in offsets.items()]
        self._until(lambda: self._make(group).commit(offsets=places, asynchronous=False))

    def close(self) -> None:
        with self._lock:
            for consumer in self._consumers.values():
                consumer.close()
            self._consumers.clear()

    def _make(self, group: str) -> Any:
        return Consumer(
            {
                "bootstrap.servers": self._address,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                **QUIET,
            }
        )

    def _watermarks(self, consumer: Any, topic: str, partition: int) -> tuple[int, int]:
        found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=GLANCE)
        if found is None:
            raise Unreachable(f"nothing is said of {topic}[{partition}]")
        low, high = found
        return low, high

    def _until(self, ask: Callable[[], T]) -> T:
        """What is answered once it is; a topic that has just been made is not known yet."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(Unreachable, KafkaException):
                if (answer := ask()) is not False:
                    return answer
            if time.monotonic() > deadline:
                raise Unreachable(f"{self._address} does not answer")
            time.sleep(0.05)


def _entry(message: Any) -> Entry:
    return Entry(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
    )
