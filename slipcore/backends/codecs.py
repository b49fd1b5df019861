"""The built-in codecs of topics, by name: text, raw, json, msgpack and pickle."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any, Final

import msgspec

from slipcore.interfaces import ConfigError, DecodeError, EncodeError, ICodec

_LONG: Final = 256
_FINITE: Final = frozenset({str, int, bool, type(None)})


class CodecOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The built-in codecs have no settings."""


class _Untyped(ICodec):
    """A codec that knows one type only."""

    name: str

    def __init__(self, options: CodecOptions | None = None, type: Any = None) -> None:
        if type is not None:
            raise ConfigError(
                f"the codec {self.name} takes no type={_named(type)}: "
                f'use codec="json" or codec="msgpack" with it'
            )


class TextCodec(_Untyped):
    """Strings as UTF-8."""

    name = "text"

    def encode(self, obj: Any) -> bytes:
        if not isinstance(obj, str):
            raise EncodeError(
                f"the codec text writes str, not {_kind(obj)}: "
                f'pass str(value), or choose codec="json", or codec="raw" for bytes'
            )
        try:
            return obj.encode()
        except UnicodeEncodeError as error:
            raise EncodeError(f"the text can't be written as UTF-8: {error}") from error

    def decode(self, s: bytes) -> str:
        try:
            return s.decode()
        except UnicodeDecodeError as error:
            raise DecodeError(
                f'the bytes are not UTF-8 text ({error}): choose codec="raw" for bytes, '
                f"or the codec that wrote them"
            ) from error


class RawCodec(_Untyped):
    """Bytes as they are."""

    name = "raw"
    passes_bytes = True

    def encode(self, obj: Any) -> bytes:
        if not isinstance(obj, bytes | bytearray | memoryview):
            raise EncodeError(
                f"the codec raw writes bytes, bytearray or memoryview, not {_kind(obj)}: "
                f'encode the value, or choose codec="text" or codec="json"'
            )
        return bytes(obj)

    def decode(self, s: bytes) -> bytes:
        return s


class JsonCodec(ICodec):
    """JSON, strictly: NaN and infinities are refused, and what is of no type that msgspec knows.

    Dates, times, UUIDs, Decimals and bytes (in Base64) are written as text, which they are read as
    unless `type` says otherwise: https://jcristharif.com/msgspec/supported-types.html.

    Args:
        type: what is read is validated as and converted to it, and what is written has to be
            readable as it; None: JSON's own types.
    """

    def __init__(self, options: CodecOptions | None = None, type: Any = None) -> None:
        self._encode = msgspec.json.Encoder().encode
        try:
            self._decode = msgspec.json.Decoder(Any if type is None else type).decode
            self._type = type
        except (TypeError, NameError) as error:
            raise _unfit("json", type, error) from error

    def encode(self, obj: Any) -> bytes:
        try:
            data = self._encode(obj)
            # msgspec writes NaN and infinities as null: they would come back as None. Of a long
            # text it is quicker to look at what it was made of.
            is_finite = len(data) > _LONG and obj.__class__ is dict and _is_finite(obj)
            if not is_finite and data.find(b"null") >= 0:  # `in` takes twice as long
                json.dumps(msgspec.to_builtins(obj, str_keys=True), allow_nan=False)
            if self._type is not None:
                self._decode(data)  # what can't be read again must not be written
        except Exception as error:
            raise _unwritten("json", obj, error) from error
        return data

    def decode(self, s: bytes) -> object:
        try:
            return self._decode(s)
        except Exception as error:
            raise _unread("JSON", error) from error

    def decoder(self) -> Callable[[bytes], object]:
        return self._decode if type(self).decode is JsonCodec.decode else self.decode


class MsgpackCodec(ICodec):
    """MessagePack.

    Args:
        type: what is read is validated as and converted to it, and what is written has to be
            readable as it; None: MessagePack's own types.
    """

    def __init__(self, options: CodecOptions | None = None, type: Any = None) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        try:
            self._decode = msgspec.msgpack.Decoder(Any if type is None else type).decode
            self._type = type
        except (TypeError, NameError) as error:
            raise _unfit("msgpack", type, error) from error

    def encode(self, obj: Any) -> bytes:
        try:
            data = self._encode(obj)
            if self._type is not None:
                self._decode(data)  # what can't be read again must not be written
        except Exception as error:
            raise _unwritten("msgpack", obj, error) from error
        return data

    def decode(self, s: bytes) -> object:
        try:
            return self._decode(s)
        except Exception as error:
            raise _unread("msgpack", error) from error

    def decoder(self) -> Callable[[bytes], object]:
        return self._decode if type(self).decode is MsgpackCodec.decode else self.decode


class PickleCodec(_Untyped):
    """Any Python object, by pickle. Reading runs whatever the bytes say: only for one's own."""

    name = "pickle"

    def encode(self, obj: Any) -> bytes:
        try:
            return pickle.dumps(obj, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise _unwritten("pickle", obj, error) from error

    def decode(self, s: bytes) -> object:
        try:
            return pickle.loads(s)
        except Exception as error:
            raise _unread("pickle", error) from error


def _is_finite(obj: dict[Any, Any]) -> bool:
    """Whether no value can be or hold a NaN."""
    return _FINITE.issuperset(map(type, obj.values()))


def _named(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or str(kind)


def _kind(obj: Any) -> str:
    return type(obj).__qualname__


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(error) or type(error).__name__


def _unfit(codec: str, kind: Any, error: Exception) -> ConfigError:
    return ConfigError(f"the codec {codec} can't read type={_named(kind)}: {error}")


def _unwritten(codec: str, obj: Any, error: Exception) -> EncodeError:
    return EncodeError(f"the codec {codec} can't write this {_kind(obj)}: {_reason(error)}")


def _unread(codec: str, error: Exception) -> DecodeError:
    return DecodeError(f"the bytes can't be read as {codec}: {_reason(error)}")
