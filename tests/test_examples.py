"""Examples run as programs, as they are documented: on their backends, and by the clock.

Those that show what slipcore does, wherever they run, are in `test_examples_in_memory.py`.
"""

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis as redis_client
from aiokafka.admin import AIOKafkaAdminClient

from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

EXAMPLES = Path(__file__).parent.parent / "examples"
DEADLINE = 30
"""Seconds that any of them may take, on a busy machine."""


Environment = dict[str, str]
"""Settings by which an example is led away from its embedded backends."""


def environment(settings: Environment | None = None) -> dict[str, str]:
    """With these settings and no others."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLIP_")}
    return kept | {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"} | (settings or {})


KAFKA = pytest.param("kafka", marks=pytest.mark.servers("kafka"))
REDIS = pytest.param("redis", marks=pytest.mark.servers("redis"))


@pytest.fixture(params=["sqlite", "rocks", REDIS])
def caches(request: pytest.FixtureRequest) -> Environment:
    """Settings that put caches on a backend."""
    return on_backend(request, "CACHE")


@pytest.fixture(params=["sqlite", KAFKA, REDIS])
def topics(request: pytest.FixtureRequest) -> Environment:
    """Settings that put topics on a backend; the broker has none of the examples' topics."""
    return on_backend(request, "TOPIC")


def on_backend(request: pytest.FixtureRequest, kind: str) -> Environment:
    backend: str = request.param
    settings = {f"SLIP_DEFAULTS__{kind}": backend}
    if backend == "redis":
        settings["SLIP_BACKENDS__REDIS__URL"] = request.getfixturevalue("empty_redis").url
    if backend == "kafka":
        broker = request.getfixturevalue("kafka_without_topics")
        settings["SLIP_BACKENDS__KAFKA__BOOTSTRAP_SERVERS"] = broker.address
    return settings


@pytest.fixture
def kafka_without_topics(kafka: Kafka) -> Kafka:
    """A broker that has no topic of an example."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
        await admin.start()
        try:
            topics = {"activity", "emoji", "prizes"} & set(await admin.list_topics())
            await admin.delete_topics(sorted(topics))
            while topics & set(await admin.list_topics()):
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    asyncio.run(delete())
    return kafka


@pytest.fixture(scope="module")
def redis_of_examples() -> Iterator[Redis]:
    """A server for programs whose keys are not those of the tests alone."""
    with Redis() as server:
        yield server


@pytest.fixture
def empty_redis(redis_of_examples: Redis) -> Redis:
    """A server without keys."""
    with redis_client.Redis.from_url(redis_of_examples.url) as client:
        client.flushall()
    return redis_of_examples


def run(name: str, cwd: Path, *args: str, settings: Environment | None = None) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *args],
        check=False,
        cwd=cwd,
        env=environment(settings),
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_timer(tmp_path: Path) -> None:
    """A time a second, each later than the one before."""
    lines = run("timer.py", tmp_path)
    assert len(set(lines)) == 3
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", line) for line in lines)


def test_cache(tmp_path: Path, caches: Environment) -> None:
    """Keys come in order, and the second run finds what the first has left."""
    for _ in range(2):
        assert run("cache.py", tmp_path, settings=caches) == ["phone 📞", "prize 🏆", "🐟"]


def test_sliding_window(tmp_path: Path, caches: Environment) -> None:
    """Each event's window, and the same in a second run."""
    expected = [
        "Sliding window ending at 0.0: {'🏆': 1}",
        "Sliding window ending at 0.5: {'🏆': 1, '📞': 1}",
        "Sliding window ending at 1.0: {'🏆': 1, '📞': 1, '🐟': 1}",
        "Sliding window ending at 2.0: {'🏆': 1, '📞': 1, '🐟': 1, '👌': 1}",
        "Sliding window ending at 3.5: {'📞': 1, '🐟': 1, '👌': 1, '🏆': 1}",
        "Sliding window ending at 4.0: {'🐟': 1, '👌': 1, '🏆': 1, '📞': 1}",
        "Sliding window ending at 5.0: {'👌': 1, '🏆': 1, '📞': 1, '🐟': 1}",
        "Sliding window ending at 5.5: {'🏆': 1, '📞': 1, '🐟': 1, '👌': 1}",
    ]
    for _ in range(2):
        assert run("sliding_window.py", tmp_path, settings=caches) == expected


def test_joins(tmp_path: Path, caches: Environment) -> None:
    """Each activity meets the weather of its hour."""
    assert run("joins.py", tmp_path, settings=caches) == [
        "The weather during swimming was 🌞",
        "The weather during walking home was ⛅",
        "The weather during shopping was 🌦️",
        "The weather during lunch was 🌧",
    ]


SYNCHRONIZATION = [
    "The weather during swimming was 🌞",
    "\tKilling weather stream on purpose",
    "The weather during walking home was ⛅",
    "\tThe stream is automatically paused.",
    "\tDowntime detected: 1:30:00, (could cause faulty enrichment)",
    "The weather during shopping was ⛅",
    "\tRecovering the weather stream",
    "\tDowntime resolved, going back to offset {'0': 2} for reprocessing.",
    "The weather during shopping was 🌦️",
    "The weather during lunch was 🌧",
]


