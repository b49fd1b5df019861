"""Backends of the yard's own, as if a distribution had brought them: the known ones, that die."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipcore import hookimpl

if TYPE_CHECKING:
    from slipcore.hookspecs import Register

_MODULE = "tests.faults.crashing"
_TOPIC_OPTIONS = {
    "kafka": "slip_kafka.settings:KafkaTopicOptions",
    "redis": "slip_redis.settings:RedisTopicOptions",
    "sqlite": "slipcore.backends.sqlite.topic:SqliteTopicOptions",
}
_STATE_OPTIONS = {
    "rocks": "slip_rocks.options:RocksStateOptions",
    "redis": "slip_redis.settings:RedisStateOptions",
    "sqlite": "slipcore.backends.sqlite.state:SqliteStateOptions",
}


def _register_topics(register: Register) -> None:
    for name, options in _TOPIC_OPTIONS.items():
        register(
            f"crashing-{name}",
            f"{_MODULE}:make_{name}_topic",
            options=options,
            summary=f"{name}, which kills its process",
        )


@hookimpl
def register_sources(register: Register) -> None:
    _register_topics(register)


@hookimpl
def register_sinks(register: Register) -> None:
    _register_topics(register)


@hookimpl
def register_caches(register: Register) -> None:
    for name, options in _STATE_OPTIONS.items():
        register(
            f"crashing-{name}",
            f"{_MODULE}:open_{name}_store",
            options=options,
            summary=f"{name}, which kills its process",
        )
