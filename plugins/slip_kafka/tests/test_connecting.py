"""Reaching a cluster and having a topic there: what is waited for, and what is said."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import errors
from slip_kafka import reaching
from slip_kafka.connecting import open_topic, translated
from slip_kafka.settings import KafkaTopicOptions

from slipcore.interfaces import ConfigError, ConnectError, Secret, SourceError
from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka
from tests.servers.process import free_ports

from .plain import run


@pytest.fixture
def name() -> str:
    return unique("topic")


def opened(address: str, name: str, **settings: Any) -> int:
    options = KafkaTopicOptions(bootstrap_servers=address, **settings)
    return run(open_topic(name, options))


def credentials(password: str = Kafka.password) -> dict[str, Any]:
    return {"sasl_plain_username": Kafka.user, "sasl_plain_password": Secret(password)}


def test_a_topic_is_made_as_it_is_configured(
    kafka: Kafka, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic that is not there is created with its partitions, and said."""
    with caplog.at_level(logging.INFO, "slip_kafka"):
        made = opened(kafka.address, name, partitions=3, topic_config={"retention.ms": 60_000})
    assert made == 3
    assert f"Created the topic {name} with 3 partitions." in caplog.messages
    caplog.clear()
    assert opened(kafka.address, name) == 3
    assert opened(kafka.address, name, partitions=2) == 3
    assert not caplog.messages


def test_a_topic_with_too_few_partitions(kafka: Kafka, name: str) -> None:
    """The error says how many there are, how many were asked for, and how to have them."""
    opened(kafka.address, name, partitions=2)
    with pytest.raises(ConfigError) as raised:
        opened(kafka.address, name, partitions=5)
    assert f"{name} has 2 partitions, and partitions = 5 is set" in str(raised.value)
    assert f"--alter --topic {name} --partitions 5" in str(raised.value)


def test_a_topic_that_is_not_to_be_made(kafka: Kafka, name: str) -> None:
    """With `create = false` a topic that is missing stays missing, whatever the broker does."""
    for _ in range(2):
        with pytest.raises(ConnectError, match=f"there is no topic {name}: create it"):
            opened(kafka.address, name, create=False)
        time.sleep(0.5)  # a broker that makes topics as they are asked for takes its time


def test_two_may_make_one_topic(kafka: Kafka, name: str) -> None:
    """Who comes second finds it there."""

    async def scenario() -> list[int]:
        options = KafkaTopicOptions(bootstrap_servers=kafka.address, partitions=2)
        return list(await asyncio.gather(*(open_topic(name, options) for _ in range(5))))

    assert run(scenario()) == [2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("suffix", "settings", "said"),
    [
        (" not a name", {}, "this is no name for a topic"),
        ("", {"replication_factor": 7}, "can't be created: .* only 1 broker"),
        ("", {"topic_config": {"retention": 1}}, "can't be created: Unknown topic config name"),
    ],
)
def test_a_topic_that_can_not_be_made(
    suffix: str, settings: dict[str, Any], said: str, kafka: Kafka, name: str
) -> None:
    """The broker's reason is given."""
    with pytest.raises(ConnectError, match=said):
        opened(kafka.address, name + suffix, **settings)


