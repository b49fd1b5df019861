"""Keys as bytes whose order is the order of the keys.

Booleans come first, then numbers by value whatever their type, then strings by code point, then
bytes, then tuples element by element. Every type starts with a tag of its own. A number is

    tag | nearest double, 8 bytes, in total order | number - double | type

so that integers of any size and floats sort among each other without losing a bit: the double
decides almost always, the difference (zero for a float) where two integers share a double.
"""

from __future__ import annotations

import math
import struct
import sys
from struct import Struct
from typing import Any, Final

from slipcore.errors import DecodeError, EncodeError
from slipcore.interfaces import Key

MAX_DEPTH: Final = 100
"""How deep tuples may be nested."""

_END: Final = 0x00
_FALSE: Final = 0x01
_TRUE: Final = 0x02
_NUMBER: Final = 0x10
_STR: Final = 0x20
_BYTES: Final = 0x30
_TUPLE: Final = 0x40

_INT: Final = 0x00
_FLOAT: Final = 0x01
_NO_DIFFERENCE: Final = 0x80
_LONG: Final = 0xF0
"""A difference longer than `_LONG - _NO_DIFFERENCE` bytes states its length in bytes of its own."""

_EXACT: Final = 1 << 53
"""Up to here every integer is a double."""

_DOUBLE: Final = Struct(">d")
_SMALL: Final = Struct(">BdH")
_SMALL_INT: Final = _NO_DIFFERENCE << 8 | _INT
_COMPLEMENT: Final = bytes(range(255, -1, -1))


def encode_key(key: Key) -> bytes:
    """The bytes of a key.

    Raises:
        EncodeError: it is of no type that keys may have, NaN, or nested too deep.
    """
    if type(key) is str:
        return b"\x20" + key.encode("utf-8", "surrogatepass")
    if type(key) is int and 0 <= key <= _EXACT:
        # The sign bit of a positive double is set by negating it: the first step of total order.
        return _SMALL.pack(_NUMBER, -float(key), _SMALL_INT)
    if type(key) is bytes:
        return b"\x30" + key
    if type(key) is tuple:
        return b"\x40" + b"".join([_element(k, 1) for k in key])
    return _element(key, 0)


def decode_key(data: bytes) -> Key:
    """The key of its bytes, equal in value and type to what `encode_key` was given.

    Raises:
        DecodeError: the bytes are no key.
    """
    try:
        tag = data[0]
        if tag == _STR:
            return data[1:].decode("utf-8", "surrogatepass")
        if tag == _BYTES:
            return bytes(data[1:])
        if tag == _TUPLE:
            elements = []
            at = 1
            while at < len(data):
                element, at = _read(data, at, 1)
                elements.append(element)
            return tuple(elements)
        key, at = _read(data, 0, 0)
    except (LookupError, ValueError, OverflowError, struct.error) as error:
        raise DecodeError(f"{_shown(data)} is not the bytes of a key: {error}") from error
    if at != len(data):
        raise DecodeError(f"{_shown(data)} is not the bytes of a key: {len(data) - at} too many")
    return key


def bounds(key: Key) -> tuple[bytes, bytes]:
    """The bytes [start, end) between which all keys equal to this one lie.

    A number has two: 1 and 1.0 are different keys at one place.
    """
    encoded = encode_key(key)
    if type(key) in (int, float):
        return encoded[:-1], encoded[:-1] + bytes((_FLOAT + 1,))
    return encoded, encoded + b"\0"


def prefix_range(prefix: Key) -> tuple[bytes, bytes]:
    """The bytes [start, end) between which all keys that begin with `prefix` lie.

    Strings and bytes begin with the prefix as `startswith` has it, tuples with its elements.

    Raises:
        EncodeError: only strings, bytes and tuples have a beginning.
    """
    if type(prefix) not in (str, bytes, tuple):
        raise EncodeError(
            f"a prefix is a str, bytes or a tuple, not {type(prefix).__name__} ({prefix!r})"
        )
    start = encode_key(prefix)
    head = start.rstrip(b"\xff")
    return start, head[:-1] + bytes((head[-1] + 1,))


def _element(key: Any, depth: int) -> bytes:
    """The bytes of a key, which tell where they end."""
    kind = type(key)
    if kind is str:
        text: bytes = key.encode("utf-8", "surrogatepass")
        return b"\x20" + text.replace(b"\0", b"\0\xff") + b"\0"
    if kind is int:
        return _int_bytes(key)
    if kind is bool:
        return b"\x02" if key else b"\x01"
    if kind is float:
        return _float_bytes(key)
    if kind is bytes:
        data: bytes = key.replace(b"\0", b"\0\xff")
        return b"\x30" + data + b"\0"
    if kind is not tuple:
        raise EncodeError(
            f"a key is a bool, int, float, str, bytes or a tuple of these, "
            f"not {kind.__module__}.{kind.__qualname__}: convert it first"
        )
    if depth >= MAX_DEPTH:
        raise EncodeError(f"a key nests tuples at most {MAX_DEPTH} deep")
    return b"\x40" + b"".join([_element(k, depth + 1) for k in key]) + b"\0"


