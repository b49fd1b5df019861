"""One app, unchanged, on all topics and all caches that its slip.toml may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.named.backends import Counting, settings
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

RECORDS = 300


@pytest.mark.parametrize("cache", ["sqlite", "rocks", "redis", "memory"])
@pytest.mark.parametrize("topic", ["sqlite", "kafka", "redis"])
def test_backends_are_chosen_by_name(
    topic: str, cache: str, kafka: Kafka, redis: Redis, tmp_path: Path
) -> None:
    """What goes in comes out, once, and is counted, whatever the names are."""
    text = settings(topic, cache, kafka.address, redis.url)
    counting = Counting(tmp_path, text, RECORDS)
    counting.fill()
    counting.finish()
    assert sum(counting.outputs().values()) == RECORDS
    if cache != "memory":
        assert counting.counts() == counting.expected()
        counting.finish()  # nothing is left to do
        assert counting.counts() == counting.expected()
