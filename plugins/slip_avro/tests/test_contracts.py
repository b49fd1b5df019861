"""The codec avro keeps the contract that every codec keeps."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest
from slip_avro import AvroCodec

from slipcore.testing import CodecContract, MakeCodec

FIELDS = [
    {"name": "id", "type": "long"},
    {"name": "notes", "type": {"type": "array", "items": "string"}},
    {"name": "rates", "type": {"type": "map", "values": "double"}},
    {"name": "by", "type": ["null", "string"]},
]


class Order(msgspec.Struct):
    """A value of a type of one's own."""

    id: int
    notes: list[str]


class TestSchema(CodecContract):
    """Records of a schema, as dicts."""

    offers = frozenset({"ends", "refuses bytes", "refuses values"})
    examples: ClassVar[list[Any]] = [
        {"id": 2**40, "notes": ["a", "é 🏆"], "rates": {"x": 1.5}, "by": "me"},
        {"id": -1, "notes": [], "rates": {}, "by": None},
    ]
    unfit: ClassVar[list[Any]] = [{}, {**examples[0], "id": 1.7}, {**examples[0], "more": 1}]
    foreign: ClassVar[list[bytes]] = [b"", b"\x80", b"\xff" * 20]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return lambda: AvroCodec({"type": "record", "name": "Order", "fields": FIELDS})


class TestType(CodecContract):
    """Objects of a type, whose schema is derived."""

    offers = frozenset({"ends", "refuses bytes", "refuses values"})
    examples: ClassVar[list[Any]] = [Order(1, ["a"]), Order(-(2**40), [])]
    unfit: ClassVar[list[Any]] = [Order("one", []), 7]  # type: ignore[arg-type]  # what is refused
    foreign: ClassVar[list[bytes]] = [b"", b"\x80", b"\xff" * 20]

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        return lambda: AvroCodec(type=Order)
