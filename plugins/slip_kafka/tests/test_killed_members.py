"""Members that were killed: the group knows them until their session is over."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from slip_kafka import membership

from slipcore.interfaces import Out
from slipcore.testing import MakeTopic, Reader
from slipcore.testing.reader import send
from tests.servers.kafka import Kafka

from .conftest import QUICK
from .plain import run

MEMBER = """
import asyncio, sys
from slipcore import App

address, name, group = sys.argv[1:4]
topic = App("killed").topic(
    name, {"bootstrap_servers": address, "group_id": group, **eval(sys.argv[4])}, backend="kafka"
)

async def read():
    async for record in topic:
        print("reads", flush=True)

asyncio.run(read())
"""


def kill_one_that_reads(kafka: Kafka, name: str, group: str) -> None:
    command = [sys.executable, "-c", MEMBER, kafka.address, name, group, repr(QUICK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as member:
        assert member.stdout is not None
        assert member.stdout.readline() == "reads\n"
        member.kill()


def test_a_member_waits_as_long_as_the_group_counts_a_killed_one(
    make_topic: MakeTopic,
    kafka: Kafka,
    name: str,
    group: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Longer than a request may take: it says why it waits, and then gets what there is."""
    monkeypatch.setattr(membership, "REQUEST_SECONDS", 3.0)
    monkeypatch.setattr(membership, "SAY_SECONDS", 1.0)

    async def send_one() -> None:
        async with make_topic(name, group, 1) as topic:
            await send(topic, Out(b"v"))

    async def scenario() -> None:
        began = time.monotonic()
        topic = make_topic(name, group, 1, request_timeout_ms=2000)
        async with Reader(topic, patience=20.0) as reader:
            assert await reader.values(1) == [b"v"]
        assert time.monotonic() - began > 3.0

    run(send_one())
    kill_one_that_reads(kafka, name, group)
    run(scenario())
    assert "has not let this member in yet" in caplog.text
    assert "has let this member in." in caplog.text
    assert "session_timeout_ms is over (6 s here)" in caplog.text
    assert "RequestTimedOut" not in caplog.text  # a member that never comes would be left behind
