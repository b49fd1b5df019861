"""What is built in: memory, sqlite and the codecs. Nothing is imported before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipcore import hookimpl

if TYPE_CHECKING:
    from slipcore.hookspecs import Register

_MEMORY = "slipcore.backends.memory"
_SQLITE = "slipcore.backends.sqlite"
_CODECS = "slipcore.backends.codecs"


def _register_topics(register: Register) -> None:
    register(
        "memory",
        f"{_MEMORY}:MemoryTopic",
        options=f"{_MEMORY}:MemoryTopicOptions",
        summary="a log that lives as long as its app",
    )
    register(
        "sqlite",
        f"{_SQLITE}.topic:SqliteTopic",
        options=f"{_SQLITE}.topic:SqliteTopicOptions",
        summary="a log in a file, shared by processes",
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
        "memory",
        f"{_MEMORY}:open_state_store",
        options=f"{_MEMORY}:MemoryStateOptions",
        summary="state that lives as long as its app",
    )
    register(
        "sqlite",
        f"{_SQLITE}.state:open_state_store",
        options=f"{_SQLITE}.state:SqliteStateOptions",
        summary="state in a file",
    )


@hookimpl
def register_codecs(register: Register) -> None:
    options = f"{_CODECS}:CodecOptions"
    register("text", f"{_CODECS}:TextCodec", options=options, summary="strings as UTF-8")
    register("raw", f"{_CODECS}:RawCodec", options=options, summary="bytes as they are")
    register("json", f"{_CODECS}:JsonCodec", options=options, summary="JSON, strict, typed")
    register("msgpack", f"{_CODECS}:MsgpackCodec", options=options, summary="MessagePack, typed")
    register("pickle", f"{_CODECS}:PickleCodec", options=options, summary="any object of one's own")


@hookimpl
def register_checkpoint_stores(register: Register) -> None:
    register(
        "memory",
        f"{_MEMORY}:open_checkpoint_store",
        options=f"{_MEMORY}:MemoryCheckpointOptions",
        summary="checkpoints that live as long as their app",
    )
    register(
        "sqlite",
        f"{_SQLITE}.checkpoints:open_checkpoint_store",
        options=f"{_SQLITE}.checkpoints:SqliteCheckpointOptions",
        summary="checkpoints in a file",
    )
