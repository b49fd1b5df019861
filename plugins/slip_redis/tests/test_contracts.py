"""Topics, state and checkpoints on Redis keep the contracts that every backend keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slip_redis.checkpoints import open_checkpoint_store
from slip_redis.settings import RedisCheckpointOptions, RedisStateOptions, RedisTopicOptions
from slip_redis.state import open_state_store
from slip_redis.topic import RedisTopic

from slipcore.interfaces import ICheckpointStore, IStateStore, ITopic
from slipcore.testing import (
    CacheContract,
    CheckpointStoreContract,
    LocalScope,
    MakeCheckpointStore,
    MakeStore,
    MakeTopic,
    TopicContract,
    unique,
)
from tests.servers.redis import Redis


@pytest.fixture
def scopes(tmp_path: Path) -> Iterator[list[LocalScope]]:
    """Scopes to be closed."""
    scopes: list[LocalScope] = []
    yield scopes
    for scope in scopes:
        scope.close()


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


class TestRedisState(CacheContract):
    """State on a server."""

    @pytest.fixture
    def make_store(self, redis: Redis, scopes: list[LocalScope], tmp_path: Path) -> MakeStore:
        app = unique("app")

        def make() -> IStateStore:
            scopes.append(LocalScope(app, tmp_path))
            return open_state_store("cache", RedisStateOptions(url=redis.url), scopes[-1])

        return make


class TestRedisCheckpoints(CheckpointStoreContract):
    """Checkpoints on a server."""

    @pytest.fixture
    def make_store(
        self, redis: Redis, scopes: list[LocalScope], tmp_path: Path
    ) -> MakeCheckpointStore:
        app = unique("app")

        def make() -> ICheckpointStore:
            scopes.append(LocalScope(app, tmp_path))
            return open_checkpoint_store("cps", RedisCheckpointOptions(url=redis.url), scopes[-1])

        return make
