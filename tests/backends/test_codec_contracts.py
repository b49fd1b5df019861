"""The built-in codecs keep the contract that every codec keeps."""

from __future__ import annotations

import math
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest

from slipcore.backends import codecs
from slipcore.codecs import ExactCodec, JsonCodec
from slipcore.testing import CodecContract, MakeCodec


class Line(msgspec.Struct):
    """A value of a type of one's own."""

    words: list[str]
    at: float = 0.0


def unfit_line() -> Line:
    """One that says it is a Line, with a word that is none; msgspec checks what it reads only."""
    words: Any = ["a", 1]
    return Line(words)


class Unknown:
    """What no codec has heard of."""


class TestText(CodecContract):
    """Strings."""

    offers = frozenset({"refuses bytes", "refuses values"})
    examples: ClassVar[list[Any]] = ["", "text", "é 🏆\0"]
    unfit: ClassVar[list[Any]] = [b"bytes", 1, "\ud800"]
    foreign: ClassVar[list[bytes]] = [b"\xff", b"\xed\xa0\x80"]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return codecs.TextCodec


class TestRaw(CodecContract):
    """Bytes, to which none are foreign."""

    offers = frozenset({"refuses values"})
    examples: ClassVar[list[Any]] = [b"", b"\0\xff"]
    unfit: ClassVar[list[Any]] = ["text", 1]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return codecs.RawCodec


class TestJson(CodecContract):
    """JSON's own types; a number alone does not say where it ends."""

    offers = frozenset({"ends", "refuses bytes", "refuses values"})
    examples: ClassVar[list[Any]] = ["é 🏆", [], {"a": [1, {"b": 2.5}], "c": None}, True]
    unfit: ClassVar[list[Any]] = [Unknown(), math.nan, [{"a": math.inf}]]
    foreign: ClassVar[list[bytes]] = [b"", b"\xff", b"[1,]", b"{1: 2}"]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return codecs.JsonCodec


class TestTypedJson(TestJson):
    """One type, and nothing else."""

    examples: ClassVar[list[Any]] = [Line(["a", "b"], 1.5), Line([])]
    unfit: ClassVar[list[Any]] = [Unknown(), {"words": 1}, unfit_line(), Line([], math.nan)]
    foreign: ClassVar[list[bytes]] = [b"[]", b'{"words": [1]}', b'{"word": []}']

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return lambda: codecs.JsonCodec(type=Line)


class TestMsgpack(CodecContract):
    """MessagePack's own types."""

    offers = frozenset({"ends", "refuses bytes", "refuses values"})
    examples: ClassVar[list[Any]] = [0, -1.5, "é 🏆", b"\xff", [], {"a": [1, {2: b"b"}], "c": None}]
    unfit: ClassVar[list[Any]] = [Unknown(), [2**70]]
    foreign: ClassVar[list[bytes]] = [b"", b"\xc1", b"\x92\x01"]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return codecs.MsgpackCodec


class TestTypedMsgpack(TestMsgpack):
    """One type, and nothing else."""

    examples: ClassVar[list[Any]] = [Line(["a", "b"], 1.5), Line([])]
    unfit: ClassVar[list[Any]] = [Unknown(), {"words": 1}, unfit_line()]
    foreign: ClassVar[list[bytes]] = [b"\x90", b"\x80"]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return lambda: codecs.MsgpackCodec(type=Line)


class TestPickle(CodecContract):
    """Any object; what follows a pickle is not looked at."""

    offers = frozenset({"refuses bytes", "refuses values"})
    examples: ClassVar[list[Any]] = [0, "é", (1, [2]), {"a": {1}}, Line(["a"]), UUID(int=7)]
    unfit: ClassVar[list[Any]] = [lambda: None]
    foreign: ClassVar[list[bytes]] = [b"", b"garbage", b"\x80\x05"]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return codecs.PickleCodec


class TestExact(CodecContract):
    """What caches write with by default."""

    offers = frozenset({"ends", "refuses bytes", "refuses values"})
    examples: ClassVar[list[Any]] = [
        0,
        2**200,
        "é",
        (1, [2]),
        {"a": {1}, (1, 2): b"b"},
        UUID(int=7),
    ]
    unfit: ClassVar[list[Any]] = [Unknown(), Line([])]
    foreign: ClassVar[list[bytes]] = [b"", b"\xc1", b"\x92\x01"]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return ExactCodec


class TestStandardJson(CodecContract):
    """The standard library's JSON, which writes what it does not know as `str` has it."""

    offers = frozenset({"ends", "refuses bytes"})
    examples: ClassVar[list[Any]] = ["é 🏆", [], {"a": [1, {"b": 2.5}], "c": None}, True]
    foreign: ClassVar[list[bytes]] = [b"", b"\xff", b"[1,]"]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return JsonCodec
