"""What codecs write, what comes back, and what they refuse."""

from __future__ import annotations

import enum
import math
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipcore.backends import codecs as named
from slipcore.codecs import ExactCodec, JsonCodec, TypedCodec
from slipcore.errors import CodecError, ConfigError, DecodeError, EncodeError
from slipcore.interfaces import ICodec

zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23))),
    st.just(timezone(timedelta(hours=1), "Ort")),
    st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("UTC")]),
)
folds = st.integers(0, 1)
hashable = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(2**200), 2**200),
        st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]),
        st.floats(),
        st.text(st.characters(exclude_categories=())),
        st.binary(),
        st.builds(lambda d, z, f: d.replace(tzinfo=z, fold=f), st.datetimes(), zones, folds),
        st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), zones, folds),
        st.dates(),
        st.timedeltas(),
        st.decimals().filter(lambda d: not d.is_snan()),
        st.uuids(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.frozensets(inner, max_size=4)
    ),
    max_leaves=4,
)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=4),
    ),
    max_leaves=10,
)


def shape(value: Any) -> Any:
    """A value in a form that compares types, zones, order, NaN and -0.0 too."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, [shape(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted(repr(shape(item)) for item in value)
    if kind is dict:
        return kind, [(shape(k), shape(v)) for k, v in value.items()]
    if kind in (datetime, time):
        return kind, repr(value), type(value.tzinfo), value.fold
    return kind, repr(value)


@given(values)
@example("\ud800")
@example({"\ud800": [2**64, {1: (2, 3)}]})
@example({2**70: "a", "b": {None: 1.5}})
@example([-0.0, math.nan, math.inf, -math.inf])
@example(Decimal("sNaN"))
@example({(1, "a"): {frozenset({1}): {date(2024, 2, 29)}}})
def test_what_comes_out_of_a_cache_equals_what_went_in(value: Any) -> None:
    """The exact codec keeps values, types, time zones, folds and the order of dictionaries."""
    codec = ExactCodec()
    assert shape(codec.decode(codec.encode(value))) == shape(value)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, b"\xc0"),
        ("a", b"\xa1a"),
        ([1, "a"], b"\x92\x01\xa1a"),
        ({"a": 1}, b"\x81\xa1a\x01"),
        ((1,), b"\xd5\x03\x91\x01"),
        (2**64, b"\xc7\x09\x01\x01" + b"\0" * 8),
        (UUID(int=1), b"\xd8\x0c" + b"\0" * 15 + b"\x01"),
        (date(1, 1, 2), b"\xd6\x08\0\0\0\x02"),
        (datetime(2024, 1, 2, 3, 4, 5, 6, UTC), b"\xc7\x0d\x07\x07\xe8\1\2\3\4\5\0\0\0\6\0u"),
    ],
)
def test_stored_bytes_stay_as_they_are(value: Any, data: bytes) -> None:
    """What an older version has stored is read by this one: the format is fixed."""
    assert ExactCodec().encode(value) == data
    assert ExactCodec().decode(data) == value


class Color(enum.IntEnum):
    """An integer that would come back as a plain one."""

    RED = 1


class Local(tzinfo):
    """A zone of one's own."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


@dataclass
class Order:
    """A dataclass."""

    id: int
    note: str | None = None


class Line(msgspec.Struct):
    """A Struct."""

    id: int


class Price(TypedDict):
    """A typed dictionary."""

    amount: float


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Counter("aa"), "collections.Counter"),
        (OrderedDict(a=1), "collections.OrderedDict"),
        (Color.RED, "Color"),
        (Point(1, 2), "Point"),
        (Order(1), "Order"),
        (Line(1), "Line"),
        (bytearray(b"a"), "builtins.bytearray"),
        (object(), "builtins.object"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [1, v], lambda v: {"a": ({1: v},)}])
def test_what_would_not_come_out_as_it_went_in(
    value: Any, name: str, wrap: Callable[[Any], Any]
) -> None:
    """Subclasses and other objects are refused, in a sentence with their type and the way out."""
    with pytest.raises(EncodeError, match=f'{name} can\'t be stored.*type=.*codec="pickle"'):
        ExactCodec().encode(wrap(value))


