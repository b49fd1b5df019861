"""Processes that start together on a topic that is not there yet."""

from __future__ import annotations

from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka
from tests.together import NUMBER, Together

OPEN = """
import asyncio
from slip_kafka.connecting import open_topic
from slip_kafka.settings import KafkaTopicOptions

def act(line):
    address, name = line.split()
    options = KafkaTopicOptions(bootstrap_servers=address, partitions=3)
    return asyncio.run(open_topic(name, options))
"""


def test_one_topic_is_made_by_all(kafka: Kafka) -> None:
    """Whoever comes first makes it, and all see its partitions."""
    with Together(OPEN) as opened:
        for _ in range(3):
            assert opened(f"{kafka.address} {unique('topic')}") == ["3"] * NUMBER
