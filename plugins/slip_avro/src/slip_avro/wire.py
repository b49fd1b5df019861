"""How a value says which schema it was written with: before its bytes, or in a header.

A magic byte, then the id of one registry (0, four bytes) or the GUID that is the same in all of
them (1, sixteen bytes). Confluent's clients write and read the same.
"""

from __future__ import annotations

from typing import Final, TypeAlias
from uuid import UUID

from slipcore.interfaces import DecodeError, Part

SchemaRef: TypeAlias = int | UUID
"""What names a schema in a registry: an id or a GUID."""

_ID: Final = 0
_GUID: Final = 1
ID_BYTES: Final = 5
_GUID_BYTES: Final = 17


def pack_ref(ref: SchemaRef) -> bytes:
    """The bytes that stand before a value, or in a header."""
    if isinstance(ref, UUID):
        return bytes((_GUID,)) + ref.bytes
    return bytes((_ID,)) + ref.to_bytes(4, "big")


def unpack_ref(data: bytes) -> tuple[SchemaRef, int]:
    """What names the schema, and where the value begins.

    Raises:
        DecodeError: the bytes don't begin so.
    """
    magic = data[0] if data else None
    if magic == _ID and len(data) >= ID_BYTES:
        return int.from_bytes(data[1:ID_BYTES], "big"), ID_BYTES
    if magic == _GUID and len(data) >= _GUID_BYTES:
        return UUID(bytes=data[1:_GUID_BYTES]), _GUID_BYTES
    if magic in (_ID, _GUID):
        raise DecodeError(f"{len(data)} bytes end within the id of the schema")
    found = "there are no bytes" if magic is None else f"the first byte is 0x{magic:02x}"
    raise DecodeError(
        f"{found}, not the magic byte 0x00 of a registry's wire format: it was written by another "
        'codec, or by this one with wire="plain"'
    )


def header_name(part: Part) -> str:
    """The header in which the schema of a record's key or value is named."""
    return f"__{part}_schema_id"


def named_ref(header: str, data: bytes) -> SchemaRef:
    """What a header names.

    Raises:
        DecodeError: nothing.
    """
    try:
        ref, end = unpack_ref(data)
    except DecodeError as error:
        raise DecodeError(f"the header {header} names no schema: {error}") from error
    if end != len(data):
        raise DecodeError(f"the header {header} names no schema: it has {len(data)} bytes")
    return ref
