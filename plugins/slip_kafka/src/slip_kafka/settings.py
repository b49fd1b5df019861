"""The settings of topics and checkpoints on Kafka, under the names that aiokafka has for them."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec

from slipcore.interfaces import (
    ByteCount,
    ConfigError,
    Milliseconds,
    Probed,
    Scope,
    Seconds,
    Secret,
    TopicOptions,
)

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI")
COMPRESSIONS: Final = ("gzip", "snappy", "lz4", "zstd")
ISOLATION_LEVELS: Final = ("read_committed", "read_uncommitted")
STRATEGIES: Final = ("range", "roundrobin")

NO_POLL_DEADLINE_MS: Final = 2**31 - 1
"""A member stays in its group however long its handlers take; its heartbeats say that it lives."""

_OF_CODECS: Final = "bytes are decoded and encoded by the topic's codec= and key_codec="
_OF_COMMITS: Final = "positions are committed when their records are finished, by the engine"
_OF_READS: Final = "the engine reads in batches that it bounds itself"
REFUSED: Final[Mapping[str, str]] = {
    "auto_commit_interval_ms": _OF_COMMITS,
    "max_poll_records": _OF_READS,
    "consumer_timeout_ms": _OF_READS,
    "max_poll_interval_ms": "a member stays in its group however long a handler takes",
    "key_serializer": _OF_CODECS,
    "value_serializer": _OF_CODECS,
    "key_deserializer": _OF_CODECS,
    "value_deserializer": _OF_CODECS,
    "partitioner": "keys go to the partitions that Kafka's Java client chooses, and an output may "
    "name its own",
    "transactional_id": "outputs are written without transactions, each batch once",
}
"""Settings of aiokafka that would break what is promised, and what there is instead."""

_CONNECTION: Final = (
    "client_id",
    "security_protocol",
    "request_timeout_ms",
    "metadata_max_age_ms",
    "connections_max_idle_ms",
    "retry_backoff_ms",
)
_READING: Final = (
    "session_timeout_ms",
    "heartbeat_interval_ms",
    "rebalance_timeout_ms",
    "fetch_min_bytes",
    "fetch_max_wait_ms",
    "fetch_max_bytes",
    "max_partition_fetch_bytes",
    "isolation_level",
    "check_crcs",
)
_WRITING: Final = ("compression_type", "max_batch_size", "max_request_size")
_SASL: Final = (
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_oauth_token_provider",
)
_TLS: Final = ("ssl_context", "ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password")


class KafkaConnection(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How a cluster is reached, whatever for."""

    bootstrap_servers: str | list[str]
    """Where the cluster is first asked: `host:port`, several in a list or between commas."""
    client_id: str = "slipcore"
    """What the cluster's logs and quotas call this client."""
    security_protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    sasl_mechanism: str | None = None
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI; None: PLAIN, where it is SASL."""
    sasl_plain_username: str | None = None
    """Who signs on, for PLAIN and SCRAM."""
    sasl_plain_password: Secret | None = None
    """Their password."""
    sasl_oauth_token_provider: Any = None
    """An `aiokafka.abc.AbstractTokenProvider`, from code, for OAUTHBEARER."""
    ssl_context: ssl.SSLContext | None = None
    """A context of one's own, from code; it stands for all other `ssl_` settings."""
    ssl_cafile: str | None = None
    """A PEM file with the authorities to trust; None: those of the system."""
    ssl_certfile: str | None = None
    """A PEM file with this client's certificate."""
    ssl_keyfile: str | None = None
    """A PEM file with its key; None: it is in `ssl_certfile`."""
    ssl_password: Secret | None = None
    """The password of the key."""
    ssl_check_hostname: bool = True
    """Whether a broker's certificate has to name the host that was called."""
    connect_timeout: Seconds = 30.0
    """Seconds to wait for a cluster that is not there yet."""
    request_timeout_ms: Milliseconds = 40_000
    """How long the answer to one request may take."""
    metadata_max_age_ms: Milliseconds = 300_000
    """After what time a client asks again which broker has which partition."""
    connections_max_idle_ms: Milliseconds = 540_000
    """After what time a connection that is not used is closed."""
    retry_backoff_ms: Milliseconds = 100
    """How long a client waits before it tries again."""

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError('bootstrap_servers is "host:port", one or several, and not empty')
        for address in self.addresses:
            _check_address(address)
        _one_of("security_protocol", self.security_protocol, PROTOCOLS)
        _positive(self, "connect_timeout", "request_timeout_ms", "metadata_max_age_ms")
        _positive(self, "connections_max_idle_ms", "retry_backoff_ms")
        self._check_unused("SASL", _SASL, ("SASL_PLAINTEXT", "SASL_SSL"))
        self._check_unused("TLS", _TLS, ("SSL", "SASL_SSL"))
        if self.security_protocol.startswith("SASL"):
            self._check_sasl(self.sasl_mechanism or "PLAIN")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile is the key of a certificate: set ssl_certfile too")

    @property
    def addresses(self) -> list[str]:
        """Where the cluster is first asked, each as `host:port`."""
        given = self.bootstrap_servers
        parts = given.split(",") if isinstance(given, str) else given
        return [part.strip() for part in parts if part.strip()]

    def _check_unused(self, what: str, names: tuple[str, ...], protocols: tuple[str, ...]) -> None:
        given = [name for name in names if getattr(self, name) is not None]
        if given and self.security_protocol not in protocols:
            raise ValueError(
                f"{given[0]} is given, and with security_protocol {self.security_protocol} there "
                f"is no {what}: set it to {' or '.join(protocols)}"
            )

    def _check_sasl(self, mechanism: str) -> None:
        _one_of("sasl_mechanism", mechanism, MECHANISMS)
        if mechanism == "GSSAPI":
            if find_spec("gssapi") is None:
                raise ValueError(
                    "sasl_mechanism GSSAPI needs the package gssapi: pip install aiokafka[gssapi]"
                )
        elif mechanism == "OAUTHBEARER":
            from aiokafka.abc import AbstractTokenProvider

            if not isinstance(self.sasl_oauth_token_provider, AbstractTokenProvider):
                raise ValueError(
                    "sasl_mechanism OAUTHBEARER needs sasl_oauth_token_provider, an object of a "
                    "class that extends aiokafka.abc.AbstractTokenProvider: give it in code"
                )
        elif self.sasl_plain_username is None or self.sasl_plain_password is None:
            raise ValueError(
                f"sasl_mechanism {mechanism} needs sasl_plain_username and sasl_plain_password"
            )


