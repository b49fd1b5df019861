"""A checkpoint's app, its store, and what is called, written down."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from slipcore.checkpointing import Checkpoint, Dependency
from slipcore.interfaces import ConfigError, ICheckpointStore


class Store(ICheckpointStore):
    """A checkpoint store that keeps bytes for as long as the test lasts."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self.states.get(name)

    def save(self, name: str, state: bytes) -> None:
        self.states[name] = state


class Stage:
    """What a checkpoint asks of its app, and a record of it."""

    def __init__(self, store: Store, unbound: bool = False) -> None:
        self.name = "shop"
        self.store = store
        self.unbound = unbound
        self.calls: list[str] = []
        self.start_hooks: list[Callable[[], Any]] = []

    def on_start(self, hook: Callable[[], Any]) -> None:
        self.start_hooks.append(hook)

    def start(self) -> None:
        for hook in self.start_hooks:
            hook()

    def checkpoint_store(self) -> Store:
        return self.store

    def stream_of(self, source: object) -> object | None:
        return None if self.unbound else object()

    def pause(self, source: object) -> None:
        if self.unbound:
            raise ConfigError(f"no handler reads {source!r}")
        self.calls.append(f"pause {source}")

    def resume(self, source: object) -> None:
        self.calls.append(f"resume {source}")


class Restartable:
    """Makes the current app, and the next one on the same store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store()
        self._monkeypatch = monkeypatch
        self.app = self.restart()

    def restart(self, unbound: bool = False) -> Stage:
        self.app = app = Stage(self.store, unbound)
        self._monkeypatch.setattr("slipcore.current.current_app", lambda: app)
        return app


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Restartable:
    return Restartable(monkeypatch)


async def nothing() -> Any:
    for item in list[Any]():
        yield item


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2025, 1, 1, hour, minute)


def checkpoint(*dependencies: Dependency, **kwargs: Any) -> Checkpoint:
    return Checkpoint("c", "dependent", list(dependencies), **kwargs)  # type: ignore[arg-type]  # what may be refused too


def dependency(name: str = "d", **kwargs: Any) -> Dependency:
    return Dependency(name, nothing(), **kwargs)


def pulse(c: Checkpoint, marker: Any, **state: Any) -> Any:
    return asyncio.run(c.check_pulse(marker, **state))


def beat(c: Checkpoint, marker: Any, name: str | None = None) -> dict[str, Any]:
    return asyncio.run(c.heartbeat(marker, name))


class Callbacks:
    """Writes down which callback was called for which dependency, and what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def down(self, c: Checkpoint, d: Dependency) -> None:
        self.seen.append(("down", d.name, d.checkpoint_state, d.last_good_state))

    async def up(self, c: Checkpoint, d: Dependency) -> None:
        await asyncio.sleep(0)
        self.seen.append(("up", d.name, d.checkpoint_state, d.last_good_state))
