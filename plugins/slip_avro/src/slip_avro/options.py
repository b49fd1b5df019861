"""The settings of the codec `avro`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from slipcore.interfaces import Secret

Wire: TypeAlias = Literal["confluent", "header", "plain"]
"""Where the id of the schema stands: before the value, in a header, or nowhere."""


class AvroOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `[codecs.avro]`, or a codec whose backend is avro, may be set to.

    Attributes:
        schema: what is written: a file, JSON text or a table.
        reader_schema: what is read into; None: `schema`, else what the writer had.
        registry: the URL of a schema registry.
        username: with `password`, for a registry that asks who is there.
        token: a bearer token, instead of both.
        ca_file: certificates to trust, for a registry with TLS.
        timeout: seconds to go on trying to reach the registry.
        subject: the name in the registry; None: "<topic>-value" or "<topic>-key".
        register: register `schema` at the start, if it is not there.
        check_compatibility: refuse to start with a schema that the latest can't follow.
        wire: None: "confluent" with a registry, else "plain".
    """

    schema: str | dict[str, Any] | list[Any] | None = None
    reader_schema: str | dict[str, Any] | list[Any] | None = None
    registry: str | None = None
    username: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    ca_file: Path | None = None
    timeout: float = 20.0
    subject: str | None = None
    register: bool = False
    check_compatibility: bool = False
    wire: Wire | None = None

    def __post_init__(self) -> None:
        of_registry = ("username", "password", "token", "ca_file", "subject")
        useless = [name for name in of_registry if getattr(self, name) is not None]
        if self.registry is None and useless:
            raise ValueError(f"{useless[0]} is for a registry: set registry to its URL")