def test_a_time_zone_of_ones_own_is_refused() -> None:
    """A zone that could not be found again is refused by its name."""
    with pytest.raises(EncodeError, match="ZoneInfo with a key, not as .*Local"):
        ExactCodec().encode(datetime(2024, 1, 1, tzinfo=Local()))


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}])
def test_values_nested_too_deep(wrap: Callable[[Any], Any]) -> None:
    """Nesting has a limit instead of a RecursionError, and what is within it comes back."""
    codec = ExactCodec()
    value: Any = 1
    for _ in range(100):
        value = wrap(value)
    assert codec.decode(codec.encode(value)) == value
    with pytest.raises(EncodeError, match="nested at most 100 deep"):
        codec.encode(wrap(value))


def test_a_value_that_contains_itself() -> None:
    """A cycle is refused."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(EncodeError, match="or contains itself"):
        ExactCodec().encode(value)


codecs = [
    ExactCodec(),
    TypedCodec(Order),
    named.TextCodec(),
    named.JsonCodec(),
    named.JsonCodec(type=Order),
    named.MsgpackCodec(),
    named.MsgpackCodec(type=Order),
    named.PickleCodec(),
]


@pytest.mark.parametrize("codec", codecs[:-1], ids=lambda c: type(c).__name__)
@given(data=st.one_of(st.binary(), st.binary().map(lambda b: b"\xd5" + b)))
def test_bytes_of_another_codec(codec: ICodec, data: bytes) -> None:
    """Any bytes are decoded or refused with a DecodeError."""
    try:
        codec.decode(data)
    except DecodeError as error:
        assert "the bytes " in str(error)


@given(st.integers(1, 12), st.binary(max_size=24))
def test_malformed_extensions(code: int, payload: bytes) -> None:
    """An extension with any payload is decoded or refused with a DecodeError."""
    try:
        ExactCodec().decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(code, payload)))
    except DecodeError as error:
        assert "not a stored value" in str(error)


@given(values, st.data())
def test_truncated_values(value: Any, draw: st.DataObject) -> None:
    """Bytes that end too early are refused with a DecodeError."""
    data = ExactCodec().encode(value)
    length = draw.draw(st.integers(0, len(data) - 1))
    with pytest.raises(DecodeError):
        ExactCodec().decode(data[:length])


@pytest.mark.parametrize("codec", codecs, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("deep", [b"[" * 100_000, b"\x91" * 100_000])
def test_deep_bytes(codec: ICodec, deep: bytes) -> None:
    """Bytes that nest without end are refused with a DecodeError, or are text."""
    try:
        assert codec.decode(deep) == deep.decode()
    except DecodeError as error:
        assert str(error)


def test_a_type_is_kept() -> None:
    """A typed codec gives back objects of its type."""
    for value in (Order(1, "a"), Line(2)):
        codec = TypedCodec(type(value))
        assert codec.decode(codec.encode(value)) == value
    assert TypedCodec(Price).decode(TypedCodec(Price).encode({"amount": 1.5})) == {"amount": 1.5}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Order, {"id": 1}, "the value is dict, not Order"),
        (Order, Line(1), "the value is Line, not Order"),
        (Order, Order("one"), r"does not fit type=Order: Expected `int`, got `str` - at `\$.id`"),  # type: ignore[arg-type]  # what is refused
        (Price, {"price": 1}, "does not fit type=Price: Object missing required field `amount`"),
        (list[int], [1, "a"], r"does not fit type=list\[int\]|does not fit type=list"),
    ],
)
def test_a_value_that_is_not_of_the_type(kind: Any, value: Any, message: str) -> None:
    """What could not be read again is refused when it is written."""
    with pytest.raises(EncodeError, match=message):
        TypedCodec(kind).encode(value)


def test_bytes_of_another_type() -> None:
    """The reason names the field."""
    with pytest.raises(DecodeError, match=r"no value of type=Order: .*missing.*`id`"):
        TypedCodec(Order).decode(b"\x80")


@pytest.mark.parametrize("make", [TypedCodec, lambda t: named.JsonCodec(type=t)])
def test_a_type_that_no_codec_knows(make: Callable[[Any], ICodec]) -> None:
    """A type that msgspec can't read is a matter of configuration."""
    with pytest.raises(ConfigError, match="type=.*not supported"):
        make(Line | Order)


