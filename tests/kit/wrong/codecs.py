"""Codecs that are wrong in one thing each."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import Any

from slipcore.backends.codecs import JsonCodec, RawCodec
from slipcore.interfaces import DecodeError, EncodeError
from tests.kit.wrong.marks import breaks


@breaks("codec.encodes-to-bytes")
class GivesItsBuffer(JsonCodec):
    """What it encodes a list to can be changed."""

    def encode(self, obj: Any) -> bytes:
        data = super().encode(obj)
        if isinstance(obj, list):
            return bytearray(data)  # type: ignore[return-value]  # that is the fault
        return data


@breaks("codec.leaves-the-value")
class MarksTheValue(JsonCodec):
    """A dictionary has an entry more when it was written, where one thread writes."""

    def encode(self, obj: Any) -> bytes:
        if isinstance(obj, dict) and current_thread() is main_thread():
            obj["written"] = obj.get("written", 0) + 1
        return super().encode(obj)


@breaks("codec.refuses-what-it-can-not-write")
class WritesAnything(JsonCodec):
    """What JSON has no word for becomes a string."""

    def encode(self, obj: Any) -> bytes:
        try:
            return super().encode(obj)
        except EncodeError:
            return json.dumps(repr(obj)).encode()


@breaks("codec.round-trip")
class GivesDictionariesOfItsOwn(JsonCodec):
    """A dictionary comes back as something that is equal, and no dict."""

    def decode(self, s: bytes) -> object:
        found = super().decode(s)
        return OrderedDict(found) if isinstance(found, dict) else found


@breaks("codec.results-are-apart")
class RemembersResults(JsonCodec):
    """Equal bytes give the same object."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, object] = {}

    def decode(self, s: bytes) -> object:
        if s not in self._known:
            self._known[s] = super().decode(s)
        return self._known[s]


@breaks("codec.refuses-foreign-bytes")
class TakesForeignBytesForText(JsonCodec):
    """Bytes that do not even begin like its own are given back as text."""

    def decode(self, s: bytes) -> object:
        try:
            return super().decode(s)
        except DecodeError:
            if s[:1] in (b"", b'"', b"[", b"{"):
                raise
            return s.decode(errors="replace")


@breaks("codec.reads-to-the-end")
class StopsAtTheFirstValue(JsonCodec):
    """What follows a value is not looked at."""

    def decode(self, s: bytes) -> object:
        try:
            return super().decode(s)
        except DecodeError:
            if not _begins_right(s):
                raise
            return json.JSONDecoder().raw_decode(s.decode())[0]


@breaks("codec.threads")
class HasOneBuffer(JsonCodec):
    """Two threads write to one buffer."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = b""

    def encode(self, obj: Any) -> bytes:
        self._buffer = super().encode(obj)
        time.sleep(0)  # another thread may come in between
        return self._buffer


@breaks("codec.passes-bytes")
class ChangesWhatItPasses(RawCodec):
    """It says that it passes bytes, and does not."""

    def encode(self, obj: Any) -> bytes:
        return super().encode(obj)[::-1]

    def decode(self, s: bytes) -> bytes:
        return s[::-1]


@breaks("codec.decoder")
class ReadsOtherwise(JsonCodec):
    """The shorter way gives lists as tuples."""

    def decoder(self) -> Callable[[bytes], object]:
        def decode(s: bytes) -> object:
            value = self.decode(s)
            return tuple(value) if isinstance(value, list) else value

        return decode


@breaks("codec.decoder")
class ReadsAnything(JsonCodec):
    """The shorter way takes what `decode` refuses."""

    def decoder(self) -> Callable[[bytes], object]:
        def decode(s: bytes) -> object:
            try:
                return self.decode(s)
            except DecodeError:
                return None

        return decode


def _begins_right(s: bytes) -> bool:
    """Whether the bytes are a value and something behind it."""
    try:
        json.JSONDecoder().raw_decode(s.decode())
    except ValueError:
        return False
    return True