def test_synchronization(tmp_path: Path, topics: Environment) -> None:
    """The downtime is found, the stream paused, and the faulty enrichment corrected."""
    lines = run("synchronization.py", tmp_path, settings=topics)
    if topics["SLIP_DEFAULTS__TOPIC"] == "redis":  # offsets are made of times there
        lines[7] = re.sub(r"'0': \d{15,}", "'0': 2", lines[7])
    assert lines == SYNCHRONIZATION


def test_synchronization_with_caches(tmp_path: Path, caches: Environment) -> None:
    """It prints the same wherever its caches are."""
    assert run("synchronization.py", tmp_path, settings=caches) == SYNCHRONIZATION


def test_custom_codec(tmp_path: Path, topics: Environment) -> None:
    """What was compressed on the way in comes out as it was."""
    assert run("custom_codec.py", tmp_path, settings=topics) == ["{'msg': '🐟'}"]


@pytest.mark.parametrize("codec", [[], ["plugin"]], ids=["own", "plugin"])
def test_avro_codec(tmp_path: Path, codec: list[str], topics: Environment) -> None:
    """A codec of one's own, and that of the plugin, on any topic."""
    lines = run("avro_codec.py", tmp_path, *codec, settings=topics)
    assert lines == ["{'emoji': '🏆', 'count': 3}"]


def test_conf(tmp_path: Path) -> None:
    """What topics share, and what each has of its own."""
    assert run("conf.py", tmp_path) == [
        "{'bootstrap_servers': 'localhost:29092', 'group_id': 'default-demo'}",
        "{'bootstrap_servers': 'localhost:29091', 'group_id': 'demo', "
        "'security_protocol': 'SASL_SSL', 'sasl_mechanism': 'PLAIN', "
        "'sasl_plain_username': 'myuser', 'sasl_plain_password': 'mypass'}",
    ]


@pytest.mark.servers("redis")
def test_redis_sink(tmp_path: Path, empty_redis: Redis) -> None:
    """Each emoji is counted twice."""
    assert run("redis_sink.py", tmp_path, str(empty_redis.port)) == [
        "{'🏆': 2, '🐟': 2, '👌': 2, '📞': 2}"
    ]


@pytest.mark.parametrize(
    ("name", "lines"),
    [("topic.py", ["trophy 🏆", "fish 🐟"]), ("codec.py", ["{'msg': '🐟'}"])],
    ids=["topic", "codec"],
)
def test_kafka(tmp_path: Path, name: str, lines: list[str], kafka_without_topics: Kafka) -> None:
    """What was sent is read, in order; then the program waits for more."""
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), kafka_without_topics.address],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert program.stdout is not None
    try:
        assert [program.stdout.readline().rstrip("\n") for _ in lines] == lines
        program.send_signal(signal.SIGINT)
        assert program.wait(DEADLINE) != 0
    finally:
        program.kill()
        program.communicate()


@contextmanager
def endpoint(cwd: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "endpoint.py"), str(port)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield server, port
    finally:
        server.kill()
        server.communicate()


def listen(port: int) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """A client of the updates, as soon as the server answers."""
    deadline = time.monotonic() + DEADLINE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        try:
            connection.request("GET", "/updates")
            return connection, connection.getresponse()
        except ConnectionRefusedError:
            connection.close()
            assert time.monotonic() < deadline, "the endpoint does not answer"
            time.sleep(0.05)


def hang_up(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
    connection.close()
    response.close()


def update(response: http.client.HTTPResponse) -> str:
    return response.readline().decode().strip()


def test_endpoint(tmp_path: Path) -> None:
    """Clients come and go while it streams; SIGTERM ends it in order."""
    with endpoint(tmp_path) as (server, port):
        first, first_updates = listen(port)
        second, second_updates = listen(port)
        assert first_updates.status == 200
        assert first_updates.getheader("content-type", "").startswith("text/event-stream")
        seen = {update(first_updates), update(second_updates)}
        assert all(re.fullmatch(r"\d\d:\d\d:\d\d", one) for one in seen)
        hang_up(first, first_updates)
        seen |= {update(second_updates), update(second_updates)}
        assert len(seen) >= 3
        hang_up(second, second_updates)
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=DEADLINE)
    assert server.returncode == 0, err
    assert "Traceback" not in err
    assert re.match(r"\('time', '\d\d:\d\d:\d\d'\)\n", out)


def test_endpoint_does_not_wait_for_listeners(tmp_path: Path) -> None:
    """SIGINT ends it within its deadline though a client would listen for ever."""
    with endpoint(tmp_path) as (server, port):
        connection, updates = listen(port)
        update(updates)
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=DEADLINE)
        hang_up(connection, updates)
    assert server.returncode == 0, err
