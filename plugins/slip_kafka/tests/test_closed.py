"""What uvloop says of a connection that the broker has closed is no reason to end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError
from slip_kafka.clients import know_what_uvloop_says


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

    async def send(*request: object) -> None:
        raise RuntimeError(said)

    client = SimpleNamespace(send=send)
    know_what_uvloop_says(client)
    with pytest.raises(raised, match=said[-20:]) as caught:
        asyncio.run(client.send(1, "request"))
    assert type(caught.value) is raised
