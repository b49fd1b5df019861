"""What uvloop says of a connection that the server has closed is no reason to end."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from slip_redis.client import Client
from slip_redis.settings import RedisTopicOptions


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        (
            "unable to perform operation on <TCPTransport>; the handler is closed",
            RedisConnectionError,
        ),
        ("dictionary changed size during iteration", RuntimeError),
    ],
)
def test_a_closed_connection_is_tried_again(
    said: str, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a connection error, which clients get over; no other RuntimeError is."""

    async def scenario() -> None:
        client = Client(RedisTopicOptions().server())

        async def execute(*words: object) -> None:
            raise RuntimeError(said)

        monkeypatch.setattr(client._redis, "execute_command", execute)
        with pytest.raises(raised, match=said[-20:]) as caught:
            await client.execute("PING")
        assert type(caught.value) is raised
        await client.close()

    asyncio.run(scenario())
