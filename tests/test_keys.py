"""Keys keep their type in bytes, and their order."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipcore.errors import DecodeError, EncodeError
from slipcore.keys import MAX_DEPTH, decode_key, encode_key, prefix_range

HUGE = int(sys.float_info.max)

numbers = st.one_of(
    st.integers(),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.integers(2**53 - 3, 2**53 + 3),
    st.integers(-(2**63) - 3, -(2**63) + 3),
    st.integers(HUGE - 3, HUGE + 3),
    st.integers(2**1000, 2**1100).map(lambda n: -n),
    st.integers(2**1100, 2**2000),
    st.sampled_from([float(2**53), float(-(2**63)), sys.float_info.max, 5e-324, -5e-324]),
)
surrogates = st.characters(codec=None, min_codepoint=0xD7F0, max_codepoint=0xE010)
texts = st.text(st.one_of(st.characters(exclude_categories=()), surrogates, st.just("\0")))
scalars = st.one_of(st.booleans(), numbers, texts, st.binary(), st.just(b"\0\xff\0"))
keys = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type, all the way down."""
    if type(a) is not type(b):
        return False
    if type(a) is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def reference(key: Any) -> tuple[Any, ...]:
    """A key as something that Python itself sorts as keys are documented to be sorted."""
    if type(key) is bool:
        return (0, key)
    if type(key) in (int, float):
        infinite = type(key) is float and math.isinf(key)
        value = Fraction(0) if infinite else Fraction(key)
        side = int(math.copysign(1, key)) if infinite else 0
        return (1, side, value, type(key) is float)
    if type(key) is str:
        return (2, [ord(c) for c in key])
    if type(key) is bytes:
        return (3, key)
    return (4, [reference(k) for k in key])


@given(keys)
@example(-0.0)
@example(())
@example(((), ("",), (b"",)))
@example(2**200_000)
@example(-(2**1_000))
def test_a_key_comes_back_with_its_type(key: Any) -> None:
    """What is decoded equals what was encoded, type included."""
    assert same(key, decode_key(encode_key(key)))


def _pairs() -> Any:
    return st.one_of(st.tuples(keys, keys), st.tuples(numbers, numbers), st.tuples(texts, texts))


@given(_pairs())
@example((1, 1.0))
@example((2**53 + 1, float(2**53)))
@example((HUGE + 1, math.inf))
@example((HUGE + 1, sys.float_info.max))
@example(("a", "a\0"))
@example((("a",), ("a\0",)))
@example((("a", 1), ("a\0", 0)))
@example((((),), ((), ())))
@example(("\uffff", "\U00010000"))
def test_bytes_sort_as_their_keys(pair: tuple[Any, Any]) -> None:
    """The order of the bytes is the order of the keys, and different keys have different bytes."""
    one, two = pair
    left, right = encode_key(one), encode_key(two)
    assert (left < right) == (reference(one) < reference(two))
    assert (left == right) == (reference(one) == reference(two))


def test_a_documented_order() -> None:
    """Keys of all types stand in one order."""
    expected: list[Any] = [
        False, True,
        -math.inf, -(10**400), -1e300, -2, -1.5, -1, 0, 0.0, 5e-324, 1, 1.0, 2,
        2**53, float(2**53), 2**53 + 1, 10**400, math.inf,
        "", "A", "a", "a\0", "aa", "é", "\ud800", "🏆",
        b"", b"\0", b"a", b"\xff",
        (), (False,), (1, 2), (1.0,), ("a",), ("a", "b"), ("a\0",), ("aa",), ((),),
    ]  # fmt: skip
    assert expected == [decode_key(k) for k in sorted(encode_key(k) for k in reversed(expected))]


def test_minus_zero_is_zero() -> None:
    """-0.0 and 0.0, being equal, are one key."""
    assert encode_key(-0.0) == encode_key(0.0)
    assert math.copysign(1, decode_key(encode_key(-0.0))) == 1  # type: ignore[arg-type]  # a key that is a number


@given(st.one_of(st.tuples(texts, texts), st.tuples(st.binary(), st.binary())))
@example(("a", "a"))
@example((b"\xff", b"\xff\xff"))
def test_a_prefix_of_text_or_bytes(pair: tuple[Any, Any]) -> None:
    """The range of a prefix holds the keys of its type that begin with it, and no other."""
    prefix, rest = pair
    start, end = prefix_range(prefix)
    for key in (prefix, prefix + rest, rest):
        assert (start <= encode_key(key) < end) == key.startswith(prefix)


@given(st.lists(keys, max_size=3).map(tuple), st.lists(keys, max_size=3).map(tuple), keys)
def test_a_prefix_of_elements(prefix: tuple[Any, ...], rest: tuple[Any, ...], other: Any) -> None:
    """The range of a tuple holds the tuples that begin with its elements, and no other."""
    start, end = prefix_range(prefix)
    for key in (prefix, prefix + rest, rest, other):
        begins = type(key) is tuple and same(key[: len(prefix)], normal(prefix))
        assert (start <= encode_key(key) < end) == begins


def normal(key: Any) -> Any:
    """A key as its bytes give it back."""
    return decode_key(encode_key(key))


@pytest.mark.parametrize("prefix", [1, 1.5, True, None, ["a"]])
def test_what_has_no_beginning(prefix: Any) -> None:
    """A prefix that is neither text, bytes nor tuple is refused, with its value."""
    with pytest.raises(EncodeError, match="a prefix is a str, bytes or a tuple, not "):
        prefix_range(prefix)


class Name(str):
    """A subclass of a key's type."""


@pytest.mark.parametrize(
    "key", [None, ["a"], {"a"}, Name("a"), ("a", None), (("a", [1]),), bytearray(b"a"), 1j]
)
def test_what_is_no_key(key: Any) -> None:
    """A key of another type, however deep, is refused in a sentence that names the type."""
    with pytest.raises(EncodeError, match="a key is a bool, int, float, str, bytes or a tuple"):
        encode_key(key)


def test_nan_is_no_key() -> None:
    """NaN is refused, since it sorts nowhere."""
    with pytest.raises(EncodeError, match="NaN can't be a key"):
        encode_key((1, math.nan))


def test_tuples_nested_too_deep() -> None:
    """Nesting has a limit instead of a RecursionError, on both ways."""
    key: Any = "deepest"
    for _ in range(MAX_DEPTH):
        key = (key,)
    assert normal(key) == key
    with pytest.raises(EncodeError, match="at most 100 deep"):
        encode_key((key,))
    with pytest.raises(DecodeError, match="more than 100 deep"):
        decode_key(b"\x40" * 10_000)


@given(
    st.one_of(st.binary(), st.binary().map(lambda b: b"\x10" + b), keys.map(encode_key)), st.data()
)
def test_bytes_that_are_no_key(data: bytes, draw: st.DataObject) -> None:
    """Any bytes, whole or truncated, are decoded or refused with a DecodeError."""
    length = draw.draw(st.integers(0, len(data)))
    try:
        decode_key(data[:length])
    except DecodeError as error:
        assert "is not the bytes of a key" in str(error)