def test_json_is_the_standard_librarys() -> None:
    """`JsonCodec` writes what `json.dumps` writes, and what it can't as `str` has it."""
    value = {"a": [1, 2.5, None], "é": UUID(int=1), "when": date(2024, 1, 2), "t": (1,)}
    data = JsonCodec().encode(value)
    assert data == (
        b'{"a": [1, 2.5, null], "\\u00e9": "00000000-0000-0000-0000-000000000001", '
        b'"when": "2024-01-02", "t": [1]}'
    )
    assert JsonCodec().decode(data)["t"] == [1]  # type: ignore[index]  # what comes out is a dictionary here


def test_text() -> None:
    """Text is UTF-8 and nothing else."""
    codec = named.TextCodec()
    assert codec.encode("é🏆") == b"\xc3\xa9\xf0\x9f\x8f\x86"
    assert codec.decode(b"\xc3\xa9") == "é"
    for value in (b"a", 1, 1.5, None, {"a": 1}):
        with pytest.raises(EncodeError, match=f"writes str, not {type(value).__name__}: pass str"):
            codec.encode(value)
    with pytest.raises(EncodeError, match="surrogates not allowed"):
        codec.encode("\ud800")
    with pytest.raises(DecodeError, match='not UTF-8 text .*codec="raw"'):
        codec.decode(b"\xff")


def test_raw() -> None:
    """Bytes pass as they are, and only bytes."""
    codec = named.RawCodec()
    assert [codec.encode(v) for v in (b"a", bytearray(b"b"), memoryview(b"c"))] == [
        b"a",
        b"b",
        b"c",
    ]
    assert codec.decode(b"\xff") == b"\xff"
    with pytest.raises(EncodeError, match="writes bytes, bytearray or memoryview, not str"):
        codec.encode("a")


@pytest.mark.parametrize("make", [named.JsonCodec, named.MsgpackCodec])
def test_json_and_msgpack(make: Callable[..., ICodec]) -> None:
    """They carry plain values, and objects of a type where one is given."""
    value = {"a": [1, None, "é", {"b": 2.5}]}
    assert make().decode(make().encode(value)) == value
    assert make(type=Order).decode(make().encode(Order(1, "x"))) == Order(1, "x")
    with pytest.raises(DecodeError, match=r"Expected `int`, got `str` - at `\$.id`"):
        make(type=Order).decode(make().encode({"id": "1"}))
    with pytest.raises(EncodeError, match="can't write this object: .*unsupported"):
        make().encode(object())


@pytest.mark.parametrize(
    "value", [math.nan, [1, math.inf], {"a": {1: -math.inf}}, Price(amount=math.nan)]
)
def test_json_has_no_nan(value: Any) -> None:
    """What would come back as null is refused."""
    with pytest.raises(EncodeError, match="Out of range float values are not JSON compliant"):
        named.JsonCodec().encode(value)


def test_pickle() -> None:
    """Pickle carries any object that it can find again."""
    codec = named.PickleCodec()
    assert codec.decode(codec.encode(Counter("aa"))) == Counter("aa")
    with pytest.raises(EncodeError, match="can't write this function"):
        codec.encode(lambda: None)
    for data in (b"", b"\x80\x05", b"garbage"):
        with pytest.raises(DecodeError, match="the bytes can't be read as pickle"):
            codec.decode(data)


@pytest.mark.parametrize("make", [named.TextCodec, named.RawCodec, named.PickleCodec])
def test_codecs_without_types(make: Any) -> None:
    """A type beside a codec that takes none is an error that names both."""
    with pytest.raises(ConfigError, match=f"the codec {make.name} takes no type=Order: use codec="):
        make(named.CodecOptions(), Order)


def test_options_are_checked() -> None:
    """A setting that no codec has is refused."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `level`"):
        msgspec.convert({"level": 1}, named.CodecOptions)


def test_an_error_of_a_codec_is_one_of_its_kind() -> None:
    """Whoever catches CodecError catches both directions."""
    assert issubclass(EncodeError, CodecError)
    assert issubclass(DecodeError, CodecError)
