"""Apps on embedded backends in a directory of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipcore import App, Limits
from slipcore.config import Config

MakeApp = Callable[..., App]


BETWEEN_APPS = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
"""For what takes several apps: a topic in memory belongs to one."""


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    """Both embedded backends."""
    name: str = request.param
    return name


@pytest.fixture
def make_app(tmp_path: Path, backend: str) -> Iterator[MakeApp]:
    """Apps whose resources are on `backend` by configuration, closed at the end."""
    made: list[App] = []

    def make(name: str = "shop", **limits: Any) -> App:
        environ = {
            f"SLIP_DEFAULTS__{kind}": backend for kind in ("TOPIC", "CACHE", "CHECKPOINT_STORE")
        }
        app = App(
            name,
            config=Config.load(cwd=tmp_path, environ=environ),
            limits=Limits(**{"commit": 0.02, "stop": 5.0, **limits}),
        )
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


async def fill(topic: Any, *pairs: tuple[Any, Any]) -> None:
    """Send pairs of key and value, all of them durable when it returns."""
    for key, value in pairs:
        await topic(key, value)


def run(work: Any) -> Any:
    """Run a coroutine with a deadline, so that what hangs fails."""

    async def within_deadline() -> Any:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(within_deadline())
