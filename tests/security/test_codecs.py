"""Bytes from elsewhere are read or refused: quickly, in little memory, and saying which record."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slipcore.engine.decoding import BatchDecoder
from slipcore.interfaces import DecodeError, ICodec, Record

from .bombs import BOMBS, MEGABYTE, codecs

ROOT = Path(__file__).parents[2]
SECONDS = 5.0
"""What a bomb may take: it takes milliseconds; what this is for took minutes, or for ever."""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_little_cost(name: str) -> None:
    """In a process of 1 GB: a DecodeError each, in seconds, in at most three times the bytes."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.bombs", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["bomb"] for each in found] == list(BOMBS[name]), done.stderr
    for each in found:
        assert each["outcome"].startswith("DecodeError: "), each
        assert len(each["outcome"]) < 500, each
        assert each["seconds"] < SECONDS, each
        assert each["bytes"] < 3 * len(BOMBS[name][each["bomb"]]) + 16 * MEGABYTE, each


def decoded(codec: ICodec, *values: bytes) -> tuple[list[Any], DecodeError | None]:
    """What a topic makes of records from offset 7 on."""
    records = [Record(value, None, "orders", 3, 7 + n, 0, ()) for n, value in enumerate(values)]
    good, error = asyncio.run(BatchDecoder(codec, codec).decoded(records))
    return [record.value for record in good], error


@pytest.mark.parametrize("name", BOMBS)
def test_the_record_that_can_not_be_read_is_named(name: str) -> None:
    """By topic, partition and offset, as attributes and in the sentence."""
    for data in BOMBS[name].values():
        good, error = decoded(codecs()[name], data)
        assert good == []
        assert error is not None
        assert (error.topic, error.partition, error.offset) == ("orders", 3, 7)
        assert "orders[3]@7" in str(error)


def test_those_before_it_are_handed_over() -> None:
    """What is wrong with one record is not held against its neighbours."""
    good, error = decoded(codecs()["json"], b"1", b"[2]", b"[" * 5000, b"4")
    assert good == [1, [2]]
    assert error is not None
    assert error.offset == 9


@pytest.mark.parametrize("name", codecs())
def test_any_bytes_are_read_or_refused(name: str) -> None:
    """Whatever they are, nothing but a DecodeError is raised, and it is one short sentence."""
    codec = codecs()[name]

    @settings(max_examples=150, deadline=20_000, database=None)  # no bytes are a bomb
    @given(st.binary(max_size=64))
    @example(pickle.dumps({"a": 1}))
    def check(data: bytes) -> None:
        try:
            codec.decode(data)
        except DecodeError as error:
            assert 0 < len(str(error)) < 1000

    check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", "grüße" * 5),
        ("json", {"a": [1, "two", {"three": None}]}),
        ("library json", {"a": [1, "two", {"three": None}]}),
        ("msgpack", {"a": [1, "two", {"three": b"4"}]}),
        ("exact", {"a": (1, {2, 3}, [{"four": 5.0}], (6, (7, (8,))))}),
        ("avro texts", ["one", "two"]),
        ("avro recursive", {"v": 1, "n": {"v": 2, "n": None}}),
        ("avro lists", [[None] * 3, []]),
    ],
)
def test_damaged_bytes_are_read_or_refused(name: str, value: Any) -> None:
    """So it is with a value of which some bytes were changed, lost or added."""
    codec = codecs()[name]
    whole = codec.encode(value)
    assert codec.decode(whole) == value

    @settings(max_examples=150, deadline=20_000, database=None)  # no bytes are a bomb
    @given(st.integers(0, len(whole)), st.integers(0, 4), st.binary(max_size=9))
    def check(at: int, lost: int, added: bytes) -> None:
        data = whole[:at] + added + whole[at + lost :]
        try:
            codec.decode(data)
        except DecodeError as error:
            assert 0 < len(str(error)) < 1000

    check()


def test_what_is_allowed_is_as_deep_as_before() -> None:
    """Values nested a hundred deep, as caches take them, are read again."""
    value: Any = 1
    for _ in range(100):
        value = (value,)
    codec = codecs()["exact"]
    assert codec.decode(codec.encode(value)) == value


def test_as_many_empty_items_are_written_as_are_read() -> None:
    """An array of 10,000 nulls goes there and back; one more is refused where it is written."""
    codec = codecs()["avro nulls"]
    assert codec.decode(codec.encode([None] * 10_000)) == [None] * 10_000
    with pytest.raises(TypeError, match="more than 10000 items that take no bytes"):
        codec.encode([None] * 10_001)
