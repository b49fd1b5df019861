"""Settings of Kafka: what is taken, what is refused and why, what the client is made with."""

from __future__ import annotations

import inspect
import ssl
from pathlib import Path
from typing import Any

import aiokafka
import msgspec
import pytest
import trustme
from aiokafka.abc import AbstractTokenProvider
from cryptography.hazmat.primitives import serialization as form
from slip_kafka.settings import (
    KafkaCheckpointOptions,
    KafkaTopicOptions,
    client_arguments,
    consumer_arguments,
    membership_settings,
    producer_arguments,
)

from slipcore.choice import choose
from slipcore.config import Config
from slipcore.interfaces import ConfigError, Secret, TopicOptions
from slipcore.plugins import Plugins

SIGNED: dict[str, Any] = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_plain_username": "me",
    "sasl_plain_password": Secret("hush"),
}


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # the client has no types
    """Gives one token."""

    async def token(self) -> str:
        return "token"


def options(**settings: Any) -> KafkaTopicOptions:
    return KafkaTopicOptions(**{"bootstrap_servers": "localhost:9092", **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {"bootstrap_servers": "localhost:29091", "group_id": "demo"},
        {"auto_offset_reset": "earliest", "group_instance_id": "demo", "group_id": "demo"},
        {**SIGNED, "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"},
        {**SIGNED, "sasl_mechanism": "SCRAM-SHA-512"},
        {"bootstrap_servers": ["a:1", "[::1]:2", "c"]},
        {"acks": -1, "enable_idempotence": True},
        {"acks": 1},
        {"acks": "0", "enable_idempotence": False},
        {"enable_auto_commit": False},
        {"partition_assignment_strategy": ["roundrobin"]},
    ],
)
def test_settings_that_are_taken(settings: dict[str, Any]) -> None:
    """Settings under aiokafka's names are taken."""
    options(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bootstrap_servers": " , "}, "bootstrap_servers is .* not empty"),
        ({"bootstrap_servers": "localhost:http"}, 'not "localhost:http"'),
        ({"security_protocol": "TLS"}, "security_protocol is one of PLAINTEXT, SSL, "),
        ({**SIGNED, "sasl_mechanism": "NTLM"}, "sasl_mechanism is one of PLAIN, "),
        ({**SIGNED, "security_protocol": "SSL"}, "set it to SASL_PLAINTEXT or SASL_SSL"),
        ({"ssl_cafile": "ca.pem"}, "ssl_cafile is given, .* set it to SSL or SASL_SSL"),
        ({"security_protocol": "SASL_SSL"}, "PLAIN needs sasl_plain_username and"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "AbstractTokenProv"),
        ({"security_protocol": "SSL", "ssl_keyfile": "k"}, "set ssl_certfile too"),
        ({"connect_timeout": 0.0}, "connect_timeout is more than 0, not 0.0"),
        ({"auto_offset_reset": "none"}, 'auto_offset_reset is "earliest" or "latest"'),
        ({"heartbeat_interval_ms": 45_000}, "heartbeat_interval_ms .* less than"),
        ({"isolation_level": "all"}, "isolation_level is one of"),
        ({"partition_assignment_strategy": "sticky"}, "is one of range, roundrobin"),
        ({"partition_assignment_strategy": ["range", "roundrobin"]}, "2 are given"),
        ({"acks": 2}, 'acks is "all", 1 or 0, not 2'),
        ({"acks": 1, "enable_idempotence": True}, "enable_idempotence needs acks"),
        ({"compression_type": "brotli"}, "compression_type is one of gzip, snappy, lz4, zstd"),
        ({"linger_ms": -1}, "linger_ms is at least 0, not -1"),
        ({"max_batch_size": 2_000_000}, "max_batch_size .* no more than max_request_size"),
        ({"partitions": 0}, "partitions is at least 1, not 0"),
        ({"replication_factor": 0}, "replication_factor is at least 1"),
        ({"enable_auto_commit": True}, "enable_auto_commit would commit what is not finished"),
        ({"value_serializer": str}, "value_serializer can't be set here: .* codec="),
        ({"max_poll_interval_ms": 1}, "max_poll_interval_ms .* however long a handler takes"),
        ({"max_poll_records": 1}, "max_poll_records can't be set here"),
        ({"consumer_timeout_ms": 1}, "consumer_timeout_ms can't be set here"),
        ({"transactional_id": "t"}, "transactional_id can't be set here"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], said: str) -> None:
    """A setting that is wrong, or would break what is promised, is named, with the right one."""
    with pytest.raises(ValueError, match=said):
        options(**settings)


def test_kerberos_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """GSSAPI without its package is refused with the command that installs it."""
    monkeypatch.setattr("slip_kafka.settings.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install aiokafka\[gssapi\]"):
        options(security_protocol="SASL_SSL", sasl_mechanism="GSSAPI")


def test_what_all_topics_have() -> None:
    """Every setting that each topic backend understands is understood, with its default."""
    known = {field.name: field.default for field in msgspec.structs.fields(KafkaTopicOptions)}
    for field in msgspec.structs.fields(TopicOptions):
        assert known[field.name] == field.default


def test_no_secret_is_shown() -> None:
    """Passwords are in no representation of the settings."""
    shown = repr(options(**SIGNED)) + repr(
        options(security_protocol="SSL", ssl_certfile="c", ssl_password=Secret("hush"))
    )
    assert "hush" not in shown