class KafkaTopicOptions(KafkaConnection, kw_only=True, forbid_unknown_fields=True):
    """The settings of a topic on Kafka."""

    # A Struct extends one other at most, so these are declared as in TopicOptions.
    group_id: str | None = None
    """Consumer group; None: the app's name."""
    group_instance_id: str | None = None
    """Identity of this member across restarts, unique in its group; None: a new one each time."""
    auto_offset_reset: str = "earliest"
    """Where a group without a position starts: "earliest" or "latest"."""

    session_timeout_ms: Milliseconds = 45_000
    """After what time without a heartbeat a member's partitions go to others."""
    heartbeat_interval_ms: Milliseconds = 3_000
    """How often a member says that it lives; also how soon it hears that others came or went."""
    rebalance_timeout_ms: Milliseconds = 60_000
    """How long a member may take to hand its partitions over."""
    partition_assignment_strategy: str | list[str] = "range"
    """How a group shares partitions: "range" (equal numbers together) or "roundrobin"."""
    fetch_min_bytes: ByteCount = 1
    """How much a broker gathers before it answers a fetch."""
    fetch_max_wait_ms: Milliseconds = 500
    """How long it gathers at the most."""
    fetch_max_bytes: ByteCount = 52_428_800
    """How much one fetch brings at the most, from one broker."""
    max_partition_fetch_bytes: ByteCount = 1_048_576
    """How much of it one partition brings."""
    isolation_level: str = "read_committed"
    """"read_committed": aborted transactions are no data; or "read_uncommitted"."""
    check_crcs: bool = True
    """Whether the checksums of what is read are checked."""

    acks: int | str = "all"
    """How many replicas have an output before it counts as durable: "all" (-1), 1, or 0: none."""
    enable_idempotence: bool | None = None
    """Whether a repeated batch is written once; None: yes, where acks is "all"."""
    compression_type: str | None = None
    """gzip, snappy, lz4 or zstd; None: none."""
    linger_ms: Milliseconds = 5
    """How long a batch that nobody flushes waits for more."""
    max_batch_size: ByteCount = 262_144
    """How many bytes one batch has at the most, before compression."""
    max_request_size: ByteCount = 1_048_576
    """How many bytes one record may have."""
    delivery_timeout_ms: Milliseconds = 120_000
    """After what time an output that is not acknowledged has failed."""

    partitions: int | None = None
    """How many partitions the topic is created with, and needs; None: as the broker is set."""
    replication_factor: int | None = None
    """How many brokers have each partition of a topic that is created; None: as it is set there."""
    topic_config: dict[str, str | int | float | bool] = {}
    """Kafka's settings of a topic that is created, e.g. `{"retention.ms" = 3600000}`."""
    create: bool = True
    """Whether a topic that is not there is created."""

    enable_auto_commit: bool = False
    """Not to be true: positions are committed when their records are finished."""
    auto_commit_interval_ms: Any = None
    """Not to be set: positions are committed when their records are finished."""
    max_poll_records: Any = None
    """Not to be set: the engine reads in batches that it bounds itself."""
    max_poll_interval_ms: Any = None
    """Not to be set: a member stays in its group however long a handler takes."""
    consumer_timeout_ms: Any = None
    """Not to be set: the engine reads in batches that it bounds itself."""
    key_serializer: Any = None
    """Not to be set: the topic's `key_codec` encodes keys."""
    value_serializer: Any = None
    """Not to be set: the topic's `codec` encodes values."""
    key_deserializer: Any = None
    """Not to be set: the topic's `key_codec` decodes keys."""
    value_deserializer: Any = None
    """Not to be set: the topic's `codec` decodes values."""
    partitioner: Any = None
    """Not to be set: keys go where Kafka's Java client sends them."""
    transactional_id: Any = None
    """Not to be set: outputs are written without transactions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        TopicOptions(auto_offset_reset=self.auto_offset_reset)  # checks what all topics have
        self._check_refused()
        self._check_reading()
        self._check_writing()
        _check_creation(self.partitions, self.replication_factor)

    @property
    def acks_all(self) -> bool:
        """Whether an output is durable only when all replicas have it."""
        return self.acks in ("all", "-1", -1)

    @property
    def idempotent(self) -> bool:
        """Whether a batch that is sent again is written once."""
        return self.acks_all if self.enable_idempotence is None else self.enable_idempotence

    def _check_refused(self) -> None:
        if self.enable_auto_commit:
            raise ValueError(
                f"enable_auto_commit would commit what is not finished: {_OF_COMMITS}; leave it out"
            )
        for name, instead in REFUSED.items():
            if getattr(self, name) is not None:
                raise ValueError(f"{name} can't be set here: {instead}; leave it out")

    def _check_reading(self) -> None:
        _one_of("isolation_level", self.isolation_level, ISOLATION_LEVELS)
        strategy = _strategy(self)
        _one_of("partition_assignment_strategy", strategy, STRATEGIES)
        _positive(self, "session_timeout_ms", "heartbeat_interval_ms", "rebalance_timeout_ms")
        _positive(self, "fetch_min_bytes", "fetch_max_bytes", "max_partition_fetch_bytes")
        _not_negative(self, "fetch_max_wait_ms")
        if self.heartbeat_interval_ms >= self.session_timeout_ms:
            raise ValueError(
                f"heartbeat_interval_ms ({self.heartbeat_interval_ms}) is to be less than "
                f"session_timeout_ms ({self.session_timeout_ms}), a third of it or less"
            )

    def _check_writing(self) -> None:
        if not self.acks_all and self.acks not in (0, 1, "0", "1"):
            raise ValueError(f'acks is "all", 1 or 0, not {self.acks!r}')
        if self.enable_idempotence and not self.acks_all:
            raise ValueError(
                f'enable_idempotence needs acks = "all", not {self.acks}: leave one of them out'
            )
        if self.compression_type is not None:
            _one_of("compression_type", self.compression_type, COMPRESSIONS)
        _positive(self, "max_batch_size", "max_request_size", "delivery_timeout_ms")
        _not_negative(self, "linger_ms")
        if self.max_batch_size > self.max_request_size:
            raise ValueError(
                f"max_batch_size ({self.max_batch_size}) is to be no more than max_request_size "
                f"({self.max_request_size}): brokers refuse what is larger"
            )

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slip_kafka.probing import probe

        made = "it is made at the start" if self.create else "create it, or set create = true"
        return await probe(self, names, timeout, made)


class KafkaCheckpointOptions(KafkaConnection, kw_only=True, forbid_unknown_fields=True):
    """The settings of checkpoints on Kafka; a save may take `connect_timeout` too."""

    topic: str | None = None
    """The compacted topic that holds them; None: the app's name and "-checkpoints"."""
    replication_factor: int | None = None
    """How many brokers have it, if it is created; None: as it is set there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_creation(None, self.replication_factor)

    def of_topic(self) -> KafkaTopicOptions:
        """How the topic is written."""
        connection = {
            field.name: getattr(self, field.name)
            for field in msgspec.structs.fields(KafkaConnection)
        }
        patience = int(self.connect_timeout * 1000)
        return KafkaTopicOptions(**connection, linger_ms=0, delivery_timeout_ms=patience)

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slip_kafka.probing import probe

        topic = self.topic or f"{scope.app}-checkpoints"
        return await probe(self, [topic], timeout, "it is made at the first use")


def client_arguments(options: KafkaConnection) -> dict[str, Any]:
    """What every client of aiokafka is made with.

    Raises:
        ConfigError: a certificate or key can't be used.
    """
    arguments = {name: getattr(options, name) for name in _CONNECTION}
    arguments["bootstrap_servers"] = options.addresses
    if options.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = options.ssl_context or _tls(options)
    if options.security_protocol.startswith("SASL"):
        password = options.sasl_plain_password
        arguments["sasl_mechanism"] = options.sasl_mechanism or "PLAIN"
        arguments["sasl_plain_username"] = options.sasl_plain_username
        arguments["sasl_plain_password"] = None if password is None else password.reveal()
        arguments["sasl_oauth_token_provider"] = options.sasl_oauth_token_provider
    return arguments


def consumer_arguments(options: KafkaTopicOptions) -> dict[str, Any]:
    """What a member's consumer is made with, but for its group and its identity there."""
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

    known = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}
    return {
        **client_arguments(options),
        **{name: getattr(options, name) for name in _READING},
        "partition_assignment_strategy": [known[_strategy(options)]],
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "max_poll_interval_ms": NO_POLL_DEADLINE_MS,
    }


