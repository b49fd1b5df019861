"""Protections that can be taken out of a worker, to see that the yard notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import slipcore.engine.delivery as engine
from slipcore.engine.runner import Runner
from slipcore.interfaces import IStateStore

_TAKE_OUT: dict[str, Callable[[], None]] = {}


def take_out(name: str | None) -> None:
    """Break the engine of this process in the way of that name."""
    import tests.faults.without_state  # noqa: F401  # what more there is to take out

    if name is not None:
        _TAKE_OUT[name]()


def named(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make a function what takes out the protection of that name."""

    def keep(function: Callable[[], None]) -> Callable[[], None]:
        _TAKE_OUT[name] = function
        return function

    return keep


def put(owner: Any, name: str, broken: Any) -> None:
    """Replace an attribute."""
    setattr(owner, name, broken)


@named("finished before committed")
def _commit_what_is_handled() -> None:
    """What is handled counts as finished, whether or not its outputs are durable."""
    real = engine.Lane._go_on

    def go_on(lane: engine.Lane, generation: Any, finished: int) -> None:
        real(lane, generation, finished)
        lane.finished.update(generation.live_positions())

    put(engine.Lane, "_go_on", go_on)


@named("flushed before finished")
def _flush_nothing() -> None:
    """Nobody waits until outputs are durable."""

    async def flush_all(sinks: Any) -> None:
        await asyncio.sleep(0)

    put(engine, "flush_all", flush_all)


@named("position with state")
def _write_values_alone() -> None:
    """A store keeps values and no positions."""
    from slip_redis.state import RedisStateStore

    def alone(real: Any) -> Any:
        async def awrite(store: Any, changes: Any, positions: Mapping[str, Any] = {}) -> None:
            await real(store, changes, {})

        return awrite

    for each in (IStateStore, RedisStateStore):  # the latter has one of its own
        put(each, "awrite", alone(each.awrite))


@named("commit at the stop")
def _forget_the_last_commit() -> None:
    """A run ends without committing what it has finished."""

    async def commit(runner: Runner) -> None:
        await asyncio.sleep(0)

    put(Runner, "_commit", commit)
