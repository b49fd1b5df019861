"""How long a record takes through a contender while it has half of what the slower one can take.

A producer stamps values with the time and sends them at an even rate, a contender passes them from
topic to topic, and a reader looks at the stamps. All of them run at once on this machine.

    python -m benchmarks.latency [--rounds 3]
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
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
            remark="Half of what gets through the slower of the first two while producer and "
            "reader work beside it. From the stamp of the producer to the reader of the output, "
            "broker and clients included.",
        )
    ]


def half_load(bootstrap: str, settings: Settings) -> float:
    """Records a second: half of what gets through the slower one from producer to reader."""
    count = settings.size(400_000, quick=150_000)
    rates = []
    for name in NAMES[:2]:
        progress(f"latency: the peak rate of {name}")
        with chain(bootstrap, name) as (source, reader):
            began = time.perf_counter()
            reader.begin(count)
            _send(bootstrap, source, count, math.inf)
            reader.wait()
            rates.append(count / (time.perf_counter() - began))
    return min(rates) / 2


@contextmanager
def chain(bootstrap: str, name: str) -> Iterator[tuple[str, Reader]]:
    """A contender at work between two topics: the first one's name, and a reader of the second.

    Raises:
        WrongOutputError: not all that the reader was to read came.
    """
    entrant = kafka.ENTRANTS[name]
    source, sink = (f"bench-{end}-{uuid4().hex[:8]}" for end in ("in", "out"))
    for topic in (source, sink):
        asyncio.run(topics.create(bootstrap, topic))
    try:
        with (
            running(entrant.words(), "pass", bootstrap, source, sink) as process,
            closing(Reader(bootstrap, sink)) as reader,
        ):
            reader.begin(1)
            _send(bootstrap, source, 1, 100.0)  # it has joined its group when this is through
            reader.wait()
            yield source, reader
            if reader.missing:
                raise WrongOutputError(
                    f"{name}: {reader.missing} records did not come: {process.last_words()}"
                )
    finally:
        asyncio.run(topics.delete(bootstrap, source, sink))


def turn(bootstrap: str, name: str, rate: float, count: int) -> Turn:
    """Send so many records at that rate through a contender.

    Raises:
        WrongOutputError: not all came out.
        UnavailableError: not even the producer kept up.
    """
    with chain(bootstrap, name) as (source, reader):
        reader.begin(count)
        reached = _send(bootstrap, source, count, rate)
        reader.wait()
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
        due = int(min(count, 1 + (time.perf_counter() - began) * rate))
        for number in range(sent, due):
            stamp = b"%020d" % time.time_ns()
            key = topics.key_of(number)
            while True:
                try:
                    producer.produce(topic, stamp + pad, key, partition=number % PARTITIONS)
                    break
                except BufferError:  # the broker takes no more: it waits for room
                    producer.poll(PAUSE)
        sent = due
        producer.poll(0)
        time.sleep(PAUSE)
    took = time.perf_counter() - began
    producer.flush()
    return count / took


class Reader:
    """Reads a topic from its beginning and notes the age of each record in nanoseconds.

    Attributes:
        delays: nanoseconds from the stamp of each.
        missing: how many that it was to read did not come.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.delays: list[int] = []
        self.missing = 0
        self._thread = threading.Thread()
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

    def begin(self, count: int) -> None:
        """Begin to read so many more."""
        self._thread = threading.Thread(target=self._read, args=(count,))
        self._thread.start()

    def wait(self) -> None:
        """Wait until they are read, or none has come for `kafka.FIRST` seconds."""
        self._thread.join()

    def _read(self, count: int) -> None:
        wanted = len(self.delays) + count
        heard = time.monotonic()
        while len(self.delays) < wanted and time.monotonic() - heard < kafka.FIRST:
            messages = self._consumer.consume(1000, 0.001)
            now = time.time_ns()
            for message in messages:
                value = message.value()
                if message.error() is None and value is not None:
                    self.delays.append(now - int(value[:20]))
                    heard = time.monotonic()
        self.missing += wanted - len(self.delays)

    def close(self) -> None:
        """Let go of the consumer."""
        self._consumer.close()


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
