"""What was written with one schema and is read with another, and values of a type."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pytest
from slip_avro import AvroCodec
from slip_avro.derive import derive_schema

from slipcore.interfaces import ConfigError, DecodeError, EncodeError


def record(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Order", "fields": list(fields), **more}


ID = {"name": "id", "type": "int"}
NOTE = {"name": "note", "type": "string"}


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (record(ID, NOTE, {"name": "paid", "type": "boolean", "default": True}), "added"),
        (record(ID), "removed"),
        (record(ID, {"name": "text", "type": "string", "aliases": ["note"]}), "renamed"),
        (record({"name": "id", "type": "double"}, NOTE), "promoted"),
        (record(ID, NOTE, doc="words"), "same"),
    ],
)
def test_a_reader_schema_may_differ(reader: dict[str, Any], expected: str) -> None:
    """Fields are added with a default, removed, renamed by an alias, promoted."""
    results: dict[str, dict[str, Any]] = {
        "added": {"id": 7, "note": "x", "paid": True},
        "removed": {"id": 7},
        "renamed": {"id": 7, "text": "x"},
        "promoted": {"id": 7.0, "note": "x"},
        "same": {"id": 7, "note": "x"},
    }
    written = AvroCodec(record(ID, NOTE)).encode({"id": 7, "note": "x"})
    codec = AvroCodec(record(ID, NOTE), reader_schema=reader)
    assert repr(codec.decode(written)) == repr(results[expected])


def test_what_can_not_be_resolved_is_a_decode_error() -> None:
    """It says which field or types are the matter."""
    written = AvroCodec(record(ID)).encode({"id": 7})
    added = AvroCodec(record(ID), reader_schema=record(ID, NOTE))
    with pytest.raises(DecodeError, match="note"):
        added.decode(written)
    narrowed = AvroCodec(record(ID), reader_schema=record({"name": "id", "type": "string"}))
    with pytest.raises(DecodeError, match=r"int.*string"):
        narrowed.decode(written)


class Status(enum.Enum):
    """An enum whose values are Avro's symbols."""

    OPEN = "open"
    PAID = "paid"


@dataclass
class Line:
    """A record in a list."""

    sku: str
    count: int = 1


@dataclass
class Order:
    """A recursive dataclass with most of what there is."""

    id: int
    at: datetime
    amount: Decimal
    who: UUID
    status: Status = Status.OPEN
    lines: list[Line] = field(default_factory=list)
    note: str | None = None
    currency: str | None = "EUR"
    parent: Order | None = None


class Point(msgspec.Struct, rename="camel"):
    """A Struct whose fields are written under other names."""

    x_value: float
    tags: frozenset[str] = frozenset()
    counts: dict[str, int] = {}
    local: Annotated[datetime, msgspec.Meta(tz=False)] | None = None


class Row(TypedDict):
    """A record that is a dict."""

    id: int
    name: str


class Loose(TypedDict):
    """A dict of which nobody knows what it has."""

    id: NotRequired[int]


ORDER = Order(
    7, datetime(2024, 1, 2, tzinfo=UTC), Decimal("1.50"), UUID(int=7), Status.PAID, [Line("a")]
)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Order, ORDER),
        (Order, Order(8, ORDER.at, Decimal("1E+2"), UUID(int=8), parent=ORDER)),
        (Point, Point(1.5, frozenset("ab"), {"a": 1}, datetime(2024, 1, 2, 3))),
        (Row, {"id": 1, "name": "x"}),
        (list[Line], [Line("a", 2)]),
    ],
)
def test_values_of_a_type_come_back_as_they_went_in(kind: Any, value: Any) -> None:
    """The schema is made from the type."""
    codec = AvroCodec(type=kind)
    assert codec.decode(codec.encode(value)) == value


def test_a_derived_schema_has_the_types_names_and_defaults() -> None:
    """Aliases of fields are those that the type writes."""
    at = {"type": "long", "logicalType": "local-timestamp-micros"}
    assert derive_schema(Point) == {
        "type": "record",
        "name": "Point",
        "fields": [
            {"name": "xValue", "type": "double"},
            {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
            {"name": "counts", "type": {"type": "map", "values": "long"}, "default": {}},
            {"name": "local", "type": ["null", at], "default": None},
        ],
    }


def test_a_default_of_an_optional_field_is_one_of_the_first_branch() -> None:
    """As Avro wants it."""
    fields = {f["name"]: f for f in derive_schema(Order)["fields"]}  # type: ignore[call-overload,index]  # a schema may be a name or a list too
    assert fields["currency"] == {"name": "currency", "type": ["string", "null"], "default": "EUR"}
    assert fields["note"] == {"name": "note", "type": ["null", "string"], "default": None}


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        (dict[int, str], "a dict whose keys are not str"),
        (Any, "Any"),
        (Loose, "id, which may be left out"),
        (int | datetime, "a union of two types that are both long"),
    ],
)
def test_a_type_without_an_avro_schema_is_refused(kind: Any, match: str) -> None:
    """The way out is a schema."""
    with pytest.raises(ConfigError, match=f"{match}.*give schema= too"):
        AvroCodec(type=kind)


def test_a_type_may_have_a_schema_of_its_own() -> None:
    """Then a Decimal is Avro's decimal."""

    class Price(msgspec.Struct):
        amount: Decimal

    amount = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
    schema = {"type": "record", "name": "P", "fields": [{"name": "amount", "type": amount}]}
    codec = AvroCodec(schema, type=Price)
    assert codec.encode(Price(Decimal("1.5"))) == b"\x04\x00\x96"
    assert codec.decode(b"\x04\x00\x96") == Price(Decimal("1.50"))


def test_a_value_that_is_not_of_the_type_is_refused() -> None:
    """At the write where the schema shows it, else at the read."""
    codec = AvroCodec(type=Line)
    with pytest.raises(EncodeError, match=r"field count: 1\.7 \(float\) is no long"):
        codec.encode(Line("a", 1.7))  # type: ignore[arg-type]  # what is refused

    class Short(msgspec.Struct):
        sku: Annotated[str, msgspec.Meta(max_length=1)]

    with pytest.raises(DecodeError, match=r"does not fit type=.*Short.*length <= 1"):
        AvroCodec(type=Short).decode(b"\x04ab")
