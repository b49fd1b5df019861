"""Servers that are not as they are configured: one sentence and an exit code, and nothing hangs."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import pytest

from slipcore import App
from slipcore.config import Config
from tests.servers.kafka import Kafka
from tests.servers.process import free_ports
from tests.servers.redis import Redis

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Write: TypeAlias = Callable[..., Path]

APP = """
    from slipcore import Cache, Record, Topic, handle

    orders, counts = Topic("{name}"), Cache("counts")

    @handle(orders)
    async def count(record: Record):
        await counts.aset("n", await counts.aget("n", 0) + 1)
"""
SEEKING = """
    from slipcore.interfaces import Capability, ISource

    class Lines(ISource):
        capabilities = frozenset({Capability.SEEK})

        async def read(self, max_records):
            return ()

    @handle(Lines())
    def take(record):
        pass
"""
HOLDER = """
from slipcore import Cache
counts = Cache("counts")
counts["n"] = 1
print(1, flush=True)
input()
"""


def told(result: subprocess.CompletedProcess[str], code: int) -> str:
    """The one sentence on stderr."""
    assert "Traceback" not in result.stderr
    assert result.returncode == code, result.stderr
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("Error: "), result.stderr
    return sentence.removeprefix("Error: ")


@pytest.fixture
def name() -> str:
    return f"orders-{uuid4().hex[:8]}"


@pytest.fixture
def refused(slip: Slip, write: Write, name: str) -> Callable[[str, int], str]:
    """What `slip run` says of a slip.toml."""

    def run(settings: str, code: int) -> str:
        write("app.py", APP.format(name=name))
        write("slip.toml", settings)
        return told(slip("run", "app.py", "-q"), code)

    return run


def kafka_at(address: str, **settings: object) -> str:
    lines = "\n".join(
        f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"'
        for key, value in settings.items()
    )
    return (
        f'[defaults]\ntopic = "kafka"\n[backends.kafka]\nbootstrap_servers = "{address}"\n'
        f"connect_timeout = 2\n{lines}\n"
    )


def redis_at(url: str) -> str:
    return (
        f'[defaults]\ntopic = "redis"\ncache = "redis"\n[backends.redis]\nurl = "{url}"\n'
        "connect_timeout = 2\n"
    )


def test_a_broker_that_is_not_there(refused: Callable[[str, int], str]) -> None:
    """It is waited for as long as agreed."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    sentence = refused(kafka_at(address), 1)
    assert sentence.startswith(f"no Kafka answers at {address} within 2 s: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param('topic = "kafka"', id="Kafka topic"),
        pytest.param('topic = "redis"', id="Redis topic"),
        pytest.param('topic = "memory"\ncache = "redis"', id="Redis cache"),
        pytest.param('topic = "memory"\ncheckpoint_store = "redis"', id="Redis checkpoints"),
    ],
)
def test_a_signal_while_a_server_is_waited_for(
    start_slip: Callable[..., subprocess.Popen[str]],
    write: Write,
    name: str,
    settings: str,
    number: signal.Signals,
) -> None:
    """It ends the start at once and in order, whichever way the server is waited for."""
    port = free_ports(1)[0]
    write("app.py", APP.format(name=name), SEEKING)
    write(
        "slip.toml",
        f'[defaults]\n{settings}\n[backends.kafka]\nbootstrap_servers = "127.0.0.1:{port}"\n'
        f'[backends.redis]\nurl = "redis://127.0.0.1:{port}/0"\n',
    )
    process = start_slip("run", "app.py")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("WARNING slip_"):
            break
    began = time.monotonic()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=20)
    assert time.monotonic() - began < 15
    assert process.returncode == 0
    assert re.fullmatch(r"(WARNING slip_.*\n)*Ended in order after .*\n", stderr)


