"""How long a record takes through a contender while it has half of what the slower one can take.

A producer stamps values with the time and sends them at an even rate, a contender passes them from
topic to topic, and a reader looks at the stamps. All of them run at once on this machine.

    python -m benchmarks.latency [--rounds 3]
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import kafka, report, topics
from benchmarks.common import (
    Contender,
    Settings,
    Table,
    Turn,
    UnavailableError,
    WrongOutputError,
    alternate,
    compared,
    progress,
    script,
)
from benchmarks.contenders.jobs import PARTITIONS
from benchmarks.processes import running

NAMES: Final = (kafka.BASELINE, "slipcore", "confluent-kafka")
SECONDS: Final = 10.0
"""How long records are sent."""
WARM_UP: Final = 0.2
"""Of the records: they are not counted."""
PAUSE: Final = 0.002
"""Seconds between two handfuls of the producer."""


def run(settings: Settings) -> list[Table]:
    """One table: the median of p99, and the other percentiles."""
    seconds = SECONDS * min(1.0, settings.scale) * (0.5 if settings.quick else 1.0)
    names = NAMES[:2] if settings.quick else NAMES
    with kafka.broker() as bootstrap:
        rate = half_load(bootstrap, settings)
        count = max(100, int(rate * seconds))
        contenders: dict[str, Contender] = {
            name: partial(turn, bootstrap, name, rate, count) for name in names
        }
        taken = alternate(contenders, settings.turns(3, quick=2), what="latency", warm_up=False)
    return [
        compared(
            "latency.half",
            f"Latency of pass-through at {rate:,.0f} records/s",
            "p99 ms",
            taken,
            baseline=kafka.BASELINE,
            remark="Half of what the slower of the first two can take. From the stamp of the "
            "producer to the reader of the output, broker and clients included.",
        )
    ]


def half_load(bootstrap: str, settings: Settings) -> float:
    """Records a second: half of the peak rate of the slower one."""
    inputs = kafka.Inputs(bootstrap)
    records = settings.size(400_000, quick=150_000)
    try:
        rates = []
        for name in NAMES[:2]:
            progress(f"latency: the peak rate of {name}")
            rates.append(kafka.turn(inputs, name, kafka.JOBS[0], records).figure * 1000)
    finally:
        inputs.delete()
    return min(rates) / 2


def turn(bootstrap: str, name: str, rate: float, count: int) -> Turn:
    """Send so many records at that rate through a contender.

    Raises:
        WrongOutputError: not all came out.
    """
    entrant = kafka.ENTRANTS[name]
    source, sink = (f"bench-{end}-{uuid4().hex[:8]}" for end in ("in", "out"))
    for topic in (source, sink):
        asyncio.run(topics.create(bootstrap, topic))
    try:
        with running(entrant.words(), "pass", bootstrap, source, sink) as process:
            reader = Reader(bootstrap, sink)
            _send(bootstrap, source, 1, 100.0)  # it has joined its group when this is through
            reader.read(1, kafka.FIRST)
            reading = threading.Thread(target=reader.read, args=(count, kafka.FIRST))
            reading.start()
            reached = _send(bootstrap, source, count, rate)
            reading.join()
            reader.close()
            if len(reader.delays) != count + 1:
                said = process.last_words()
                raise WrongOutputError(f"{name}: {len(reader.delays) - 1} of {count} came: {said}")
    finally:
        asyncio.run(topics.delete(bootstrap, source, sink))
    if reached < 0.8 * rate:
        raise UnavailableError(f"the producer reached {reached:,.0f} records/s only")
    delays = sorted(reader.delays[1 + int(WARM_UP * count) :])
    columns = {"p50 ms": 0.5, "p99.9 ms": 0.999}
    more = {column: percentile(delays, share) for column, share in columns.items()}
    return Turn(percentile(delays, 0.99), more)


def percentile(ordered: Sequence[int], share: float) -> float:
    """Milliseconds that so great a share of the delays, in nanoseconds, does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6


def _send(bootstrap: str, topic: str, count: int, rate: float) -> float:
    """Send stamped records; records a second that it came to."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 1})
    pad = b"x" * 100
    began = time.perf_counter()
    sent = 0
    while sent < count:
        due = min(count, 1 + int((time.perf_counter() - began) * rate))
        for number in range(sent, due):
            stamp = b"%020d" % time.time_ns()
            key = topics.key_of(number)
            producer.produce(topic, stamp + pad, key, partition=number % PARTITIONS)
        sent = due
        producer.poll(0)
        time.sleep(PAUSE)
    took = time.perf_counter() - began
    producer.flush()
    return count / took


class Reader:
    """Reads a topic from its beginning and notes the age of each record in nanoseconds."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.delays: list[int] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"read-{topic}",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 1,
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.assign([TopicPartition(topic, place, 0) for place in range(PARTITIONS)])

    def read(self, count: int, patience: float) -> None:
        """Read so many more records, or until none has come for `patience` seconds."""
        wanted = len(self.delays) + count
        heard = time.monotonic()
        while len(self.delays) < wanted and time.monotonic() - heard < patience:
            messages = self._consumer.consume(1000, 0.001)
            now = time.time_ns()
            for message in messages:
                value = message.value()
                if message.error() is None and value is not None:
                    self.delays.append(now - int(value[:20]))
                    heard = time.monotonic()

    def close(self) -> None:
        """Let go of the consumer."""
        self._consumer.close()


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
