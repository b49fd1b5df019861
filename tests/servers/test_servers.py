"""The servers that other tests stand on: they answer, come back, and leave nothing behind."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.servers.kafka import Kafka
from tests.servers.process import ServerError
from tests.servers.redis import Redis, RedisCluster, RedisSentinel

starts_kafka = pytest.mark.servers("kafka")
starts_redis = pytest.mark.servers("redis")


def sign_on(kafka: Kafka, way: str) -> dict[str, Any]:
    """The arguments of a client that comes by one of the listeners."""
    login = {"sasl_plain_username": kafka.user, "sasl_plain_password": kafka.password}
    context = ssl.create_default_context(cafile=kafka.ca_file)
    sasl: dict[str, Any] = {
        "bootstrap_servers": kafka.sasl_address,
        "security_protocol": "SASL_PLAINTEXT",
        **login,
    }
    ways: dict[str, dict[str, Any]] = {
        "plain": {"bootstrap_servers": kafka.address},
        "sasl plain": {**sasl, "sasl_mechanism": "PLAIN"},
        "sasl scram": {**sasl, "sasl_mechanism": "SCRAM-SHA-256"},
        "ssl": {
            "bootstrap_servers": kafka.ssl_address,
            "security_protocol": "SSL",
            "ssl_context": context,
        },
        "sasl ssl": {
            "bootstrap_servers": kafka.sasl_ssl_address,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "ssl_context": context,
            **login,
        },
    }
    return ways[way]


async def send(topic: str, value: bytes, arguments: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(**arguments)
    try:
        await producer.start()
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def read(topic: str, number: int, arguments: dict[str, Any]) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, auto_offset_reset="earliest", **arguments)
    async with asyncio.timeout(20):
        try:
            await consumer.start()
            return [(await consumer.getone()).value for _ in range(number)]
        finally:
            await consumer.stop()


@pytest.mark.parametrize("way", ["plain", "sasl plain", "sasl scram", "ssl", "sasl ssl"])
def test_kafka_is_reached_every_way(way: str, secure_kafka: Kafka) -> None:
    """A record goes through each listener, with each way to sign on, and back."""
    topic = f"servers-{uuid4().hex}"
    arguments = sign_on(secure_kafka, way)
    asyncio.run(send(topic, b"there", arguments))
    assert asyncio.run(read(topic, 1, arguments)) == [b"there"]


@pytest.mark.parametrize("way", ["sasl plain", "sasl scram", "sasl ssl"])
def test_kafka_refuses_a_wrong_password(way: str, secure_kafka: Kafka) -> None:
    """The listeners that ask for a password look at it."""
    arguments = {**sign_on(secure_kafka, way), "sasl_plain_password": "guessed"}
    with pytest.raises(KafkaConnectionError):
        asyncio.run(send("nothing", b"", arguments))


@starts_kafka
def test_kafka_goes_on_where_it_was() -> None:
    """Killed or stopped and started again, a broker has its address and what it was given."""
    topic = f"servers-{uuid4().hex}"
    with Kafka() as broker:
        arguments = {"bootstrap_servers": broker.address}
        asyncio.run(send(topic, b"one", arguments))
        broker.kill()
        assert not broker.running
        with pytest.raises(ServerError, match=r"Kafka is not running: call start\(\) first\."):
            broker.kill()
        broker.start()
        asyncio.run(send(topic, b"two", arguments))
        broker.restart()
        assert asyncio.run(read(topic, 2, arguments)) == [b"one", b"two"]


@starts_redis
@pytest.mark.parametrize("end", [Redis.kill, Redis.stop])
def test_redis_goes_on_where_it_was(end: Any) -> None:
    """Killed or stopped and started again, a server has its address and what it was given."""
    with Redis() as server:
        address = server.address
        server.execute("SET", "name", "here")
        end(server)
        with pytest.raises(RedisConnectionError, match="refused"):
            server.execute("PING")
        server.start()
        assert server.address == address
        assert server.execute("GET", "name") == "here"
    assert not server.running


@starts_redis
def test_redis_that_keeps_nothing() -> None:
    """Without its file of commands a server forgets."""
    with Redis(appendonly=False) as server:
        server.execute("SET", "name", "here")
        server.restart()
        assert server.execute("GET", "name") is None


@starts_redis
def test_a_server_that_is_paused() -> None:
    """It hangs, does not count as gone, and answers when it goes on."""
    with Redis() as server:
        server.pause()
        with pytest.raises(RedisTimeoutError):
            server.execute("PING")
        assert server.running
        server.resume()
        assert server.execute("PING")


@starts_redis
def test_a_server_that_does_not_come_up() -> None:
    """The error has what the server said about it, and nothing is left."""
    server = Redis(settings="no-such-setting yes\n")
    with pytest.raises(ServerError, match=r"(?s)Redis ended instead of starting\..*no-such-se"):
        server.__enter__()
    with pytest.raises(ServerError, match="has not been started"):
        _ = server.directory


@starts_redis
def test_closing_removes_the_directory() -> None:
    """What a server wrote is gone when it is left."""
    with Redis() as server:
        directory = server.directory
        assert (directory / "appendonly.aof").exists() or (directory / "appendonlydir").exists()
    assert not directory.exists()


@starts_redis
def test_cluster_spreads_its_slots() -> None:
    """Each of three masters has its third, and sends on who asks for another's."""
    with RedisCluster() as cluster:
        first, _, last = cluster.nodes
        first.execute("SET", "b", "first")  # slot 3300
        last.execute("SET", "a", "last")  # slot 15495
        with pytest.raises(ResponseError, match=f"15495 {last.address}"):
            first.execute("GET", "a")
        assert last.execute("GET", "a") == "last"


@starts_redis
def test_sentinel_fails_over() -> None:
    """The replica becomes master with all it was sent, and the sentinel says so."""
    with RedisSentinel() as three:
        three.master.execute("SET", "name", "here")
        three.master.execute("WAIT", 1, 1000)
        three.master.kill()
        deadline = time.monotonic() + 20
        while three.sentinel.execute(
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", three.service
        ) != three.replica.address.split(":"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert three.replica.execute("GET", "name") == "here"
