"""What is decoded, encoded and kept in batches or in memory, beside doing it one by one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from slipcore import App, Out, Record
from slipcore.backends.memory.broker import Broker
from slipcore.engine.decoding import BatchDecoder
from slipcore.interfaces import DecodeError, ITopicCodec, Part, UnpreparedError
from slipcore.partitioning import partition_for

from .programs import surroundings

RANDOM = settings(max_examples=60, deadline=None, derandomize=True)


def make_app() -> App:
    config, plugins = surroundings()
    return App("twins", config=config, plugins=plugins)


JSON, TEXT = make_app().topic("in", codec="json").codecs()


class Fetched(ITopicCodec):
    """Reads JSON whose first byte names what has to be fetched first; what is odd is not there."""

    def __init__(self, known: set[int]) -> None:
        self.known = set(known)

    def bind(self, topic: str, part: Part) -> Fetched:
        return self

    def encode(self, obj: Any) -> bytes:
        raise NotImplementedError

    def decode(self, s: bytes) -> object:
        raise NotImplementedError

    def decode_record(self, record: Record) -> object:
        if record.value[0] not in self.known:
            raise UnpreparedError("it is not fetched yet")
        if record.value[0] % 2:
            raise DecodeError("there is no such thing")
        return json.loads(record.value[1:])

    async def prepare(self, records: Sequence[Record]) -> None:
        self.known.update(r.value[0] for r in records if r.value is not None)


def one_by_one(
    codec: Any, key_codec: Any, records: list[Record]
) -> tuple[list[Record], int | None]:
    """The records up to the first that can't be decoded, and its offset."""
    good: list[Record] = []
    for r in records:
        try:
            if isinstance(codec, Fetched) and r.value is not None:
                codec.known.add(r.value[0])
                value = codec.decode_record(r)
            else:
                value = None if r.value is None else codec.decode(r.value)
            key = None if r.key is None else key_codec.decode(r.key)
        except Exception:
            return good, r.offset
        good.append(Record(value, key, r.topic, r.partition, r.offset, r.timestamp, r.headers))
    return good, None


VALUES = st.one_of(
    st.none(),
    st.recursive(
        st.integers() | st.text() | st.booleans(), lambda inner: st.lists(inner, max_size=3)
    ).map(lambda value: json.dumps(value).encode()),
)
KEYS = st.none() | st.text(max_size=3).map(str.encode)


def batches(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Record]]:
    """Records of a partition; now and then one of them is not what its codec writes."""
    bad = st.just((b"\xff{", None)) | st.just((None, b"\xff"))
    good = st.tuples(values, KEYS)
    headers = st.just((("trace", b"1"),)) | st.just(())
    return st.lists(st.tuples(st.one_of(good, good, good, bad), headers), max_size=8).map(
        lambda pairs: [
            Record(value, key, "in", 0, 7 + i, 1_000 + i, more)
            for i, ((value, key), more) in enumerate(pairs)
        ]
    )


@RANDOM
@given(records=batches(VALUES))
def test_a_batch_is_decoded_as_its_records_are(records: list[Record]) -> None:
    """Up to the first that can't be: values, keys, tombstones, places and headers."""
    good, error = asyncio.run(BatchDecoder(JSON, TEXT).decoded(records))
    expected, at = one_by_one(JSON, TEXT, records)
    assert list(good) == expected
    assert (None if error is None else error.offset) == at


@RANDOM
@given(
    records=batches(
        st.none()
        | st.tuples(st.sampled_from([0, 1, 2, 4]), st.integers(0, 9)).map(
            lambda pair: bytes([pair[0]]) + str(pair[1]).encode()
        )
    ),
    known=st.sets(st.sampled_from([0, 1, 2])),
)
def test_a_batch_is_fetched_for_as_its_records_are(records: list[Record], known: set[int]) -> None:
    """Whatever was fetched before."""
    good, error = asyncio.run(BatchDecoder(Fetched(known), TEXT).decoded(records))
    expected, at = one_by_one(Fetched(known), TEXT, records)
    assert list(good) == expected
    assert (None if error is None else error.offset) == at


