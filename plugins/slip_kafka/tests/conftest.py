"""Topics on the broker of the test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slip_kafka.settings import KafkaTopicOptions
from slip_kafka.topic import KafkaTopic

from slipcore.testing import LocalScope
from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka

QUICK = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 100, "rebalance_timeout_ms": 10_000}
"""Members that notice each other soon: the shortest session that brokers allow."""


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[LocalScope]:
    """The scope of one app."""
    scope = LocalScope("tests", tmp_path)
    yield scope
    scope.close()


@pytest.fixture
def name() -> str:
    """The name of a topic that is not there yet."""
    return unique("topic")


@pytest.fixture
def group() -> str:
    """The name of a consumer group that has read nothing yet."""
    return unique("group")


def topics(kafka: Kafka, scope: LocalScope) -> Callable[..., KafkaTopic]:
    """What makes topics of one app; their settings are those of Kafka."""

    def make(name: str, group: str, partitions: int, **settings: Any) -> KafkaTopic:
        given = {"bootstrap_servers": kafka.address, **QUICK, **settings}
        options = KafkaTopicOptions(group_id=group, partitions=partitions, **given)
        return KafkaTopic(name, options, scope)

    return make


@pytest.fixture
def make_topic(kafka: Kafka, scope: LocalScope) -> Callable[..., KafkaTopic]:
    """Topics of one app."""
    return topics(kafka, scope)
