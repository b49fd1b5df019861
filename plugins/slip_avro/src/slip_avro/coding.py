"""One schema's values to bytes and back, by fastavro."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from io import BytesIO
from typing import Any, Final, TypeAlias
from uuid import UUID

import fastavro
import msgspec
from fastavro import _read_py

from slip_avro.checks import compile_check
from slip_avro.scanning import compile_scan
from slip_avro.schemas import AvroSchema
from slipcore.interfaces import DecodeError, EncodeError

Write: TypeAlias = Callable[[Any, bytes], bytes]
"""The bytes of a value, behind a prefix."""

Read: TypeAlias = Callable[[bytes, int], object]
"""The value of the bytes from a place on."""

_KEPT: Final = (bytes, bytearray, datetime, date, time, UUID)
"""What fastavro takes as it is."""


def writer(schema: AvroSchema, kind: Any, keeps_decimals: bool, is_framed: bool) -> Write:
    """What writes a schema's values.

    Args:
        kind: the type that values have; None: they are dicts and the like.
        keeps_decimals: a Decimal of `kind` stays one; else it is a string.
        is_framed: a registry's wire format, in which a value that is bytes has no length.
    """
    if is_framed and schema.is_bytes:
        return partial(_write_bytes, schema.name)
    check, parsed, name = compile_check(schema), schema.parsed, schema.name
    scan = compile_scan(schema)
    write_value = fastavro.schemaless_writer
    kept = (*_KEPT, Decimal) if keeps_decimals else _KEPT

    def write(obj: Any, prefix: bytes) -> bytes:
        out = BytesIO()
        if prefix:
            out.write(prefix)
        try:
            if kind is not None:
                obj = msgspec.to_builtins(obj, builtin_types=kept)
            check(obj)
            write_value(out, parsed, obj, strict_allow_default=True)
            if scan is not None:  # what would not be read again must not be written
                scan(out.getvalue(), len(prefix))
        except Exception as error:  # fastavro raises whatever Python does
            raise EncodeError(f"the value is no {name}: {_reason(error)}") from error
        return out.getvalue()

    return write


def reader(written: AvroSchema, into: AvroSchema | None, kind: Any, is_framed: bool) -> Read:
    """What reads values that were written with a schema.

    Args:
        into: the schema to read them into; None: the one they were written with.
        kind: the type to convert them to; None: they stay what the schema says.
        is_framed: as for `writer`.
    """
    if is_framed and written.is_bytes:
        return lambda data, start: data[start:]
    resolved = None if into is None or into.parsed == written.parsed else into.parsed
    # fastavro's compiled reader has no limit of depth: 10 kB can crash the process.
    is_deep = written.is_recursive or (into is not None and into.is_recursive)
    read_value = (_read_py if is_deep else fastavro).schemaless_reader
    scan, parsed, name = compile_scan(written), written.parsed, written.name

    def read(data: bytes, start: int) -> object:
        source = BytesIO(data)
        if start:
            source.seek(start)
        try:
            if scan is not None:
                scan(data, start)
            # Records of a union are told apart by name, so that they can be written again.
            value = read_value(
                source, parsed, resolved, return_record_name=True, return_record_name_override=True
            )
        except Exception as error:  # fastavro raises whatever Python does
            raise DecodeError(f"the bytes are no {name} in Avro: {_reason(error)}") from error
        if source.tell() != len(data):
            raise DecodeError(
                f"the bytes are no {name} in Avro: {len(data) - source.tell()} are left over; "
                "they were written with another schema"
            )
        return value

    return read if kind is None else partial(_converted, read, kind)


def _converted(read: Read, kind: Any, data: bytes, start: int) -> object:
    value = read(data, start)
    try:
        return msgspec.convert(value, kind)
    except Exception as error:
        what = getattr(kind, "__qualname__", None) or str(kind)
        raise DecodeError(f"the value does not fit type={what}: {_reason(error)}") from error


def _write_bytes(name: str, obj: Any, prefix: bytes) -> bytes:
    if not isinstance(obj, bytes | bytearray | memoryview):
        raise EncodeError(f"the value is no {name}: it is a {type(obj).__name__}")
    return prefix + bytes(obj)


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError | IndexError):
        return "they end too soon"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(error) or type(error).__name__
