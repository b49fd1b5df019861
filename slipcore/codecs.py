"""Codecs: what may be given to a topic or cache, and what caches use themselves.

`ExactCodec` is the codec of caches: what comes out equals what went in, type included. It is
msgpack, with extension types for what msgpack does not know; what it can't keep exactly it
refuses, at the write.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from itertools import chain
from struct import Struct
from typing import Any, Final, Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from slipcore.errors import ConfigError, DecodeError, EncodeError
from slipcore.interfaces import ICodec

__all__ = ["ExactCodec", "ICodec", "JsonCodec", "TypedCodec"]

T = TypeVar("T")

MAX_DEPTH: Final = 100
"""How deep values may be nested in an `ExactCodec`."""


class JsonCodec(ICodec):
    """JSON by the standard library; what JSON has no word for is written as `str` has it."""

    def encode(self, obj: Any) -> bytes:
        return json.dumps(obj, default=str).encode()

    def decode(self, s: bytes) -> object:
        """The value of the bytes.

        Raises:
            DecodeError: they are no JSON, or nested too deep.
        """
        try:
            return json.loads(s.decode())
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"the bytes can't be read as JSON: {_reason(error)}") from error


class ExactCodec(ICodec):
    """Values to bytes and back, equal and of the same type.

    It takes None, bool, int of any size, float, str, bytes, list, dict (with any of the hashable
    ones as keys, in order), tuple, set, frozenset, datetime and time (naive, or in a
    `datetime.timezone` or `zoneinfo.ZoneInfo`), date, timedelta, Decimal and UUID, nested.
    """

    def encode(self, obj: Any) -> bytes:
        """The bytes of a value.

        Raises:
            EncodeError: something in it is of another type, or it is nested too deep.
        """
        try:
            return _encode(obj if type(obj) in _SCALARS else _pack(obj, 0, False))
        except (OverflowError, UnicodeEncodeError):
            # An integer beyond 64 bits, or a lone surrogate: too rare to look for each time.
            return _encode(_pack(obj, 0, True))

    def decode(self, s: bytes) -> object:
        """The value of the bytes.

        Raises:
            DecodeError: they are not what `encode` gave.
        """
        try:
            return _decode(s)
        except Exception as error:
            raise DecodeError(f"the bytes are not a stored value: {_reason(error)}") from error


class TypedCodec(ICodec, Generic[T]):
    """Values of one type as msgpack: a dataclass, a `msgspec.Struct`, a TypedDict and the like.

    Fields come out as they are annotated.

    Args:
        type: what is written and read.
    """

    def __init__(self, type: type[T]) -> None:
        self.type = type
        self._exactly = dataclasses.is_dataclass(type) or _is_struct(type)
        self._encode = Encoder().encode
        try:
            self._decode = Decoder(type).decode
        except (TypeError, NameError) as error:
            raise ConfigError(f"type={_name(type)} can't be stored: {error}") from error

    def encode(self, obj: Any) -> bytes:
        """The bytes of a value, which `decode` is sure to read.

        Raises:
            EncodeError: it is not of the type, or one of its fields is not.
        """
        if self._exactly and obj.__class__ is not self.type:
            raise EncodeError(f"the value is {_name(obj.__class__)}, not {_name(self.type)}")
        try:
            data = self._encode(obj)
            # An encoder trusts annotations: what is wrong shows only when it is read again.
            self._decode(data)
        except Exception as error:
            raise EncodeError(
                f"the value does not fit type={_name(self.type)}: {_reason(error)}"
            ) from error
        return data

    def decode(self, s: bytes) -> T:
        """The value of the bytes.

        Raises:
            DecodeError: they are no value of the type.
        """
        try:
            return self._decode(s)
        except Exception as error:
            raise DecodeError(
                f"the bytes are no value of type={_name(self.type)}: {_reason(error)}"
            ) from error


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _name(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or str(kind)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(error) or type(error).__name__


# --- what an ExactCodec writes --------------------------------------------------------------

_SCALARS: Final = frozenset((type(None), bool, int, float, str, bytes))
_MOMENT: Final = Struct(">HBBBBBIB")
_CLOCK: Final = Struct(">BBBIB")
_SPAN: Final = Struct(">iii")
_OFFSET: Final = Struct(">q")

_encode: Final = Encoder().encode

Packer = Callable[[Any, int, bool], Ext]


def _pack(obj: Any, depth: int, careful: bool) -> Any:
    """What msgpack writes for a value; `careful` looks for scalars that it can't write."""
    kind = type(obj)
    if kind in _SCALARS:
        return _pack_scalar(obj) if careful else obj
    if depth >= MAX_DEPTH:
        raise EncodeError(f"a value is nested at most {MAX_DEPTH} deep, or contains itself")
    if kind is list:
        if not careful and _SCALARS.issuperset(map(type, obj)):
            return obj
        return [_pack(item, depth + 1, careful) for item in obj]
    if kind is dict:
        return _pack_dict(obj, depth, careful)
    packer = _PACKERS.get(kind)
    if packer is None:
        raise _refusal(kind)
    return packer(obj, depth + 1, careful)


def _refusal(kind: type) -> EncodeError:
    return EncodeError(
        f"{kind.__module__}.{kind.__qualname__} can't be stored so that it comes out as it went "
        f'in: give type= for a dataclass or Struct, codec="pickle" for any other object, '
        f"or convert it to a built-in type"
    )


