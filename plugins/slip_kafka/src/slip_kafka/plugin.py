"""What this distribution registers with slipcore. It imports no client library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipcore import hookimpl

if TYPE_CHECKING:
    from slipcore.hookspecs import Register


def _register_topics(register: Register) -> None:
    register(
        "kafka",
        "slip_kafka.topic:KafkaTopic",
        options="slip_kafka.settings:KafkaTopicOptions",
        summary="a topic of an Apache Kafka cluster",
    )


@hookimpl
def register_sources(register: Register) -> None:
    _register_topics(register)


@hookimpl
def register_sinks(register: Register) -> None:
    _register_topics(register)


@hookimpl
def register_checkpoint_stores(register: Register) -> None:
    register(
        "kafka",
        "slip_kafka.checkpoints:open_checkpoint_store",
        options="slip_kafka.settings:KafkaCheckpointOptions",
        summary="checkpoints in a compacted topic",
    )
