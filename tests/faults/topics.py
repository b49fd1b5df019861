"""On what the topics of a run are: how workers are told, and who looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.bare import Log
from tests.faults.bare_redis import RedisLog
from tests.faults.bare_sqlite import SqliteLog
from tests.servers.redis import Redis

SESSION: Final = 2.0
"""Seconds without a sign of life after which a member of a group on Redis is taken for dead."""
REDIS: Final[Mapping[str, Any]] = {"socket_timeout": 1.0, "session_timeout": SESSION}


@dataclass(frozen=True, slots=True)
class Topics:
    """A backend of topics.

    Attributes:
        kind: its name.
        log: the bare client.
        settings: what slip.toml says of it.
    """

    kind: str
    log: Log
    settings: Mapping[str, Any]


def on_redis(
    server: Redis, url: str | None = None, address: Callable[[], tuple[str, int]] | None = None
) -> Topics:
    """Streams of a server.

    Args:
        url: where workers reach it; by default the server's own.
        address: where it is now, if it may move.
    """

    def own() -> tuple[str, int]:
        host, _, port = server.address.rpartition(":")
        return host, int(port)

    return Topics("redis", RedisLog(address or own), {"url": url or server.url, **REDIS})


def on_sqlite(directory: Path) -> Topics:
    """Tables of the file of an app that runs in a directory."""
    return Topics(
        "sqlite", SqliteLog(directory / ".slip" / "slip.db"), {"session_timeout": SESSION}
    )
