"""What the tests of topics and state on Redis have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slip_redis.settings import RedisStateOptions, RedisTopicOptions
from slip_redis.state import RedisStateStore
from slip_redis.topic import RedisTopic

from slipcore.testing import LocalScope
from slipcore.testing.reader import unique
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis

MakeTopic = Callable[..., RedisTopic]
"""`make_topic(url, **settings)`: another object of one topic and group, not open yet."""

MakeStore = Callable[..., RedisStateStore]
"""`make_store(url, **settings)`: another store of one app."""


@pytest.fixture
def make_topic(tmp_path: Path) -> MakeTopic:
    """Topics of one name, by default of one group and partition."""
    name, group = unique("topic"), unique("group")

    def make(url: str, **settings: Any) -> RedisTopic:
        options = RedisTopicOptions(**{"url": url, "group_id": group, **settings})
        return RedisTopic(name, options, LocalScope("tests", tmp_path))

    return make


@pytest.fixture
def make_store() -> Iterator[MakeStore]:
    """Stores of one app, closed at the end."""
    app = unique("app")
    made: list[RedisStateStore] = []

    def make(url: str, **settings: Any) -> RedisStateStore:
        made.append(RedisStateStore(app, RedisStateOptions(url=url, **settings)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def proxy(redis: Redis) -> Iterator[Proxy]:
    """A way to the server that can be cut."""
    with Proxy(redis.address) as proxy:
        yield proxy


def url_of(proxy: Proxy) -> str:
    return f"redis://{proxy.address}/0"
