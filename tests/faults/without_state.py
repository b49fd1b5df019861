"""Protections around Redis, state, disk and clock that can be taken out of a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

AROUND_STATE: Final[dict[str, Callable[[], None]]] = {}


def _named(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(function: Callable[[], None]) -> Callable[[], None]:
        AROUND_STATE[name] = function
        return function

    return keep


def put(owner: Any, name: str, broken: Any) -> None:
    """Put something broken in the place of what is there."""
    if not hasattr(owner, name):
        raise AttributeError(f"{owner} has no {name}: what is to be taken out is elsewhere now")
    setattr(owner, name, broken)


def _changed(script: Any, old: str, new: str) -> Any:
    """A script of Redis with a piece of it replaced; its name is gone with its text."""
    assert old in script.text
    return type(script)(script.text.replace(old, new), "0" * 40)


@_named("patience with Redis")
def _give_up_at_once() -> None:
    """A call to Redis that fails is not made again."""
    from slip_redis.client import Patience

    put(Patience, "next", lambda patience, error: None)


@_named("batches once")
def _forget_numbers() -> None:
    """The server adds a batch as often as it is asked to."""
    from slip_redis import outbox, scripts

    put(outbox, "APPEND", _changed(scripts.APPEND, ">= number then return 0", "< 0 then return 0"))


@_named("takeover of what is pending")
def _leave_what_is_pending() -> None:
    """What former owners were handed stays theirs."""
    from slip_redis import groups, scripts

    put(groups, "PLACE", _changed(scripts.PLACE, "if #others > 0", "if #others < 0"))


@_named("one owner")
def _let_everyone_in() -> None:
    """Nobody asks whether a state has an owner."""
    import fcntl

    from slip_redis.claims import Claims

    put(fcntl, "flock", lambda descriptor, operation: None)

    def take(claims: Claims, space: str) -> None:
        put(claims, "_owned", frozenset((space,)))

    put(Claims, "take", take)


@_named("state in a thread")
def _write_in_the_loop() -> None:
    """State is written in the event loop."""
    from slipcore.interfaces import IStateStore

    async def awrite(store: Any, changes: Any, positions: Mapping[str, Any] = {}) -> None:
        store.write(changes, positions)

    put(IStateStore, "awrite", awrite)


@_named("state that was refused")
def _take_refused_state_for_written() -> None:
    """Nobody looks whether state could be written."""
    from slipcore.interfaces import IStateStore

    real: Any = IStateStore.awrite

    async def awrite(store: Any, changes: Any, positions: Mapping[str, Any] = {}) -> None:
        with suppress(Exception):
            await real(store, changes, positions)

    put(IStateStore, "awrite", awrite)


@_named("monotonic clock")
def _wait_by_the_wall_clock() -> None:
    """The loop's timers go by the wall clock."""
    put(asyncio.BaseEventLoop, "time", lambda loop: time.time())


@_named("refusal of damage")
def _begin_anew_where_it_is_damaged() -> None:
    """A database that is damaged is replaced by an empty one."""
    from slip_rocks.database import Database

    from slipcore.interfaces import StateError

    real: Any = Database._load

    def load(database: Any) -> None:
        try:
            real(database)
        except StateError:
            real(database)

    put(Database, "_load", load)
