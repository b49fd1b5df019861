"""From one Kafka topic to another: slipcore beside a bare aiokafka loop, in one run.

python -m benchmarks.kafka [--records 1000000] [--rounds 3] [--bootstrap localhost:9092]

Each contender is a process of its own that reads the same topic from its beginning and writes all
of it to a topic of its own, acknowledged by all replicas. The time is that between its first and
its last record in the output topic, seen from outside; the memory is what it holds at each tenth
of the way.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

PARTITIONS = 8
SIZE = 100
"""Bytes of a value."""

PAGE = resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bootstrap", help="a broker; default: one is started")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--topics", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        source, sink = arguments.topics
        run = CONTENDERS[arguments.contender]
        asyncio.run(run(arguments.bootstrap, source, sink, arguments.records))
    elif arguments.bootstrap:
        compare(arguments.bootstrap, arguments.records, arguments.rounds)
    else:
        from tests.servers.kafka import Kafka

        with Kafka() as broker:
            compare(broker.address, arguments.records, arguments.rounds)


# --- the contenders -----------------------------------------------------------------------------


async def bare(bootstrap: str, source: str, sink: str, records: int) -> None:
    """What one would write with aiokafka alone."""
    consumer = AIOKafkaConsumer(
        source,
        bootstrap_servers=bootstrap,
        group_id=f"bare-{uuid4().hex}",
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    await consumer.start()
    await producer.start()
    memory = Memory(records)
    try:
        last = None
        count = 0
        async for message in consumer:
            last = await producer.send(sink, key=message.key, value=message.value)
            count += 1
            memory.look(count)
            if count == records:
                break
        assert last is not None
        await producer.flush()
    finally:
        await consumer.stop()
        await producer.stop()


async def slipcore(bootstrap: str, source: str, sink: str, records: int) -> None:
    """The same as a handler."""
    from slipcore import App
    from slipcore.config import Config

    with TemporaryDirectory() as directory:
        app = App(f"bench-{uuid4().hex}", config=Config(Path(directory)))
        conf = {"bootstrap_servers": bootstrap}
        memory = Memory(records)
        count = 0

        @app.handle(app.topic(source, conf, codec="raw"), sink=[app.topic(sink, conf, codec="raw")])
        def on(record: Any) -> tuple[Any, Any]:
            nonlocal count
            count += 1
            memory.look(count)
            if count == records:
                app.stop()
            return record.key, record.value

        await app.stream()
        app.close()


CONTENDERS = {"bare": bare, "slipcore": slipcore}


class Memory:
    """Prints what the process holds at each tenth of its way."""

    def __init__(self, records: int) -> None:
        self._step = max(1, records // 10)

    def look(self, count: int) -> None:
        if count % self._step == 0:
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
            print(resident // 1024, flush=True)


# --- the comparison -----------------------------------------------------------------------------


def compare(bootstrap: str, records: int, rounds: int) -> None:
    source = f"bench-in-{uuid4().hex[:8]}"
    print(f"filling {source} with {records:,} records of {SIZE} B", file=sys.stderr)
    asyncio.run(fill(bootstrap, source, records))
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    memory: dict[str, list[int]] = {}
    for number in range(rounds):
        for name in CONTENDERS:
            took, memory[name] = contend(bootstrap, name, source, records)
            seconds[name].append(took)
            print(f"round {number + 1}: {name} {took:.1f} s", file=sys.stderr)
    print("\n| contender | records a second | bare / it | resident MiB at 10, 50, 100 % |")
    print("|---|---|---|---|")
    for name, times in seconds.items():
        ratios = [bare / it for bare, it in zip(seconds["bare"], times, strict=True)]
        held = [memory[name][at] // 1024 for at in (0, 4, 9)]
        print(
            f"| {name} | {records / statistics.median(times):,.0f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f}) "
            f"| {', '.join(map(str, held))} |"
        )


def contend(bootstrap: str, name: str, source: str, records: int) -> tuple[float, list[int]]:
    """How long a contender took, and the KiB that it held at each tenth of its way."""
    sink = f"bench-out-{name}-{uuid4().hex[:8]}"
    asyncio.run(create(bootstrap, sink))
    process = subprocess.Popen(
        [
            *(sys.executable, __file__, "--contender", name, "--bootstrap", bootstrap),
            *("--topics", source, sink, "--records", str(records)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    took = asyncio.run(watch(bootstrap, sink, records, process))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, f"{name} failed"
    return took, [int(line) for line in out.split()]


async def create(bootstrap: str, topic: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    finally:
        await admin.close()


async def fill(bootstrap: str, topic: str, records: int) -> None:
    await create(bootstrap, topic)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=1 << 18)
    await producer.start()
    try:
        sent = []
        for partition in range(PARTITIONS):
            batch = producer.create_batch()
            for n in range(partition, records, PARTITIONS):
                key, value = b"%d" % n, (b"%d " % n).ljust(SIZE, b"x")
                while batch.append(key=key, value=value, timestamp=None) is None:
                    sent.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def watch(bootstrap: str, topic: str, records: int, process: subprocess.Popen[str]) -> float:
    """Seconds between the first record in a topic and the last."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    began = None
    try:
        while True:
            there = sum((await consumer.end_offsets(partitions)).values())
            if there and began is None:
                began = time.perf_counter()
            if there >= records:
                assert there == records, f"{there - records} too many"
                assert began is not None
                return time.perf_counter() - began
            assert process.poll() in (None, 0), "the contender failed"
            await asyncio.sleep(0.05)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    main()
