"""`/live`, `/ready` and `/metrics` of a running app."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from slipcore.interfaces import ConfigError

if TYPE_CHECKING:
    from aiohttp import web

    from slipcore.control.attendant import Attendant

LOOPBACK: Final = "127.0.0.1"
NEEDED: Final = ("aiohttp", "prometheus_client")


@dataclass(frozen=True, slots=True)
class Address:
    """Where HTTP is served."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `PORT`, on this machine's own address, or `HOST:PORT`.

        Raises:
            ConfigError: it is neither.
        """
        match = re.fullmatch(r"(?:(\[[^\]]+\]|[^:]+):)?(\d{1,5})", text)
        if match is None or not 0 < int(match[2]) < 65536:
            raise ConfigError(
                f"--http {text}: write a port, --http 8080, or HOST:PORT, --http 0.0.0.0:8080."
            )
        return cls((match[1] or LOOPBACK).strip("[]"), int(match[2]))


def require() -> None:
    """See that what serves HTTP is installed.

    Raises:
        ConfigError: it is not.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"HTTP needs {' and '.join(missing)}: install the extra slipcore[http], from a "
            "checkout with pip install -e '.[http]'."
        )


@asynccontextmanager
async def serve_http(attendant: Attendant, address: Address) -> AsyncIterator[None]:
    """Serve while the block lasts.

    Raises:
        ConfigError: the address is taken or not this machine's.
    """
    from aiohttp import web

    from slipcore.control.metrics import CONTENT_TYPE, exposition

    async def live(request: web.Request) -> web.Response:
        health = await attendant.health()
        return _json({"live": health.live, "problems": health.problems}, health.live)

    async def ready(request: web.Request) -> web.Response:
        health = await attendant.health()
        return _json({"ready": health.ready, "problems": health.problems}, health.ready)

    async def metrics(request: web.Request) -> web.Response:
        text = exposition(await attendant.status(), attendant.monitor.hung)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes(
        [web.get("/live", live), web.get("/ready", ready), web.get("/metrics", metrics)]
    )
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise ConfigError(
                f"--http {address}: can't listen there: {error.strerror}; choose another port."
            ) from error
        yield
    finally:
        await runner.cleanup()


def _json(answer: dict[str, object], fine: bool) -> web.Response:
    from aiohttp import web

    return web.Response(
        body=msgspec.json.encode(answer),
        status=200 if fine else 503,
        content_type="application/json",
    )