@RANDOM
@given(
    outputs=st.lists(
        st.builds(
            Out,
            value=st.none() | st.integers() | st.lists(st.text(max_size=2), max_size=2),
            key=st.none() | st.text(max_size=3),
            headers=st.just((("trace", b"1"),)) | st.just(()),
            timestamp=st.integers(1, 10),
            partition=st.none() | st.integers(0, 2),
        ),
        max_size=8,
    )
)
def test_outputs_are_encoded_and_placed_one_as_the_other(outputs: list[Out]) -> None:
    """Through a topic as a sink: by key, by partition, or together where there is neither."""
    app = make_app()
    topic = app.topic("out", {"partitions": 3}, codec="json", backend="memory")

    async def send() -> None:
        async with topic.make() as opened:
            for output in outputs:
                assert opened.send(output) is None
            await opened.flush()

    asyncio.run(send())
    written = app.scope.shared("memory", Broker).log("out", 3).partitions
    app.close()
    expected: list[list[Any]] = [[], [], []]
    for out in outputs:
        key = None if out.key is None else out.key.encode()
        value = (
            None
            if out.value is None
            else json.dumps(out.value, separators=(",", ":"), ensure_ascii=False).encode()
        )
        place = out.partition
        if place is None:
            place = 0 if key is None else partition_for(key, 3)
        expected[place].append((key, value, out.headers, out.timestamp))
    assert [[(r.key, r.value, r.headers, r.timestamp) for r in log] for log in written] == expected


# --- values that a cache keeps at hand ------------------------------------------------------

KEPT = st.one_of(
    *(st.integers(0, 2), st.just(True), st.just(1.0), st.just("1"), st.just(b"1"), st.none()),
    *(st.just([1]), st.just([2]), st.just((1,))),
)
CHANGES = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abc"), KEPT),
    st.tuples(st.sampled_from(["delete", "read", "spoil"]), st.sampled_from("abc"), st.none()),
)
BLOCKS = st.lists(
    st.tuples(
        st.sampled_from(["plain", "transaction", "transaction that fails", "async"]),
        st.lists(CHANGES, min_size=2, max_size=6),
    ),
    min_size=2,
    max_size=6,
)


class Undone(Exception):
    """What a transaction fails with."""


@RANDOM
@given(blocks=BLOCKS)
@example(
    blocks=[
        ("plain", [("put", "a", 1)]),
        ("transaction that fails", [("put", "a", True)]),
        ("plain", [("read", "a", None)]),
    ]
)
def test_a_cache_gives_what_reading_and_decoding_each_time_gives(blocks: list[Any]) -> None:
    """Type included, whatever was evicted, rolled back, or changed by who had read it."""
    app = make_app()
    cache = app.cache("kept", backend="memory")
    cache.open().hot_size = 2
    plain: dict[str, Any] = {}

    async def apply(is_async: bool, change: Any) -> None:
        what, key, value = change
        if what == "put":
            given = deepcopy(value)
            if is_async:
                await cache.aset(key, given)
            else:
                cache.put(key, given)
            plain[key] = deepcopy(value)
            if isinstance(given, list):
                given.append("spoilt")
        elif what == "delete":
            if is_async:
                await cache.adelete(key)
            else:
                cache.delete(key)
            plain.pop(key, None)
        else:
            got = await cache.aget(key) if is_async else cache.get(key)
            assert (type(got), got) == (type(plain.get(key)), plain.get(key))
            if what == "spoil" and isinstance(got, list):
                got.append("spoilt")

    async def work() -> None:
        nonlocal plain
        for kind, changes in blocks:
            before = deepcopy(plain)
            if not kind.startswith("transaction"):
                for change in changes:
                    await apply(kind == "async", change)
                continue
            try:
                async with cache.transaction("a", "b", "c"):
                    for change in changes:
                        await apply(False, change)
                    if kind == "transaction that fails":
                        raise Undone
            except Undone:
                plain = before

    asyncio.run(work())
    found = {key: cache.get(key) for key in plain}
    assert {k: (type(v), v) for k, v in found.items()} == {
        k: (type(v), v) for k, v in plain.items()
    }
    assert dict(cache.items()) == plain
    app.close()