def producer_arguments(options: KafkaTopicOptions) -> dict[str, Any]:
    """What a producer is made with."""
    return {
        **client_arguments(options),
        **{name: getattr(options, name) for name in _WRITING},
        "acks": "all" if options.acks_all else int(options.acks),
        "enable_idempotence": options.idempotent,
    }


def membership_settings(options: KafkaTopicOptions) -> dict[str, Any]:
    """What topics have in common that one member of a group may read, to be compared."""
    names = (*_READING, "partition_assignment_strategy", "group_instance_id")
    connection = (field.name for field in msgspec.structs.fields(KafkaConnection))
    return {name: getattr(options, name) for name in (*connection, *names)}


def _check_creation(partitions: int | None, replication_factor: int | None) -> None:
    for name, given in (("partitions", partitions), ("replication_factor", replication_factor)):
        if given is not None and given < 1:
            raise ValueError(f"{name} is at least 1, not {given}")


def _strategy(options: KafkaTopicOptions) -> str:
    given = options.partition_assignment_strategy
    if isinstance(given, str):
        return given
    if len(given) != 1:
        raise ValueError(
            "partition_assignment_strategy is one of "
            f"{', '.join(STRATEGIES)}, and {len(given)} are given: a group that may choose takes "
            "seconds to start"
        )
    return given[0]