def test_a_reader_commits_nothing_by_itself() -> None:
    """The consumer neither commits, nor resets a position, nor leaves while a handler works."""
    arguments = consumer_arguments(options())
    assert arguments["enable_auto_commit"] is False
    assert arguments["auto_offset_reset"] == "none"
    assert arguments["max_poll_interval_ms"] == 2**31 - 1
    assert arguments["isolation_level"] == "read_committed"
    assert arguments["session_timeout_ms"] == 45_000
    assert arguments["rebalance_timeout_ms"] == 60_000
    assert len(arguments["partition_assignment_strategy"]) == 1


@pytest.mark.parametrize(
    ("settings", "acks", "idempotent"),
    [
        ({}, "all", True),
        ({"acks": "-1"}, "all", True),
        ({"enable_idempotence": False}, "all", False),
        ({"acks": 1}, 1, False),
        ({"acks": "0"}, 0, False),
    ],
)
def test_a_writer_is_idempotent_where_it_can_be(
    settings: dict[str, Any], acks: int | str, idempotent: bool
) -> None:
    """All replicas acknowledge, and no batch is written twice, unless less is asked for."""
    arguments = producer_arguments(options(**settings))
    assert (arguments["acks"], arguments["enable_idempotence"]) == (acks, idempotent)


def test_the_client_takes_what_it_is_given() -> None:
    """aiokafka has all the arguments, for reading and for writing."""
    signed = options(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER",
                     sasl_oauth_token_provider=Tokens(), compression_type="zstd")  # fmt: skip
    for made, arguments in (
        (aiokafka.AIOKafkaConsumer, consumer_arguments(signed)),
        (aiokafka.AIOKafkaProducer, producer_arguments(signed)),
    ):
        assert arguments.keys() <= inspect.signature(made).parameters.keys()


def test_a_context_of_ones_own() -> None:
    """An SSL context from code is used as it is."""
    context = ssl.create_default_context()
    arguments = client_arguments(options(security_protocol="SSL", ssl_context=context))
    assert arguments["ssl_context"] is context


def test_host_names_are_checked_unless_told_otherwise() -> None:
    """`ssl_check_hostname` alone decides it, and certificates are checked all the same."""
    for checked in (True, False):
        made = client_arguments(options(security_protocol="SSL", ssl_check_hostname=checked))
        assert made["ssl_context"].check_hostname is checked
        assert made["ssl_context"].verify_mode is ssl.CERT_REQUIRED


def test_files_that_can_not_be_used(tmp_path: Path) -> None:
    """A file that is missing, or no certificate, is named with its setting."""
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for settings, said in (
        ({"ssl_cafile": "/nowhere.pem"}, "ssl_cafile /nowhere.pem can't be used: No such file"),
        ({"ssl_cafile": str(rubbish)}, "ssl_cafile .*rubbish.pem can't be used"),
        ({"ssl_certfile": str(rubbish)}, "ssl_certfile .*rubbish.pem can't be used"),
        ({"ssl_certfile": str(rubbish), "ssl_keyfile": "/no"}, "ssl_keyfile /no can't be used"),
    ):
        with pytest.raises(ConfigError, match=said):
            client_arguments(options(security_protocol="SSL", **settings))


def test_a_key_with_a_password(tmp_path: Path) -> None:
    """The key's password is used; without it there is an error, and no question."""
    issued = trustme.CA().issue_cert("client")
    key = form.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    locked = form.BestAvailableEncryption(b"hush")
    (tmp_path / "key").write_bytes(
        key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked)
    )
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    files = {"ssl_certfile": str(tmp_path / "cert"), "ssl_keyfile": str(tmp_path / "key")}
    client_arguments(options(security_protocol="SSL", ssl_password=Secret("hush"), **files))
    for wrong in (None, Secret("wrong")):
        with pytest.raises(ConfigError, match="ssl_keyfile .* its password"):
            client_arguments(options(security_protocol="SSL", ssl_password=wrong, **files))


def test_what_one_member_may_read() -> None:
    """Topics that are reached and read alike have one member, however they are written."""
    plain = membership_settings(options())
    assert membership_settings(options(partitions=3, acks=1, linger_ms=9)) == plain
    assert membership_settings(options(auto_offset_reset="latest")) == plain
    for other in (
        {"bootstrap_servers": "elsewhere:9092"},
        {"session_timeout_ms": 6000},
        {"isolation_level": "read_uncommitted"},
        {"group_instance_id": "me"},
        SIGNED,
    ):
        assert membership_settings(options(**other)) != plain


def test_checkpoints_are_reached_as_topics_are() -> None:
    """What says how a cluster is reached is the same for both."""
    written = KafkaCheckpointOptions(bootstrap_servers="a:1", **SIGNED).of_topic()
    assert written.sasl_plain_password == Secret("hush")
    assert written.idempotent


def test_settings_in_slip_toml(tmp_path: Path) -> None:
    """Kafka's settings work from the file, and what is missing or misspelled is said."""

    def chosen(text: str) -> KafkaTopicOptions:
        (tmp_path / "slip.toml").write_text(text)
        plugins = Plugins()
        found: KafkaTopicOptions = choose(
            "topic", "t", plugins=plugins, config=Config.load(tmp_path, {})
        ).options()
        return found

    assert chosen('[topics.t]\nbootstrap_servers = "a:1, b:2"').addresses == ["a:1", "b:2"]
    with pytest.raises(ConfigError, match="needs the setting 'bootstrap_servers'"):
        chosen('[topics.t]\nbackend = "kafka"')
    with pytest.raises(ConfigError, match="Did you mean 'bootstrap_servers'"):
        chosen('[topics.t]\nbackend = "kafka"\n"bootstrap.servers" = "x:1"')
