"""What is written, what comes back, and what is refused, without a registry."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slip_avro import AvroCodec

from slipcore.interfaces import ConfigError, DecodeError, EncodeError

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "customer", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "currency", "type": {"type": "enum", "name": "Currency", "symbols": ["EUR"]}},
        {"name": "paid", "type": "boolean"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}
VALUE = {"id": 7, "customer": "ann", "amount": 1.5, "currency": "EUR", "paid": True, "note": None}
NODE: dict[str, Any] = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "n", "type": "long"}, {"name": "next", "type": ["null", "Node"]}],
}


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def in_record(schema: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": "f", "type": schema}]}


def test_a_schema_is_a_table_text_or_a_file(tmp_path: Path) -> None:
    """The bytes are Avro's, the same from each of them."""
    file = tmp_path / "order.avsc"
    file.write_text(json.dumps(ORDER))
    codecs = [AvroCodec(given) for given in (ORDER, json.dumps(ORDER), file, str(file))]
    expected = b"\x0e\x06ann" + struct.pack("<d", 1.5) + b"\x00\x01\x00"
    assert [codec.encode(VALUE) for codec in codecs] == [expected] * 4
    assert [codec.decode(expected) for codec in codecs] == [VALUE] * 4


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("missing.avsc", r"missing\.avsc can't be read \(No such file.*a path is taken from /"),
        ('{"type": ', "is not JSON"),
        ({"type": "recor"}, r"is no Avro schema: there is no type"),
        ({"type": "array"}, "is no Avro schema: it lacks 'items'"),
        (None, "no schema: give schema="),
    ],
)
def test_what_is_no_schema_is_refused_at_once(given: Any, match: str) -> None:
    """The error says what was given, what is wrong and what to do."""
    with pytest.raises(ConfigError, match=match):
        AvroCodec(given)


@pytest.mark.parametrize(
    ("schema", "value", "match"),
    [
        ("long", 1.7, r"1\.7 \(float\) is no long: give an int"),
        ("long", True, r"True \(bool\) is no long"),
        ("long", Decimal("1.5"), r"is no long"),
        ("long", 2**63, "9223372036854775808 is out of the range of long"),
        ("int", 2**31, "2147483648 is out of the range of int"),
        ("boolean", "no", "a str is no boolean"),
        ("double", 2**60 + 1, "it would lose digits"),
        ("double", "1", "a str is no double"),
        ("float", 1e300, "out of the range of float"),
        ("null", 5, "is not null"),
        ("string", b"x", "must be string|is no string"),
        ("bytes", "x", "a str is no bytes|bytes-like"),
        ("string", "\ud800", "surrogates not allowed"),
        ({"type": "array", "items": "string"}, "abc", "a str is no array"),
        ({"type": "array", "items": "long"}, [1, 1.7], r"1: 1\.7 \(float\) is no long"),
        ({"type": "map", "values": "long"}, {"a": 1.7}, r"a: 1\.7 \(float\) is no long"),
        ({"type": "map", "values": "long"}, {1: 1}, "must be string"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B", "'B' is not in list|none of A"),
        ({"type": "fixed", "name": "F", "size": 2}, b"abc", "3 does not match|not 2 bytes"),
        (["null", "long"], 1.7, r"1\.7 \(float\) is no long"),
        (["null", "string", "long"], 1.7, "is no"),
        (logical("long", "timestamp-micros"), datetime(2024, 1, 1), "has no zone: give one"),
        (["null", logical("long", "timestamp-micros")], datetime(2024, 1, 1), "has no zone"),
        (logical("long", "timestamp-micros"), 1.5, "is no long"),
        (logical("long", "local-timestamp-micros"), datetime(2024, 1, 1, tzinfo=UTC), "has a zone"),
        (logical("int", "date"), datetime(2024, 1, 1), "has a time, which a date does not keep"),
        (logical("long", "time-micros"), time(1, tzinfo=UTC), "has a zone"),
        (logical("bytes", "decimal", precision=4, scale=2), Decimal("1.234"), "[Ss]cale"),
        (logical("bytes", "decimal", precision=4, scale=2), Decimal("123.45"), "precision"),
        (logical("bytes", "decimal", precision=4, scale=2), Decimal("NaN"), "a finite Decimal"),
        (logical("bytes", "decimal", precision=4, scale=2), 1.5, r"1\.5 \(float\) is no decimal"),
        (logical("string", "uuid"), "nope", "a str is no UUID"),
    ],
)
def test_nothing_is_written_that_would_come_back_otherwise(
    schema: Any, value: Any, match: str
) -> None:
    """By itself or as a field, which is then named."""
    with pytest.raises(EncodeError, match=match):
        AvroCodec(schema).encode(value)
    with pytest.raises(EncodeError, match=match):
        AvroCodec(in_record(schema)).encode({"f": value})


def test_the_field_that_does_not_fit_is_named() -> None:
    """With the way to it."""
    codec = AvroCodec(in_record({"type": "array", "items": ORDER}))
    with pytest.raises(EncodeError, match=r"the value is no R: field f\.1\.id: 1\.7"):
        codec.encode({"f": [VALUE, {**VALUE, "id": 1.7}]})


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({**VALUE, "extra": 1}, "more fields than the schema specifies: extra"),
        ({k: v for k, v in VALUE.items() if k != "id"}, "Field id is specified.*missing"),
        ([VALUE], "a list is no record"),
        ("x", "a str is no record"),
    ],
)
def test_a_record_has_the_fields_of_its_schema(value: Any, match: str) -> None:
    """None more, and none less but those with a default."""
    codec = AvroCodec(ORDER)
    with pytest.raises(EncodeError, match=match):
        codec.encode(value)
    assert codec.decode(codec.encode({k: v for k, v in VALUE.items() if k != "note"})) == VALUE


