"""What this distribution registers with slipcore. It imports no client library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipcore import hookimpl

if TYPE_CHECKING:
    from slipcore.hookspecs import Register


@hookimpl
def register_codecs(register: Register) -> None:
    register(
        "avro",
        "slip_avro.codec:make_codec",
        options="slip_avro.options:AvroOptions",
        summary="Avro, with schemas from files, types or a registry",
    )
