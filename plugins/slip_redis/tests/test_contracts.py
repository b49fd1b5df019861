"""Topics, state and checkpoints on Redis keep the contracts that every backend keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from slip_redis.settings import RedisTopicOptions
from slip_redis.topic import RedisTopic

from slipcore.interfaces import ITopic
from slipcore.testing import LocalScope, MakeTopic, TopicContract
from tests.servers.redis import Redis


class TestRedisTopic(TopicContract):
    """Topics on streams."""

    silence = 0.6

    @pytest.fixture
    def make_topic(self, redis: Redis, tmp_path: Path) -> MakeTopic:
        scope = LocalScope("tests", tmp_path)

        def make(name: str, group: str, partitions: int, **settings: Any) -> ITopic:
            options = RedisTopicOptions(
                url=redis.url, group_id=group, partitions=partitions, **settings
            )
            return RedisTopic(name, options, scope)

        return make