def _float_bytes(number: float) -> bytes:
    if math.isnan(number):
        raise EncodeError("NaN can't be a key: it has no place in any order")
    return b"\x10" + _ordered(number) + b"\x80\x01"


def _int_bytes(number: int) -> bytes:
    try:
        nearest = float(number)
    except OverflowError:
        nearest = math.copysign(sys.float_info.max, -1 if number < 0 else 1)
    return b"\x10" + _ordered(nearest) + _difference(number - int(nearest)) + b"\x00"


def _ordered(number: float) -> bytes:
    """A double as bytes that sort as it does; -0.0 is 0.0."""
    if number >= 0:
        return _DOUBLE.pack(-abs(number))
    return _DOUBLE.pack(number).translate(_COMPLEMENT)


def _difference(number: int) -> bytes:
    """A signed integer of any size as bytes that sort as it does and tell where they end."""
    if number == 0:
        return b"\x80"
    size = abs(number)
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = len(digits)
    if length < _LONG - _NO_DIFFERENCE:
        data = bytes((_NO_DIFFERENCE + length,)) + digits
    else:
        counted = length.to_bytes((length.bit_length() + 7) // 8, "big")
        data = bytes((_LONG + len(counted),)) + counted + digits
    return data if number > 0 else data.translate(_COMPLEMENT)


def _read(data: bytes, at: int, depth: int) -> tuple[Key, int]:
    """The key that begins at `at`, and where the next one begins."""
    tag = data[at]
    at += 1
    if tag == _NUMBER:
        return _read_number(data, at)
    if tag == _STR:
        raw, at = _read_escaped(data, at)
        return raw.decode("utf-8", "surrogatepass"), at
    if tag == _BYTES:
        return _read_escaped(data, at)
    if tag in (_FALSE, _TRUE):
        return tag == _TRUE, at
    if tag != _TUPLE:
        raise ValueError(f"no type has the tag {tag:#04x}")
    if depth >= MAX_DEPTH:
        raise ValueError(f"tuples are nested more than {MAX_DEPTH} deep")
    elements = []
    while data[at] != _END:
        element, at = _read(data, at, depth + 1)
        elements.append(element)
    return tuple(elements), at + 1


def _read_escaped(data: bytes, at: int) -> tuple[bytes, int]:
    end = at
    while True:
        end = data.index(b"\0", end)
        if data[end + 1 : end + 2] != b"\xff":
            return bytes(data[at:end]).replace(b"\0\xff", b"\0"), end + 1
        end += 2


def _read_number(data: bytes, at: int) -> tuple[int | float, int]:
    if data[at] & 0x80:
        nearest = -_DOUBLE.unpack_from(data, at)[0]
    else:
        nearest = _DOUBLE.unpack(data[at : at + 8].translate(_COMPLEMENT))[0]
    if math.isnan(nearest):
        raise ValueError("NaN is no key")
    difference, at = _read_difference(data, at + 8)
    kind = data[at]
    if kind == _INT:
        return int(nearest) + difference, at + 1
    if kind == _FLOAT and not difference:
        return float(nearest), at + 1
    raise ValueError(f"no number has the type {kind:#04x}")


def _read_difference(data: bytes, at: int) -> tuple[int, int]:
    head = data[at]
    if head == _NO_DIFFERENCE:
        return 0, at + 1
    negative = head < _NO_DIFFERENCE
    # Only these bytes are complemented, not the rest of the key behind them.
    at += 1
    length = (head ^ 0xFF if negative else head) - _NO_DIFFERENCE
    if length > _LONG - _NO_DIFFERENCE:
        counted = _digits(data, at, length - (_LONG - _NO_DIFFERENCE), negative)
        at += length - (_LONG - _NO_DIFFERENCE)
        length = counted
    size = _digits(data, at, length, negative)
    return (-size if negative else size), at + length


def _digits(data: bytes, at: int, length: int, negative: bool) -> int:
    digits = data[at : at + length]
    if len(digits) != length:
        raise ValueError("it ends too early")
    return int.from_bytes(digits.translate(_COMPLEMENT) if negative else digits, "big")


def _shown(data: bytes) -> str:
    return repr(data if len(data) <= 40 else data[:40] + b"...")
