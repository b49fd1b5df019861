"""The loop one ends up with on confluent-kafka: see `jobs` for how it is started."""

from __future__ import annotations

from time import monotonic

from confluent_kafka import Consumer, Producer

from benchmarks.contenders.jobs import Task, each_of, task


def run(given: Task) -> None:
    """Read 500 at once, hand all over; wait for all and commit each second."""
    consumer = Consumer(
        {
            "bootstrap.servers": given.bootstrap,
            "group.id": given.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,  # by default the fetcher of a fast reader sleeps 1 s
        }
    )
    consumer.subscribe([given.source])
    producer = Producer(
        {
            "bootstrap.servers": given.bootstrap,
            "acks": "all",
            "partitioner": "murmur2_random",
            "delivery.report.only.error": True,
        }
    )
    do = each_of(given.job)
    due = monotonic() + 1
    while True:
        for message in consumer.consume(500, 0.01):
            if message.error():
                raise SystemExit(str(message.error()))
            key, data = message.key(), message.value()
            assert key is not None
            assert data is not None
            value = do(key, data)
            while True:
                try:
                    producer.produce(given.sink, value, key)
                    break
                except BufferError:
                    producer.poll(0.01)
        producer.poll(0)
        if monotonic() > due:
            producer.flush()
            consumer.commit(asynchronous=True)
            due = monotonic() + 1


if __name__ == "__main__":
    run(task())
