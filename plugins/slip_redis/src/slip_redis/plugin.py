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
