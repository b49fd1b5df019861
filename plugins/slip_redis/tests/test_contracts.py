"""Topics, state and checkpoints on Redis keep the contracts that every backend keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from slip_redis.checkpoints import open_checkpoint_store
from slip_redis.settings import RedisCheckpointOptions, RedisStateOptions, RedisTopicOptions
from slip_redis.state import open_state_store
from slip_redis.topic import RedisTopic

from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    ICheckpointStore,
    ISink,
    IStateStore,
    ITopic,
    Record,
)
from slipcore.testing import (
    Arrived,
    CacheContract,
    CheckpointStoreContract,
    Failing,
    LocalScope,
    MakeCheckpointStore,
    MakeSink,
    MakeStore,
    MakeTopic,
    Reader,
    SinkContract,
    TopicContract,
    unique,
)
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis

from .conftest import url_of


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


class TestRedisSink(SinkContract):
    """What is sent over a way that can be cut."""

    offers = frozenset({"faults"})

    @pytest.fixture
    def name(self) -> str:
        """The topic that the sinks of a test write to."""
        return unique("topic")

    @pytest.fixture
    def make_sink(self, proxy: Proxy, name: str, tmp_path: Path) -> MakeSink:
        scope = LocalScope("tests", tmp_path)

        def make() -> ISink:
            options = RedisTopicOptions(url=url_of(proxy), delivery_timeout=0.5, socket_timeout=0.3)
            return RedisTopic(name, options, scope)

        return make

    @pytest.fixture
    def arrived(self, redis: Redis, name: str, tmp_path: Path) -> Arrived:
        async def arrived() -> list[tuple[bytes | None, bytes | None]]:
            options = RedisTopicOptions(url=redis.url, group_id=unique("group"))
            async with Reader(RedisTopic(name, options, LocalScope("tests", tmp_path))) as reader:
                await reader.joined()
                last = await reader.source.seek({0: READ_FROM_END})
                await reader.source.seek({0: READ_FROM_START})
                records: list[Record] = []
                while not records or records[-1].offset < last[0]:
                    records += await reader.read(1)
                return [(record.key, record.value) for record in records]

        return arrived

    @pytest.fixture
    def failing(self, proxy: Proxy) -> Failing:
        @contextmanager
        def failing(sink: ISink) -> Iterator[None]:
            proxy.refuse()
            proxy.cut()
            yield
            proxy.forward()

        return failing


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
