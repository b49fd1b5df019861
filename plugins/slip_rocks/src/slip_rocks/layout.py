"""What stands where in a database: one column family, told apart by the first byte of a key.

    f                                   -> name and version of this layout, what it is kept for
    m <number u64>                      -> mark: the number of the first mark that is kept (u64)
    s <space>                           -> the space's number (u32)
    p <length u32> <reader> <partition> -> position (i64)
    v <number u32> <key>                -> value
    c <name>                            -> checkpoint

Numbers are big-endian, so that the order of bytes is the order of numbers.
"""

from __future__ import annotations

import struct
from typing import Final

FORMAT: Final = 1
"""Version of what this module describes."""

FORMAT_KEY: Final = b"f"
MARKS: Final = b"m"
SPACES: Final = b"s"
CHECKPOINTS: Final = b"c"

_MARK: Final = struct.Struct(">Q")
_SPACE: Final = struct.Struct(">cI")
_LENGTH: Final = struct.Struct(">cI")
_SIGNED: Final = struct.Struct(">q")


def mark_key(number: int) -> bytes:
    """Where a mark stands."""
    return MARKS + _MARK.pack(number)


def mark_of(key: bytes) -> int:
    """The number of a mark, from its key."""
    return int(_MARK.unpack(key[1:])[0])


def pack_mark(first_kept: int) -> bytes:
    """A mark's value."""
    return _MARK.pack(first_kept)


def unpack_mark(value: bytes) -> int:
    """The first mark that is kept, from a mark's value."""
    return int(_MARK.unpack(value)[0])


def space_key(space: str) -> bytes:
    """Where a space's number stands."""
    return SPACES + text(space)


def value_prefix(number: int) -> bytes:
    """What the keys of a space begin with, by its number."""
    return _SPACE.pack(b"v", number)


def reader_prefix(reader: str) -> bytes:
    """What the keys of a reader's positions begin with; no reader's is the beginning of another."""
    name = text(reader)
    return _LENGTH.pack(b"p", len(name)) + name


def position_key(reader: str, partition: int) -> bytes:
    """Where a position stands."""
    return reader_prefix(reader) + _SIGNED.pack(partition)


def partition_of(key: bytes) -> int:
    """The partition of a position, from its key."""
    return int(_SIGNED.unpack(key[-_SIGNED.size :])[0])


def pack_position(position: int) -> bytes:
    """A position's value."""
    return _SIGNED.pack(position)


def unpack_position(value: bytes) -> int:
    """A position, from its value."""
    return int(_SIGNED.unpack(value)[0])


def pack_number(number: int) -> bytes:
    """A space's number as it is stored."""
    return number.to_bytes(4, "big")


def unpack_number(value: bytes) -> int:
    """A space's number."""
    return int.from_bytes(value, "big")


def checkpoint_key(name: str) -> bytes:
    """Where a checkpoint stands."""
    return CHECKPOINTS + text(name)


def text(name: str) -> bytes:
    """A name as bytes; any string is one, also what the system gave for bytes of no encoding."""
    return name.encode("utf-8", "surrogatepass")


def end_of(prefix: bytes) -> bytes:
    """The first key after all that begin with a prefix; a prefix begins with a letter."""
    return (int.from_bytes(prefix, "big") + 1).to_bytes(len(prefix), "big")