def test_bytes_are_read_to_the_last_and_no_further() -> None:
    """A truncated value and trailing bytes are refused, at every length."""
    codec = AvroCodec(ORDER)
    data = codec.encode({**VALUE, "note": "in a hurry"})
    for length in range(len(data)):
        with pytest.raises(DecodeError, match=r"the bytes are no shop\.Order in Avro: "):
            codec.decode(data[:length])
    with pytest.raises(DecodeError, match="2 are left over; they were written with another schema"):
        codec.decode(data + b"\x00\x00")


@settings(deadline=None)  # how busy the machine is says nothing
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """With a DecodeError, whatever fastavro raises."""
    for codec in (AvroCodec(ORDER), AvroCodec(NODE), AvroCodec(["null", "string", NODE])):
        with suppress(DecodeError):
            codec.decode(data)


def test_bytes_that_nest_without_end_are_refused() -> None:
    """fastavro's compiled reader would take the process with it."""
    data = b"\x02\x02" * 200_000 + b"\x02\x00"
    with pytest.raises(DecodeError, match="nested too deep"):
        AvroCodec(NODE).decode(data)


def test_a_recursive_value_is_written_as_deep_as_it_can_be_read() -> None:
    """One that is deeper, or contains itself, is refused."""
    codec = AvroCodec(NODE)

    def nested(depth: int) -> Any:
        value: Any = None
        for n in range(depth):
            value = {"n": n, "next": value}
        return value

    assert codec.decode(codec.encode(nested(99))) == nested(99)
    endless: dict[str, Any] = {"n": 1}
    endless["next"] = endless
    for value in (nested(101), nested(100_000), endless):
        with pytest.raises(EncodeError, match="nested more than 100 deep"):
            codec.encode(value)


def test_records_of_a_union_are_pairs_of_a_name_and_a_dict() -> None:
    """What is read can be written again, though the records look the same."""
    paid = {**in_record("long"), "name": "Paid"}
    refunded = {**in_record("long"), "name": "Refunded"}
    codec = AvroCodec(in_record(["null", paid, refunded]))
    value = {"f": ("Refunded", {"f": 1})}
    assert codec.decode(codec.encode(value)) == value
    with pytest.raises(EncodeError, match=r"1\.7 \(float\) is no long"):
        codec.encode({"f": ("Refunded", {"f": 1.7})})


