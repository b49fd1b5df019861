"""The settings of the codec `avro`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from slipcore.interfaces import (
    Probed,
    Scope,
    Seconds,
    Secret,
)

Wire: TypeAlias = Literal["confluent", "header", "plain"]
"""Where the id of the schema stands: before the value, in a header, or nowhere."""


class AvroOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `[codecs.avro]`, or a codec whose backend is avro, may be set to."""

    schema: str | dict[str, Any] | list[Any] | None = None
    """What is written: a file, JSON text or a table."""
    reader_schema: str | dict[str, Any] | list[Any] | None = None
    """What is read into; None: `schema`, else what the writer had."""
    registry: str | None = None
    """The URL of a schema registry."""
    username: str | None = None
    """Who signs on, with `password`, at a registry that asks."""
    password: Secret | None = None
    """Of `username`."""
    token: Secret | None = None
    """A bearer token, instead of both."""
    ca_file: Path | None = None
    """Certificates to trust, for a registry with TLS."""
    timeout: Seconds = 20.0
    """Seconds to go on trying to reach the registry."""
    subject: str | None = None
    """The name in the registry; None: "<topic>-value" or "<topic>-key"."""
    register: bool = False
    """Register `schema` at the start, if it is not there."""
    check_compatibility: bool = False
    """Refuse to start with a schema that the latest can't follow."""
    wire: Wire | None = None
    """Where the schema's id stands; None: "confluent" with a registry, else "plain"."""

    def __post_init__(self) -> None:
        of_registry = ("username", "password", "token", "ca_file", "subject")
        useless = [name for name in of_registry if getattr(self, name) is not None]
        if self.registry is None and useless:
            raise ValueError(f"{useless[0]} is for a registry: set registry to its URL")

    def __repr__(self) -> str:
        """With the registry's host alone: the rest of a URL may be a password."""
        at = (self.registry or "").rpartition("@")[2].partition("?")[0]
        return f"<AvroOptions {at or 'without a registry'}>"

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slip_avro.probing import probe

        return await probe(self, timeout)
