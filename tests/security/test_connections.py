"""A server that is not who it says is refused at once, in one sentence."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from slipcore import App, Cache
from slipcore.config import Config
from slipcore.interfaces import ConnectError
from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis

from .certificates import BadlyCertifiedKafka, expired, of_a_stranger

PASSWORD = "tell-n0body"
SIGNED_ON: dict[str, Any] = {
    "sasl_plain_username": Kafka.user,
    "sasl_plain_password": Kafka.password,
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app of a directory of its own."""
    made = App("shop", config=Config.load(tmp_path, {}))
    yield made
    made.close()


def run(app: App, conf: dict[str, Any], codec: str = "text") -> None:
    """Run a handler on a topic for one record."""
    topic = app.topic(unique("secure"), conf, codec=codec)

    @app.handle(topic)
    def take(value: object) -> None:
        app.stop()

    async def scenario() -> None:
        async with asyncio.timeout(30):
            async with topic.make() as sink:
                await sink("k", "v")
            await app.stream()

    asyncio.run(scenario())


def refused(app: App, conf: dict[str, Any], backend: str = "kafka") -> str:
    """The sentence with which a run is over long before `connect_timeout`."""
    began = time.monotonic()
    topic = app.topic(unique("secure"), conf, backend=backend)
    app.handle(topic)(print)
    with pytest.raises(ConnectError) as raised:
        asyncio.run(app.stream())
    assert time.monotonic() - began < 15.0
    assert "\n" not in str(raised.value)
    return str(raised.value)


def cache_of(directory: Path, settings: dict[str, str]) -> Cache:
    """A cache on Redis, as an app of its own has it."""
    environ = {f"SLIP_CACHES__KEPT__{key}": value for key, value in settings.items()}
    environ["SLIP_CACHES__KEPT__BACKEND"] = "redis"
    return App("keeper", config=Config.load(directory, environ)).cache("kept")


@pytest.fixture(scope="module")
def badly_certified() -> Iterator[Kafka]:
    """A real broker with bad certificates."""
    with BadlyCertifiedKafka() as broker:
        yield broker


@pytest.mark.servers("kafka")
@pytest.mark.parametrize(
    ("listener", "settings", "reason"),
    [
        ("ssl_address", {"security_protocol": "SSL"}, "IP address mismatch, certificate is not v"),
        (
            "sasl_ssl_address",
            {"security_protocol": "SASL_SSL", **SIGNED_ON},
            "certificate has expired",
        ),
        (
            "sasl_ssl_address",
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-256", **SIGNED_ON},
            "certificate has expired",
        ),
    ],
    ids=["of another machine", "expired", "expired, with scram"],
)
def test_a_broker_with_a_bad_certificate(
    app: App, badly_certified: Kafka, listener: str, settings: dict[str, Any], reason: str
) -> None:
    """It is not signed on to: a run is over at once, and says what is wrong."""
    address = getattr(badly_certified, listener)
    settings = {"bootstrap_servers": address, "ssl_cafile": badly_certified.ca_file, **settings}
    sentence = refused(app, settings)
    assert sentence.startswith(f"Kafka at {address} can't be used: its certificate is not trusted")
    assert reason in sentence
    assert Kafka.password not in sentence


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_signing_on_in_tls_by_either_mechanism(
    app: App, secure_kafka: Kafka, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Records flow over it; and the log has no password, whatever its level."""
    caplog.set_level(logging.DEBUG)
    run(
        app,
        {
            "bootstrap_servers": secure_kafka.sasl_ssl_address,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": mechanism,
            "ssl_cafile": secure_kafka.ca_file,
            **SIGNED_ON,
        },
    )
    assert "aiokafka" in {record.name.partition(".")[0] for record in caplog.records}
    assert Kafka.password not in caplog.text


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_wrong_password_is_not_logged(
    app: App, secure_kafka: Kafka, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the sentence nor the log of a client that was refused has it."""
    caplog.set_level(logging.DEBUG)
    sentence = refused(
        app,
        {
            "bootstrap_servers": secure_kafka.sasl_address,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_plain_username": Kafka.user,
            "sasl_plain_password": PASSWORD,
        },
    )
    assert f'it refuses the credentials of "{Kafka.user}"' in sentence
    assert PASSWORD not in sentence
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("issue", "reason"),
    [(of_a_stranger, "certificate is not valid for"), (expired, "certificate has expired")],
    ids=["of another machine", "expired"],
)
def test_a_redis_with_a_bad_certificate(
    app: App,
    redis: Redis,
    tmp_path: Path,
    issue: Callable[[trustme.CA], trustme.LeafCert],
    reason: str,
) -> None:
    """Neither a topic nor state is had there, and its password is not sent."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issue(authority).configure_cert(context)
    with Proxy(redis.address, tls=context) as proxy:
        settings = {
            "url": f"rediss://:{PASSWORD}@{proxy.address}/0",
            "ssl_ca_certs": str(tmp_path / "ca.pem"),
        }
        sentence = refused(app, settings, "redis")
        assert f"on Redis at {proxy.address}: its certificate is not trusted" in sentence
        assert reason in sentence
        assert PASSWORD not in sentence
        began = time.monotonic()
        with pytest.raises(ConnectError, match=reason):
            cache_of(tmp_path, settings).get("k")
        assert time.monotonic() - began < 15.0