def _tls(options: KafkaConnection) -> ssl.SSLContext:
    authorities, certificate, key = options.ssl_cafile, options.ssl_certfile, options.ssl_keyfile
    password = "" if options.ssl_password is None else options.ssl_password.reveal()
    with _pem("ssl_cafile", authorities):
        context = ssl.create_default_context(cafile=authorities)
    context.check_hostname = options.ssl_check_hostname
    if certificate is not None:
        with _pem("ssl_certfile", certificate), _pem("ssl_keyfile", key):
            # As a function: OpenSSL asks in the terminal for a password that it is not given.
            context.load_cert_chain(certificate, key, password=lambda: password)
    return context


@contextmanager
def _pem(setting: str, path: str | None) -> Iterator[None]:
    """Say which setting names a file that can't be used."""
    try:
        if path is not None:
            Path(path).open("rb").close()
        yield
    except OSError as error:
        if path is None:
            raise
        reason = error.strerror
        if isinstance(error, ssl.SSLError):
            reason = f"{error.reason or 'it is no PEM file'}; see that it is PEM, and its password"
        raise ConfigError(f"{setting} {path} can't be used: {reason}") from error


def _check_address(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if colon and not address.endswith("]") and not (host and port.isdecimal()):
        raise ValueError(f'bootstrap_servers is "host:port", one or several, not "{address}"')


def _one_of(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ValueError(f'{name} is one of {", ".join(known)}, not "{given}"')


def _positive(options: object, *names: str) -> None:
    for name in names:
        if not getattr(options, name) > 0:
            raise ValueError(f"{name} is more than 0, not {getattr(options, name)}")


def _not_negative(options: object, *names: str) -> None:
    for name in names:
        if getattr(options, name) < 0:
            raise ValueError(f"{name} is at least 0, not {getattr(options, name)}")
