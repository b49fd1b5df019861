"""Sockets of apps that start and end at the same moment."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from slipcore import App
from slipcore.config import Config
from slipcore.control.places import claim, is_answered, sockets
from tests.together import NUMBER, ROUNDS, Together

CLAIM = """
from pathlib import Path
from slipcore.control.places import claim

held = []

def act(directory):
    while held:
        held.pop().close()
    listening, path = claim(Path(directory), "shop")
    held.append(listening)
    return path.name
"""


def test_apps_that_start_together_have_a_socket_each(tmp_path: Path) -> None:
    """In a new directory, and in one with the sockets of those that were killed."""
    names = sorted(["shop.sock", *(f"shop.{n}.sock" for n in range(2, NUMBER + 1))])
    with Together(CLAIM) as claimed:
        for number in range(ROUNDS):
            assert sorted(claimed(tmp_path / str(number // 2))) == names


def test_an_app_that_ends_leaves_the_socket_of_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its name that starts just then has its place, and can be reached there."""
    app = App("shop", config=Config(tmp_path))
    app.handle(app.topic("orders", backend="memory"))(print)
    app.observe()
    start, held = asyncio.start_unix_server, list[socket.socket]()

    async def start_server(*args: Any, **kwargs: Any) -> asyncio.Server:
        server = await start(*args, **kwargs)
        close = server.close

        def close_and_start_the_next() -> None:
            close()
            held.append(claim(app.scope.state_dir, "shop")[0])

        monkeypatch.setattr(server, "close", close_and_start_the_next)
        return server

    monkeypatch.setattr(asyncio, "start_unix_server", start_server)

    async def run() -> None:
        async with app:
            assert len(sockets(app.scope.state_dir)) == 1

    asyncio.run(run())
    (path,) = sockets(app.scope.state_dir)
    assert is_answered(path)
    held[0].close()
    app.close()