def _pack_scalar(obj: Any) -> Any:
    if type(obj) is int and not -(1 << 63) <= obj < 1 << 64:
        return Ext(_INT, obj.to_bytes(obj.bit_length() // 8 + 1, "big", signed=True))
    if type(obj) is str and not obj.isascii():
        data = obj.encode("utf-8", "surrogatepass")
        if data.decode("utf-8", "replace") != obj:
            return Ext(_STR, data)
    return obj


def _pack_dict(obj: dict[Any, Any], depth: int, careful: bool) -> Any:
    if not _SCALARS.issuperset(map(type, obj)) or (
        careful and any(type(_pack_scalar(key)) is Ext for key in obj)
    ):
        pairs = [_pack(part, depth + 1, careful) for part in chain.from_iterable(obj.items())]
        return Ext(_DICT, _encode(pairs))
    if not careful and _SCALARS.issuperset(map(type, obj.values())):
        return obj
    return {key: _pack(value, depth + 1, careful) for key, value in obj.items()}


def _pack_items(code: int) -> Packer:
    def pack(obj: Any, depth: int, careful: bool) -> Ext:
        return Ext(code, _encode([_pack(item, depth, careful) for item in obj]))

    return pack


def _pack_datetime(obj: datetime, depth: int, careful: bool) -> Ext:
    moment = _MOMENT.pack(
        obj.year, obj.month, obj.day, obj.hour, obj.minute, obj.second, obj.microsecond, obj.fold
    )
    return Ext(_DATETIME, moment + _zone_bytes(obj.tzinfo))


def _pack_time(obj: time, depth: int, careful: bool) -> Ext:
    clock = _CLOCK.pack(obj.hour, obj.minute, obj.second, obj.microsecond, obj.fold)
    return Ext(_TIME, clock + _zone_bytes(obj.tzinfo))


def _zone_bytes(zone: tzinfo | None) -> bytes:
    if zone is None:
        return b""
    if zone is UTC:
        return b"u"
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # what pickle asks
        microseconds = offset // timedelta(microseconds=1)
        named = (b"n" + name[0].encode("utf-8", "surrogatepass")) if name else b""
        return b"o" + _OFFSET.pack(microseconds) + named
    if type(zone) is ZoneInfo and zone.key is not None:
        return b"z" + zone.key.encode()
    raise EncodeError(
        f"a time zone is stored as datetime.timezone or zoneinfo.ZoneInfo with a key, "
        f"not as {type(zone).__module__}.{type(zone).__qualname__}: convert it first"
    )


_INT, _STR, _TUPLE, _SET, _FROZENSET, _DICT = range(1, 7)
_DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID = range(7, 13)

_PACKERS: Final[dict[type, Packer]] = {
    tuple: _pack_items(_TUPLE),
    set: _pack_items(_SET),
    frozenset: _pack_items(_FROZENSET),
    datetime: _pack_datetime,
    date: lambda obj, depth, careful: Ext(_DATE, obj.toordinal().to_bytes(4, "big")),
    time: _pack_time,
    timedelta: lambda obj, depth, careful: Ext(
        _TIMEDELTA, _SPAN.pack(obj.days, obj.seconds, obj.microseconds)
    ),
    Decimal: lambda obj, depth, careful: Ext(_DECIMAL, str(obj).encode()),
    UUID: lambda obj, depth, careful: Ext(_UUID, obj.bytes),
}


# --- what an ExactCodec reads ---------------------------------------------------------------


def _unpack(code: int, view: memoryview) -> Any:
    unpacker = _UNPACKERS.get(code)
    if unpacker is None:
        raise ValueError(f"no type has the number {code}")
    return unpacker(view if code in _NESTING else bytes(view))


def _unpack_items(data: memoryview) -> list[Any]:
    items = _decode(data)
    if type(items) is not list:
        raise ValueError("its items are no list")
    return items


def _unpack_dict(data: memoryview) -> dict[Any, Any]:
    parts: Iterator[Any] = iter(_unpack_items(data))
    return dict(zip(parts, parts, strict=True))


def _unpack_datetime(data: bytes) -> datetime:
    year, month, day, hour, minute, second, micro, fold = _MOMENT.unpack(data[: _MOMENT.size])
    zone = _zone(data[_MOMENT.size :])
    return datetime(year, month, day, hour, minute, second, micro, zone, fold=fold)


def _unpack_time(data: bytes) -> time:
    hour, minute, second, micro, fold = _CLOCK.unpack(data[: _CLOCK.size])
    return time(hour, minute, second, micro, _zone(data[_CLOCK.size :]), fold=fold)


def _zone(data: bytes) -> tzinfo | None:
    if not data:
        return None
    if data == b"u":
        return UTC
    if data[:1] == b"z":
        return ZoneInfo(data[1:].decode())
    offset = timedelta(microseconds=_OFFSET.unpack(data[1:9])[0])
    if data[:1] != b"o" or data[9:10] not in (b"", b"n"):
        raise ValueError("it has no time zone")
    if data[9:10]:
        return timezone(offset, data[10:].decode("utf-8", "surrogatepass"))
    return timezone(offset)


# Not copied: a value within a value within a value would be copied as often as it is nested.
_NESTING: Final = frozenset((_TUPLE, _SET, _FROZENSET, _DICT))
_UNPACKERS: Final[dict[int, Callable[[Any], Any]]] = {
    _INT: lambda data: int.from_bytes(data, "big", signed=True),
    _STR: lambda data: data.decode("utf-8", "surrogatepass"),
    _TUPLE: lambda data: tuple(_unpack_items(data)),
    _SET: lambda data: set(_unpack_items(data)),
    _FROZENSET: lambda data: frozenset(_unpack_items(data)),
    _DICT: _unpack_dict,
    _DATETIME: _unpack_datetime,
    _DATE: lambda data: date.fromordinal(int.from_bytes(data, "big")),
    _TIME: _unpack_time,
    _TIMEDELTA: lambda data: timedelta(*_SPAN.unpack(data)),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _UUID: lambda data: UUID(bytes=data),
}

_decode: Final = Decoder(ext_hook=_unpack).decode
