"""Certificates that a client has to refuse, and a broker that shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from tests.servers.kafka import Kafka
from tests.servers.process import HOST

STRANGER = "broker.example.org"


def expired(authority: trustme.CA) -> trustme.LeafCert:
    """One of this machine that was good until yesterday."""
    today = datetime.now(UTC)
    return authority.issue_cert(
        HOST,
        "localhost",
        not_before=today - timedelta(days=30),
        not_after=today - timedelta(days=1),
    )


def of_a_stranger(authority: trustme.CA) -> trustme.LeafCert:
    """A good one of another machine."""
    return authority.issue_cert(STRANGER)


class BadlyCertifiedKafka(Kafka):
    """A broker whose listener for TLS has the certificate of another machine.

    That of the listener for SASL in TLS has expired.
    """

    def prepare(self) -> None:
        super().prepare()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        properties = self.directory / "server.properties"
        with properties.open("a", encoding="utf-8") as file:
            for listener, certificate in (
                ("ssl", of_a_stranger(authority)),
                ("sasl_ssl", expired(authority)),
            ):
                path = self.directory / f"{listener}.pem"
                _keep(certificate, path)
                prefix = f"listener.name.{listener}.ssl.keystore"
                file.write(f"{prefix}.type=PEM\n{prefix}.location={path}\n")


def _keep(certificate: trustme.LeafCert, path: Path) -> None:
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    form = serialization.PrivateFormat.PKCS8  # Kafka reads no other
    parts = [key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())]
    parts += [each.bytes() for each in certificate.cert_chain_pems]
    path.write_bytes(b"".join(parts))
