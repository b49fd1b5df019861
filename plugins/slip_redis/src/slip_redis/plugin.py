"""What this distribution registers with slipcore. It imports no client library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipcore import hookimpl

if TYPE_CHECKING:
    from slipcore.hookspecs import Register


def _register_topics(register: Register) -> None:
    register(
        "redis",
        "slip_redis.topic:RedisTopic",
        options="slip_redis.settings:RedisTopicOptions",
        summary="a log on Redis Streams",
    )


@hookimpl
def register_sources(register: Register) -> None:
    _register_topics(register)


@hookimpl
def register_sinks(register: Register) -> None:
    _register_topics(register)


@hookimpl
def register_caches(register: Register) -> None:
    register(
        "redis",
        "slip_redis.state:open_state_store",
        options="slip_redis.settings:RedisStateOptions",
        summary="state on a Redis server",
    )


@hookimpl
def register_checkpoint_stores(register: Register) -> None:
    register(
        "redis",
        "slip_redis.checkpoints:open_checkpoint_store",
        options="slip_redis.settings:RedisCheckpointOptions",
        summary="checkpoints on a Redis server",
    )
