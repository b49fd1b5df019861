"""What uvloop says of a connection that the broker has closed is no reason to end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from slip_kafka.clients import mend

from tests.servers.kafka import Kafka


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        (
            "unable to perform operation on <TCPTransport>; the handler is closed",
            KafkaConnectionError,
        ),
        ("dictionary changed size during iteration", RuntimeError),
    ],
)
def test_a_closed_connection_is_tried_again(said: str, raised: type[Exception]) -> None:
    """It is a connection error, which clients get over; no other RuntimeError is."""
    connection = Connection(said)

    async def find(node: int) -> Connection:
        return connection

    async def ask_twice() -> None:
        client = SimpleNamespace(_get_conn=find)
        mend(client)
        for _ in range(2):
            found = await client._get_conn(1)
            with pytest.raises(raised, match=said[-20:]) as caught:
                found.send("request")
            assert type(caught.value) is raised

    asyncio.run(ask_twice())
    assert connection.closed == (2 if raised is KafkaConnectionError else 0)


class Connection:
    """One that uvloop has something to say about."""

    def __init__(self, said: str) -> None:
        self.said = said
        self.closed = 0
        self._request_timeout = 40.0

    def send(self, request: object) -> None:
        raise RuntimeError(self.said)

    def close(self, reason: object) -> None:
        self.closed += 1


def test_metadata_are_asked_for_again_where_uvloop_has_closed_the_connection(kafka: Kafka) -> None:
    """The task that asks for them would end, and who waits for them would wait for ever."""

    async def ask() -> None:
        async with AIOKafkaConsumer(bootstrap_servers=kafka.address) as consumer:
            client = consumer._client
            mend(client)
            node = client.get_random_node()
            connection = await client._get_conn(node)
            connection._writer.write = uvloop_says
            await asyncio.wait_for(client.force_metadata_update(), 10)
            assert await asyncio.wait_for(client.force_metadata_update(), 10)

    asyncio.run(ask())


def uvloop_says(data: bytes) -> None:
    raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")