def whole(unit: int) -> Any:
    """Datetimes whose microseconds are a multiple."""
    moments = st.datetimes(datetime(1800, 1, 1), datetime(2400, 1, 1))
    return moments.map(lambda d: d.replace(microsecond=d.microsecond // unit * unit))


zones = st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9))])


def zoned(moments: Any) -> Any:
    return st.builds(lambda moment, zone: moment.replace(tzinfo=zone), moments, zones)


def cents(precision: int) -> Any:
    return st.integers(1 - 10**precision, 10**precision - 1).map(lambda n: Decimal(n).scaleb(-2))


NUMBERS = count()
"""For names: each is of one type."""

LEAVES: list[tuple[Any, Any]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32, allow_nan=False)),
    ("double", st.floats(allow_nan=False)),
    ("bytes", st.binary(max_size=8)),
    ("string", st.text(max_size=8)),
    (logical("long", "timestamp-micros"), zoned(whole(1))),
    (logical("long", "timestamp-millis"), zoned(whole(1000))),
    (logical("long", "local-timestamp-micros"), whole(1)),
    (logical("long", "local-timestamp-millis"), whole(1000)),
    (logical("int", "date"), st.dates()),
    (logical("long", "time-micros"), st.times()),
    (logical("int", "time-millis"), whole(1000).map(lambda moment: moment.time())),
    (logical("bytes", "decimal", precision=9, scale=2), cents(9)),
    (logical("string", "uuid"), st.uuids()),
]


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> tuple[Any, Any]:
    """A schema, and a strategy for its values."""
    kind = draw(st.sampled_from(["leaf", "array", "map", "record", "optional"]))
    if depth == 0 or kind == "leaf":
        leaf: tuple[Any, Any] = draw(st.sampled_from(LEAVES))
        return leaf
    if kind == "record":
        inner = draw(st.lists(schemas(depth - 1), min_size=1, max_size=4))
        fields = [{"name": f"f{n}", "type": schema} for n, (schema, _) in enumerate(inner)]
        name = f"R{next(NUMBERS)}"
        values = st.fixed_dictionaries({f"f{n}": value for n, (_, value) in enumerate(inner)})
        return {"type": "record", "name": name, "fields": fields}, values
    schema, values = draw(schemas(depth - 1))
    if kind == "array":
        return {"type": "array", "items": schema}, st.lists(values, max_size=3)
    if kind == "map":
        return {"type": "map", "values": schema}, st.dictionaries(st.text(max_size=3), values)
    if schema == "null" or isinstance(schema, list):
        return schema, values
    return ["null", schema], st.none() | values


@settings(deadline=None)  # how busy the machine is says nothing
@given(st.data())
def test_what_is_read_equals_what_was_written(data: st.DataObject) -> None:
    """For every schema and value, logical types included; no byte is left over or missing."""
    schema, values = data.draw(schemas())
    value = data.draw(values)
    codec = AvroCodec(schema)
    written = codec.encode(value)
    assert codec.decode(written) == value
    with pytest.raises(DecodeError):
        codec.decode(written + b"\x00")


def test_what_fastavro_gives_has_the_types_that_were_written() -> None:
    """Moments come back in UTC, decimals with the schema's scale, UUIDs as UUIDs."""
    fields = [
        {"name": "at", "type": logical("long", "timestamp-micros")},
        {"name": "sum", "type": logical("bytes", "decimal", precision=6, scale=2)},
        {"name": "who", "type": logical("string", "uuid")},
        {"name": "day", "type": logical("int", "date")},
    ]
    codec = AvroCodec({"type": "record", "name": "R", "fields": fields})
    at = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))
    value = {"at": at, "sum": Decimal("1.5"), "who": UUID(int=7), "day": date(2024, 2, 29)}
    got = codec.decode(codec.encode(value))
    assert repr(got) == repr(
        {
            "at": datetime(2024, 1, 2, 1, 4, 5, 678901, tzinfo=UTC),
            "sum": Decimal("1.50"),
            "who": UUID(int=7),
            "day": date(2024, 2, 29),
        }
    )
