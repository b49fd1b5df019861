"""Dead letters: a record as it was, with headers that say where it stood and why it failed."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from slipcore.engine.policies import Stage, message
from slipcore.interfaces import Headers, Out, Record, now_ms

PREFIX: Final = "slip-dlq-"

MAX_MESSAGE: Final = 2_000
"""Bytes of an error's message that a letter carries."""

MAX_TRACEBACK: Final = 8_000
"""Bytes of a traceback, from its end, that a letter carries."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where dead letters go in a run.

    Attributes:
        name: what to call it in messages.
        send: takes a letter; what it returns is awaited if it can be.
        flush: resolves when all letters are durable.
    """

    name: str
    send: Callable[[Out], Any]
    flush: Callable[[], Awaitable[None]]

    async def put(self, letter: Out) -> None:
        """Hand a letter over; it is durable after the next flush."""
        waiting = self.send(letter)
        if waiting is not None and hasattr(waiting, "__await__"):
            await waiting


def letter(item: Any, original: Record | None, binding: str, stage: Stage, failure: Failure) -> Out:
    """The dead letter of a record.

    Args:
        item: what the handler had.
        original: its bytes, where they are at hand.
        binding: whose handler it was for.
        stage: what failed.
    """
    source = original if original is not None else item
    known = source if isinstance(source, Record) else Record(source)
    key, key_is = _bytes(known.key)
    value, value_is = _bytes(known.value)
    headers = (
        *known.headers,
        *_told(binding, stage, failure),
        (f"{PREFIX}key", key_is),
        (f"{PREFIX}value", value_is),
        *_placed(known),
    )
    return Out(value, key, headers)


def letter_of_output(output: Out, failure: Failure) -> Out:
    """The dead letter of an output that did not become durable."""
    key, key_is = _bytes(output.key)
    value, value_is = _bytes(output.value)
    headers = (
        *output.headers,
        *_told(failure.sink, "sinking", failure),
        (f"{PREFIX}key", key_is),
        (f"{PREFIX}value", value_is),
    )
    return Out(value, key, headers)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something is put aside.

    Attributes:
        error: what was raised at last.
        tries: how often it was tried.
        sink: the sink that did not take an output.
    """

    error: BaseException
    tries: int
    sink: str = ""


def _told(binding: str, stage: Stage, failure: Failure) -> Headers:
    error = failure.error
    kind = type(error)
    trace = "".join(traceback.format_exception(error)).encode("utf-8", "replace")
    return (
        (f"{PREFIX}binding", binding.encode()),
        (f"{PREFIX}stage", stage.encode()),
        (f"{PREFIX}tries", b"%d" % failure.tries),
        (f"{PREFIX}time", b"%d" % now_ms()),
        (f"{PREFIX}error", f"{kind.__module__}.{kind.__qualname__}".encode()),
        (f"{PREFIX}message", message(error).encode("utf-8", "replace")[:MAX_MESSAGE]),
        (f"{PREFIX}traceback", trace[-MAX_TRACEBACK:]),
    )


def _placed(record: Record) -> Iterator[tuple[str, bytes]]:
    if record.offset < 0:  # it comes from what has no places
        return
    yield f"{PREFIX}topic", record.topic.encode()
    yield f"{PREFIX}partition", b"%d" % record.partition
    yield f"{PREFIX}offset", b"%d" % record.offset
    yield f"{PREFIX}timestamp", b"%d" % record.timestamp


def _bytes(thing: Any) -> tuple[bytes | None, bytes]:
    """Something as bytes, and what the bytes are: `bytes`, `null`, `json` or `repr`."""
    if thing is None:
        return None, b"null"
    if isinstance(thing, bytes):
        return thing, b"bytes"
    try:
        return msgspec.json.encode(thing), b"json"
    except (TypeError, ValueError, RecursionError):
        return repr(thing).encode("utf-8", "replace"), b"repr"
