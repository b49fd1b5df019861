"""Bytes made to hurt who reads them, and a process that reads them with little memory and time."""

from __future__ import annotations

import resource
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from slip_avro.codec import AvroCodec

from slipcore import codecs as library
from slipcore.backends.codecs import JsonCodec, MsgpackCodec, TextCodec
from slipcore.interfaces import DecodeError, ICodec

MEGABYTE: Final = 1 << 20


class Node(msgspec.Struct):
    """A type whose values may be nested."""

    inner: Node | None = None


def varint(number: int) -> bytes:
    """A number as Avro writes it."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    found = bytearray()
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*found, rest))


def dolls(depth: int, filling: bytes = b"\xc0") -> bytes:
    """A tuple in a tuple in a tuple, as caches store them."""
    heads = []
    size = len(filling)
    for _ in range(depth):
        heads.append(b"\xc9" + struct.pack(">I", size + 1) + b"\x03\x91")
        size += len(heads[-1])
    return b"".join(reversed(heads)) + filling


RECURSIVE: Final = {
    "type": "record",
    "name": "N",
    "fields": [{"name": "v", "type": "long"}, {"name": "n", "type": ["null", "N"]}],
}
EMPTY: Final = {"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]}
MONEY: Final = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}


def codecs() -> dict[str, ICodec]:
    """Every codec that takes bytes from elsewhere, by what the bombs call it."""
    return {
        "text": TextCodec(),
        "json": JsonCodec(),
        "json of a type": JsonCodec(type=Node),
        "msgpack": MsgpackCodec(),
        "msgpack of a type": MsgpackCodec(type=Node),
        "library json": library.JsonCodec(),
        "exact": library.ExactCodec(),
        "typed": library.TypedCodec(Node),
        "avro long": AvroCodec("long"),
        "avro text": AvroCodec("string"),
        "avro texts": AvroCodec({"type": "array", "items": "string"}),
        "avro map": AvroCodec({"type": "map", "values": "null"}),
        "avro recursive": AvroCodec(RECURSIVE),
        "avro nulls": AvroCodec({"type": "array", "items": "null"}),
        "avro empty": AvroCodec({"type": "array", "items": EMPTY}),
        "avro lists": AvroCodec({"type": "array", "items": {"type": "array", "items": "null"}}),
        "avro money": AvroCodec(MONEY),
        "avro moneys": AvroCodec({"type": "array", "items": MONEY}),
        "avro enum": AvroCodec({"type": "enum", "name": "c", "symbols": ["red"]}),
    }


JSON: Final = {
    "lists": b"[" * MEGABYTE,
    "whole lists": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"inner":' * MEGABYTE,
    "digits": b"9" * MEGABYTE,
    "exponent": b"1e" + b"9" * MEGABYTE,
    "open text": b'"' + b"a" * MEGABYTE,
    "half a surrogate": b'"\\ud800',
    "not UTF-8": b'"\xff\xfe"',
    "nothing": b"",
}
MSGPACK: Final = {
    "lists": b"\x91" * MEGABYTE,
    "maps": b"\x81\xa5inner" * MEGABYTE,
    "long list": b"\xdd\xff\xff\xff\xff",
    "long lists": b"\xdd\xff\xff\xff\xff" * 100_000,
    "long map": b"\xdf\xff\xff\xff\xff",
    "long text": b"\xdb\xff\xff\xff\xff",
    "long bytes": b"\xc6\xff\xff\xff\xff",
    "long extension": b"\xc9\xff\xff\xff\xff\x01",
    "no such byte": b"\xc1",
    "left over": b"\xc0\xc0",
    "nothing": b"",
}
BOMBS: Final[Mapping[str, Mapping[str, bytes]]] = {
    "text": {"late": b"a" * MEGABYTE + b"\xff"},
    "json": JSON,
    "json of a type": JSON,
    "library json": {k: v for k, v in JSON.items() if k != "exponent"},  # a float has an infinity
    "msgpack": MSGPACK,
    "msgpack of a type": MSGPACK,
    "typed": MSGPACK,
    "exact": {
        **MSGPACK,
        "dolls": dolls(100_000),
        "fat dolls": dolls(500, b"\xc6\x00\xa0\x00\x00" + bytes(10 * MEGABYTE)),
        "no such type": b"\xd4\x7f\x00",
        "no list": b"\xd4\x03\xc0",
        "date": b"\xc7\x05\x08\xff\xff\xff\xff\xff",
        "span": b"\xc7\x0c\x0a" + b"\x7f\xff\xff\xff" * 3,
        "zone": b"\xc7\x18\x07\x07\xe8\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00z../../passwd",
        "decimal": b"\xc7\x04\x0b1e1e",
    },
    "avro long": {"endless": b"\xff" * MEGABYTE, "nothing": b"", "left over": b"\x00\x00"},
    "avro text": {
        "long": varint(1 << 40),
        "longest": varint((1 << 63) - 1),
        "negative": varint(-1) + b"abc",
        "not UTF-8": varint(2) + b"\xff\xff",
    },
    "avro texts": {
        "many": varint(1 << 60),
        "many by size": varint(-(1 << 60)) + varint(1),
        "long": varint(1) + varint(1 << 62),
        "open": varint(1) + varint(1) + b"a",
    },
    "avro map": {"many": varint(1 << 60), "long key": varint(1) + varint(1 << 60)},
    "avro recursive": {
        "nested": b"\x00\x02" * MEGABYTE,
        "endless": b"\xff" * MEGABYTE,
        "branch": b"\x00\x09",
        "negative branch": b"\x00\x01",
    },
    "avro nulls": {
        "many": varint(1 << 40) + b"\x00",
        "many by size": varint(-(1 << 40)) + varint(0) + b"\x00",
        "many blocks": varint(5_000) * 100_000 + b"\x00",
    },
    "avro empty": {"many": varint(1 << 40) + b"\x00"},
    "avro lists": {"many": varint(10_000) + (varint(10_000) + b"\x00") * 10_000 + b"\x00"},
    "avro money": {"long": varint(4 * MEGABYTE) + b"\x7f" * 4 * MEGABYTE},
    "avro moneys": {
        "long": varint(64) + (varint(MEGABYTE // 16) + b"\x7f" * (MEGABYTE // 16)) * 64 + b"\x00"
    },
    "avro enum": {"beyond": varint(1), "far beyond": varint(1 << 60)},
}


def blow_up(name: str) -> Iterator[dict[str, Any]]:
    """What comes of reading the bombs of one codec, how long it takes and what memory."""
    codec = codecs()[name]
    for title, data in BOMBS[name].items():
        before, began = _peak(), time.monotonic()
        try:
            outcome = f"read as {type(codec.decode(data)).__name__}"
        except DecodeError as error:
            outcome = f"DecodeError: {error}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        yield {
            "bomb": title,
            "outcome": outcome,
            "seconds": time.monotonic() - began,
            "bytes": _peak() - before,
        }


def _peak() -> int:
    """The most memory that the process has had until now, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    space = 1024 * MEGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    for found in blow_up(sys.argv[1]):
        print(msgspec.json.encode(found).decode(), flush=True)