@pytest.mark.parametrize(
    ("listener", "settings", "sentence"),
    [
        (
            "sasl_address",
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": "slip",
                "sasl_plain_password": "wrong-secret",
            },
            'it refuses the credentials of "slip"',
        ),
        ("sasl_address", {}, "it asks for credentials: set security_protocol to SASL_PLAINTEXT"),
        ("ssl_address", {}, "it speaks TLS: set security_protocol to SSL"),
        ("address", {"security_protocol": "SSL"}, "it does not speak TLS: set security_protocol"),
        ("ssl_address", {"security_protocol": "SSL"}, "its certificate is not trusted"),
    ],
    ids=["password", "no credentials", "TLS there", "TLS here", "certificate"],
)
def test_a_broker_that_refuses(
    refused: Callable[[str, int], str],
    secure_kafka: Kafka,
    listener: str,
    settings: dict[str, object],
    sentence: str,
) -> None:
    """Nothing is gained by waiting: it is said at once, and no secret with it."""
    address = getattr(secure_kafka, listener)
    said = refused(kafka_at(address, **settings), 1)
    assert said.startswith(f"Kafka at {address} can't be used: {sentence}")
    assert "wrong-secret" not in said


def test_a_topic_with_too_few_partitions(
    refused: Callable[[str, int], str], kafka: Kafka, name: str, tmp_path: Path
) -> None:
    """Both numbers are told; nothing is changed."""

    async def create() -> None:
        app = App("creator", config=Config.load(cwd=tmp_path, environ={}))
        conf = {"bootstrap_servers": kafka.address, "partitions": 2}
        async with app.topic(name, conf).make():
            pass
        app.close()

    asyncio.run(create())
    sentence = refused(kafka_at(kafka.address, partitions=5), 2)
    assert name in sentence
    assert "2" in sentence
    assert "5" in sentence


def test_a_redis_that_is_not_there(refused: Callable[[str, int], str]) -> None:
    """It is waited for as long as agreed."""
    port = free_ports(1)[0]
    assert f"127.0.0.1:{port}" in refused(redis_at(f"redis://127.0.0.1:{port}/0"), 1)


def test_a_redis_that_refuses_the_password(
    refused: Callable[[str, int], str], redis: Redis
) -> None:
    """It is said at once, without the password."""
    sentence = refused(redis_at(f"redis://:wrong-secret@{redis.address}/0"), 1)
    assert "password" in sentence
    assert "wrong-secret" not in sentence


def test_tls_to_a_redis_without(refused: Callable[[str, int], str], redis: Redis) -> None:
    """What it speaks and what is asked are told apart from its not being there."""
    assert "TLS" in refused(redis_at(f"rediss://{redis.address}/0"), 1)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda d: next(d.glob("MANIFEST-*")).write_bytes(b""), id="manifest"),
        pytest.param(lambda d: (d / "CURRENT").unlink(), id="current"),
    ],
)
def test_state_that_is_damaged(
    refused: Callable[[str, int], str],
    kafka: Kafka,
    tmp_path: Path,
    damage: Callable[[Path], object],
) -> None:
    """It is set aside whole, and the run ends: nothing is counted anew in silence."""
    settings = kafka_at(kafka.address).replace("[defaults]", '[defaults]\ncache = "rocks"')
    (tmp_path / "slip.toml").write_text(settings)
    app = App("filler", config=Config.load(cwd=tmp_path, environ={}))
    with app.cache("counts") as counts:
        counts["n"] = 5
    app.close()
    damage(tmp_path / ".slip" / "rocks" / "counts")
    sentence = refused(settings, 1)
    assert "counts" in sentence
    assert not (tmp_path / ".slip" / "rocks" / "counts").exists()
    assert list((tmp_path / ".slip" / "rocks").glob("counts.corrupt*"))


def test_state_that_another_process_has(
    refused: Callable[[str, int], str], kafka: Kafka, tmp_path: Path
) -> None:
    """Its process is named."""
    settings = kafka_at(kafka.address).replace("[defaults]", '[defaults]\ncache = "rocks"')
    (tmp_path / "slip.toml").write_text(settings)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"1\n"
        assert str(holder.pid) in refused(settings, 2)
    finally:
        holder.communicate(b"\n")
