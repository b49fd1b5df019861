"""Asking whether a Redis answers, without making anything on it."""

from __future__ import annotations

from collections.abc import Collection

from redis.exceptions import NoPermissionError

from slip_redis.client import Client, unreachable
from slip_redis.errors import FAILURES
from slip_redis.layout import Keys
from slip_redis.settings import ServerSettings
from slipcore.interfaces import Probed


async def probe(settings: ServerSettings, topics: Collection[str], timeout: float) -> Probed:
    """Sign on, ask for the version, and look for topics.

    Raises:
        ConnectError: it can't be used.
    """
    client = Client(settings)
    try:
        version = await client.persist(lambda: _version(client), timeout)
        absent = [name for name in sorted(topics) if not await _has(client, name)]
    except FAILURES as error:
        raise unreachable(client.target, "work", error) from error
    finally:
        await client.close()
    return Probed(
        f"Redis {version or ''}".rstrip() + f" at {client.address}",
        version,
        tuple(f"the topic {name} is not there yet; it is made at the start" for name in absent),
    )


async def _version(client: Client) -> str | None:
    try:
        answer = await client.execute("INFO", "server")
    except NoPermissionError:  # a user without it may still do all that a resource does
        await client.execute("PING")
        return None
    if not isinstance(answer, dict):
        return None
    version = answer.get("redis_version")
    if version is None:  # a cluster answers for each node
        nodes = [node for node in answer.values() if isinstance(node, dict)]
        version = nodes[0].get("redis_version") if nodes else None
    return None if version is None else str(version)


async def _has(client: Client, topic: str) -> bool:
    return bool(await client.execute("EXISTS", Keys(topic).topic))
