"""Bytewax from topic to topic: see `jobs` for how it is started."""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

from benchmarks.contenders.jobs import Task, change_of, task


def run(given: Task) -> None:
    """Run until it is ended. It commits nothing to Kafka, and keeps its state in memory."""
    brokers = [given.bootstrap]
    flow = Dataflow("bench")
    source = KafkaSource(brokers, [given.source], add_config={"fetch.queue.backoff.ms": "10"})
    read = op.input("in", flow, source)
    if given.job == "count":
        keyed = op.key_on("key", read, lambda message: message.key.decode())
        counted = op.stateful_map("count", keyed, count)
        written = op.map("out", counted, lambda pair: KafkaSinkMessage(pair[0].encode(), pair[1]))
    else:
        change = change_of(given.job)
        written = op.map("do", read, lambda m: KafkaSinkMessage(m.key, change(m.value)))
    config: dict[str, Any] = {
        "acks": "all",
        "partitioner": "murmur2_random",
        "delivery.report.only.error": True,
    }
    kop.output("sink", written, brokers=brokers, topic=given.sink, add_config=config)
    run_main(flow)


def count(number: int | None, message: KafkaSourceMessage[bytes, bytes]) -> tuple[int, bytes]:
    """Count in the state of Bytewax."""
    number = (number or 0) + 1
    return number, b"%d" % number


if __name__ == "__main__":
    run(task())
