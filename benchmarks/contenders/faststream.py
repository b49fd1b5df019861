"""FastStream from topic to topic, in batches: see `jobs` for how it is started.

`publish_batch` sends a batch to one partition, so that there is one of each partition: then records
stay in order.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage, KafkaPublishMessage

from benchmarks.contenders.jobs import Task, each_of, task


def made(given: Task) -> FastStream:
    """The application."""
    broker = KafkaBroker(given.bootstrap, acks="all", logger=None, max_batch_size=1 << 20)
    do = each_of(given.job)

    @broker.subscriber(
        given.source,
        batch=True,
        max_records=2000,
        group_id=given.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.ACK,
    )  # type: ignore[untyped-decorator]  # the peer has no types
    async def on_batch(body: list[Any], message: KafkaMessage) -> None:
        by_partition: dict[int, list[KafkaPublishMessage]] = defaultdict(list)
        for record in message.raw_message:
            answer = KafkaPublishMessage(do(record.key, record.value), key=record.key)
            by_partition[record.partition].append(answer)
        for partition, answers in by_partition.items():
            await broker.publish_batch(*answers, topic=given.sink, partition=partition)

    return FastStream(broker, logger=None)


if __name__ == "__main__":
    asyncio.run(made(task()).run())
