"""What the tests share: a registry, apps on a backend in memory, schemas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipcore import App, Limits
from slipcore.config import Config
from tests.servers.registry import SchemaRegistry

MakeApp = Callable[..., App]


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    """A schema registry of its own."""
    with SchemaRegistry() as made:
        yield made


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    """Apps with what `slip.toml` is to say; their topics are in memory unless it says else."""
    made: list[App] = []

    def make(toml: str = "", **environ: str) -> App:
        (tmp_path / "slip.toml").write_text(toml)
        variables = {"SLIP_DEFAULTS__TOPIC": "memory", **environ}
        config = Config.load(cwd=tmp_path, environ=variables)
        app = App("shop", config=config, limits=Limits(commit=0.02, stop=5.0))
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


@pytest.fixture
def run() -> Callable[[Any], Any]:
    """Run a coroutine function with a deadline, so that what hangs fails."""

    def within_deadline(work: Any) -> Any:
        async def limited() -> Any:
            async with asyncio.timeout(20):
                return await work()

        return asyncio.run(limited())

    return within_deadline