def test_a_cluster_that_is_not_there(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, aloud, until the deadline; the client's own complaints are kept down."""
    monkeypatch.setattr(reaching, "SAY_SECONDS", 0.3)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    began = time.monotonic()
    with pytest.raises(ConnectError, match=f"no Kafka answers at {address} within 1.2 s: the conn"):
        opened(address, name, connect_timeout=1.2)
    assert 0.5 < time.monotonic() - began < 10.0
    assert 1 <= len(caplog.messages) <= 4
    assert all(address in message for message in caplog.messages)


def test_a_host_that_nobody_knows(name: str) -> None:
    """The host is named."""
    with pytest.raises(ConnectError, match=r"the host nowhere\.invalid is not known"):
        opened("nowhere.invalid:9092", name, connect_timeout=0.2)


@pytest.mark.servers("kafka")
def test_a_cluster_that_comes_up_later(name: str) -> None:
    """Who opens a topic before the cluster is there gets it as soon as it is."""
    with Kafka() as broker:
        broker.kill()
        starting = threading.Timer(1.0, broker.start)
        starting.start()
        try:
            assert opened(broker.address, name, partitions=2) == 2
        finally:
            starting.join()


@pytest.mark.servers("kafka")
def test_a_broker_that_hangs_is_not_waited_for_longer_than_agreed(name: str) -> None:
    """A broker that takes connections and answers nothing counts as one that is not there."""
    with Kafka() as broker:
        broker.pause()
        began = time.monotonic()
        with pytest.raises(ConnectError, match="there was no answer"):
            opened(broker.address, name, connect_timeout=1.0)
        assert time.monotonic() - began < 15.0


WAYS: dict[str, tuple[Callable[[Kafka], str], dict[str, Any]]] = {
    "plain": (lambda k: k.sasl_address, {"security_protocol": "SASL_PLAINTEXT"}),
    "scram": (
        lambda k: k.sasl_address,
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256"},
    ),
    "tls": (lambda k: k.ssl_address, {"security_protocol": "SSL"}),
    "plain in tls": (lambda k: k.sasl_ssl_address, {"security_protocol": "SASL_SSL"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_sign_on(way: str, secure_kafka: Kafka, name: str) -> None:
    """A topic is had over each kind of listener."""
    address, settings = WAYS[way]
    if "SASL" in settings["security_protocol"]:
        settings = {**settings, **credentials()}
    if settings["security_protocol"].endswith("SSL"):
        settings = {**settings, "ssl_cafile": secure_kafka.ca_file}
    assert opened(address(secure_kafka), name, partitions=2, **settings) == 2


SASL = {"security_protocol": "SASL_PLAINTEXT", **credentials()}
MISTAKES: dict[str, tuple[Callable[[Kafka], str], dict[str, Any], str]] = {
    "wrong password": (
        lambda k: k.sasl_address,
        {**SASL, **credentials("tell-nobody")},
        f'refuses the credentials of "{Kafka.user}"',
    ),
    "wrong password of scram": (
        lambda k: k.sasl_address,
        {**SASL, "sasl_mechanism": "SCRAM-SHA-256", **credentials("tell-nobody")},
        f'refuses the credentials of "{Kafka.user}"',
    ),
    "mechanism": (
        lambda k: k.sasl_address,
        {**SASL, "sasl_mechanism": "SCRAM-SHA-512"},
        "does not have the sasl_mechanism SCRAM-SHA-512: set it to PLAIN or SCRAM-SHA-256",
    ),
    "no credentials": (
        lambda k: k.sasl_address,
        {},
        "asks for credentials: set security_protocol to SASL_PLAINTEXT",
    ),
    "no credentials in tls": (
        lambda k: k.sasl_ssl_address,
        {"security_protocol": "SSL", "ca": True},
        "asks for credentials: set security_protocol to SASL_SSL",
    ),
    "needless credentials": (
        lambda k: k.address,
        SASL,
        "asks for no credentials: set security_protocol to PLAINTEXT",
    ),
    "needless credentials in tls": (
        lambda k: k.ssl_address,
        {**SASL, "security_protocol": "SASL_SSL", "ca": True},
        "asks for no credentials: set security_protocol to SSL",
    ),
    "tls to plain": (
        lambda k: k.address,
        {"security_protocol": "SSL"},
        "does not speak TLS: set security_protocol to PLAINTEXT",
    ),
    "tls to sasl": (
        lambda k: k.sasl_address,
        {**SASL, "security_protocol": "SASL_SSL"},
        "does not speak TLS: set security_protocol to SASL_PLAINTEXT",
    ),
    "plain to tls": (
        lambda k: k.ssl_address,
        {},
        "speaks TLS: set security_protocol to SSL",
    ),
    "sasl to tls": (
        lambda k: k.sasl_ssl_address,
        SASL,
        "speaks TLS: set security_protocol to SASL_SSL",
    ),
    "unknown authority": (
        lambda k: k.ssl_address,
        {"security_protocol": "SSL"},
        "certificate is not trusted: .* set ssl_cafile",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_said_at_once(mistake: str, secure_kafka: Kafka, name: str) -> None:
    """What no waiting would cure is named with its remedy, without waiting and without secrets."""
    address, settings, said = MISTAKES[mistake]
    settings = dict(settings)
    if settings.pop("ca", False):
        settings["ssl_cafile"] = secure_kafka.ca_file
    began = time.monotonic()
    with pytest.raises(ConnectError, match=said) as raised:
        opened(address(secure_kafka), name, connect_timeout=20.0, **settings)
    assert time.monotonic() - began < 15.0
    assert address(secure_kafka) in str(raised.value)
    assert "tell-nobody" not in str(raised.value)
    del raised
    gc.collect()  # a connection that was left open is an error now


def test_errors_of_the_client_are_translated() -> None:
    """What nobody answered is a ConnectError, else the error asked for; the cause is kept."""
    gone = errors.KafkaConnectionError("[Errno 111] Connect call failed")
    with pytest.raises(ConnectError, match="^can't read t: no broker answers; see that"):
        raise_translated(gone)
    denied = errors.TopicAuthorizationFailedError("t")
    with pytest.raises(SourceError, match="^can't read t: this user has no right") as raised:
        raise_translated(denied)
    assert raised.value.__cause__ is denied
    with pytest.raises(SourceError, match="^can't read t: POLICY_VIOLATION$"):
        raise_translated(errors.PolicyViolationError())
    for left_alone in (TimeoutError("late"), ConfigError("set it right")):
        with pytest.raises(type(left_alone), match=str(left_alone)):
            raise_translated(left_alone)


def raise_translated(error: Exception) -> None:
    with translated(SourceError, "read t"):
        raise error


def test_a_complaint_of_the_client_is_logged_once_in_a_while(
    kafka: Kafka, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client logs the same with each of its tries, ten times a second."""
    opened(kafka.address, name)
    with caplog.at_level(logging.INFO, "aiokafka"):
        for number in range(50):
            logging.getLogger("aiokafka").error("a complaint of this test to node %s", number)
            logging.getLogger("aiokafka").info("information %s", number)
    assert caplog.messages.count("a complaint of this test to node 0") == 1
    assert len(caplog.messages) == 51
