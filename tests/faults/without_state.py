"""Protections around Redis, state, disk and clock that can be taken out of a worker."""

from __future__ import annotations

from typing import Any

from tests.faults.without import named, put


def _changed(script: Any, old: str, new: str) -> Any:
    """A script of Redis with a piece of it replaced; its name is gone with its text."""
    assert old in script.text
    return type(script)(script.text.replace(old, new), "0" * 40)


@named("patience with Redis")
def _give_up_at_once() -> None:
    """A call to Redis that fails is not made again."""
    from slip_redis.client import Patience

    put(Patience, "next", lambda patience, error: None)


@named("batches once")
def _forget_numbers() -> None:
    """The server adds a batch as often as it is asked to."""
    from slip_redis import outbox, scripts

    put(outbox, "APPEND", _changed(scripts.APPEND, ">= number then return 0", "< 0 then return 0"))
