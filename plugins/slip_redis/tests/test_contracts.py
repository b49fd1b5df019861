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

from slipcore import App, Cache
from slipcore.config import Config
from slipcore.interfaces import ICheckpointStore, IStateStore, ITopic
from slipcore.testing import (
    CheckpointStoreContract,
    LocalScope,
    MakeTopic,
    StateStoreContract,
    TopicContract,
)
from slipcore.testing.caches import CacheContract, MakeCache
from slipcore.testing.reader import unique
from slipcore.testing.state import MakeCheckpointStore, MakeStore
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


class TestRedisState(StateStoreContract):
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


# The suite uses the dictionary face within a loop, which a remote cache warns of.
@pytest.mark.filterwarnings("ignore:.*is remote:UserWarning")
class TestRedisCache(CacheContract):
    """What `Cache` promises, on a server."""

    @pytest.fixture
    def make_cache(self, redis: Redis, tmp_path: Path) -> Iterator[MakeCache]:
        config = Config.load(cwd=tmp_path, environ={"SLIP_BACKENDS__REDIS__URL": redis.url})
        app = App(unique("caches"), config=config)

        def make(name: str) -> Cache:
            return app.cache(name, backend="redis")

        yield make
        app.close()
