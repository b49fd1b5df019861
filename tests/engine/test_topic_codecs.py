"""Codecs that need more than the bytes: what a topic tells them, and what it waits for."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from slipcore import App, Out, Record
from slipcore.backends.codecs import JsonCodec, MsgpackCodec
from slipcore.config import Config
from slipcore.interfaces import (
    ConfigError,
    ConnectError,
    DecodeError,
    Headers,
    ICodec,
    ITopicCodec,
    Part,
    UnpreparedError,
)

from .conftest import MakeApp, fill, run


class Worded(ITopicCodec):
    """Writes words by number; the words are kept elsewhere and fetched by the batch.

    Attributes:
        log: what was called, in order.
        known: the numbers that were fetched.
    """

    def __init__(self, words: dict[int, str], *, unreachable: bool = False) -> None:
        self.words = words
        self.log: list[str] = []
        self.known: set[int] = set()
        self.unreachable = unreachable
        self.gate = asyncio.Event()
        self.gate.set()
        self.name = "unbound"

    def bind(self, topic: str, part: Part) -> Worded:
        bound = copy.copy(self)
        bound.name = f"{topic}-{part}"
        return bound

    async def open(self) -> None:
        self.log.append(f"open {self.name}")

    def headers(self, given: Headers) -> Headers:
        return (*(h for h in given if h[0] != "by"), ("by", self.name.encode()))

    def encode(self, obj: Any) -> bytes:
        number = next(n for n, word in self.words.items() if word == obj)
        return b"%d" % number

    def decode(self, s: bytes) -> object:
        if int(s) not in self.known:
            raise UnpreparedError(f"the word {int(s)} is not here")
        if int(s) not in self.words:
            raise DecodeError(f"there is no word {int(s)}")
        return self.words[int(s)]

    def decode_record(self, record: Record) -> object:
        self.log.append(f"read {record.offset}")
        return self.decode(record.value)

    async def prepare(self, records: Sequence[Record]) -> None:
        self.log.append(f"prepare {len(records)}")
        await self.gate.wait()
        if self.unreachable:
            raise ConnectError("The words can't be fetched.")
        self.known.update(int(record.value) for record in records)


def test_what_a_batch_needs_is_fetched_once_for_all_of_it(make_app: MakeApp) -> None:
    """The batch is decoded as far as it goes, prepared, and decoded; the next is only decoded."""
    app, codec = make_app(), Worded({1: "one", 2: "two"})
    raw, topic = app.topic("in", codec="raw"), app.topic("in", {"group_id": "g"}, codec=codec)
    seen: list[str] = []

    @app.handle(topic)
    async def handler(record: Record) -> None:
        seen.append(record.value)
        if record.offset == 1:
            await raw(None, b"1")
        if record.offset == 2:
            app.stop()

    async def work() -> None:
        await fill(raw, (None, b"1"), (None, b"2"))
        await app.stream()

    run(work())
    assert seen == ["one", "two", "one"]
    assert codec.log == ["read 0", "prepare 2", "read 0", "read 1", "read 2"]


def test_who_only_reads_does_not_open_a_codec(make_app: MakeApp) -> None:
    """It is opened for a sink at the start, and for a call at the first one; each time once."""
    app, codec = make_app(), Worded({1: "one"})
    source, sink = app.topic("in", codec=codec), app.topic("out", codec=codec)
    late = app.topic("late", codec=codec)

    @app.handle(source, sink=[sink])
    async def handler(record: Record) -> str:
        assert "open late-value" not in codec.log
        assert "open in-value" not in codec.log
        for topic in (late, late, source, source):
            await topic(None, record.value)
        app.stop()
        return str(record.value)

    async def work() -> None:
        await app.topic("in", codec="raw")(None, b"1")
        await app.stream()
        await late.aclose()

    run(work())
    opened = [entry for entry in codec.log if entry.startswith("open")]
    assert opened == ["open out-value", "open late-value", "open in-value"]


def test_a_codecs_headers_replace_what_was_given(make_app: MakeApp) -> None:
    """What a record brought along under that name was of another topic; a tombstone gets none."""
    app, codec = make_app(), Worded({1: "one"})
    source = app.topic("in", codec="raw")
    sink = app.topic("out", codec=codec, key_codec="raw")
    got: list[Headers] = []

    @app.handle(source, sink=[sink])
    def handler(record: Record) -> Out:
        return Out("one" if record.offset == 0 else None, b"k", record.headers)

    @app.handle(app.topic("out", {"group_id": "g"}, codec="raw"))
    def reader(record: Record) -> None:
        got.append(record.headers)
        if len(got) == 2:
            app.stop()

    async def work() -> None:
        for _ in range(2):
            await source(b"k", b"", headers=[("a", b"1"), ("by", b"else")])
        await app.stream()

    run(work())
    assert got == [
        (("a", b"1"), ("by", b"out-value")),
        (("a", b"1"), ("by", b"else")),
    ]


def test_what_can_not_be_fetched_is_no_fault_of_the_records(make_app: MakeApp) -> None:
    """The app stops with the codec's error; the batch is not finished, and comes again."""
    app, codec = make_app(), Worded({1: "one", 2: "two"}, unreachable=True)
    codec.known = {1}
    topic, seen = app.topic("in", codec=codec), []

    @app.handle(topic)
    def handler(record: Record) -> None:
        seen.append((record.offset, record.value))
        if record.offset == 1:
            app.stop()

    async def work() -> None:
        await fill(app.topic("in", codec="raw"), (None, b"1"), (None, b"2"))
        with pytest.raises(ConnectError, match="can't be fetched"):
            await app.stream()
        assert seen == []
        codec.unreachable = False
        await app.stream()

    run(work())
    assert seen == [(0, "one"), (1, "two")]


def test_what_does_not_exist_is_a_poison_record(make_app: MakeApp) -> None:
    """What came before it is handled; the error names topic, partition and offset."""
    app, codec = make_app(), Worded({1: "one"})
    topic, seen = app.topic("in", codec=codec), []
    app.handle(topic)(lambda record: seen.append(record.value))

    async def work() -> None:
        await fill(app.topic("in", codec="raw"), (None, b"1"), (None, b"7"), (None, b"1"))
        with pytest.raises(DecodeError, match=r"in\[0\]@1 can't be decoded: there is no word 7"):
            await app.stream()

    run(work())
    assert seen == ["one"]


def test_a_stop_does_not_wait_for_what_is_being_fetched(make_app: MakeApp) -> None:
    """The batch comes again at the next start."""
    app, codec = make_app(), Worded({1: "one"})
    topic, seen = app.topic("in", codec=codec), []

    @app.handle(topic)
    def handler(record: Record) -> None:
        seen.append(record.offset)
        app.stop()

    async def work() -> None:
        await app.topic("in", codec="raw")(None, b"1")
        codec.gate.clear()
        running = asyncio.ensure_future(app.stream())
        while "prepare 1" not in codec.log:
            await asyncio.sleep(0.01)
        app.stop()
        async with asyncio.timeout(2):
            await running
        assert seen == []
        codec.gate.set()
        await app.stream()

    run(work())
    assert seen == [0]


def test_a_codec_may_be_a_table_with_a_backend(tmp_path: Path) -> None:
    """`codec = "orders"` is `[codecs.orders]`, whose backend does the work."""
    (tmp_path / "slip.toml").write_text(
        '[topics.in]\nbackend = "memory"\ncodec = "orders"\n[codecs.orders]\nbackend = "json"\n'
    )
    app = App("shop", config=Config.load(cwd=tmp_path, environ={}))
    codec, _ = app.topic("in").codecs()
    assert codec.decode(codec.encode({"id": 1})) == {"id": 1}
    with pytest.raises(ConfigError, match="'payments'"):
        app.topic("in", codec="payments").codecs()


@pytest.mark.parametrize("base", [JsonCodec, MsgpackCodec])
def test_a_codec_of_ones_own_may_change_one_method_of_a_built_in_one(
    base: type[ICodec], make_app: MakeApp
) -> None:
    """Records are read with its `decode`, whatever shorter way the built-in one has."""

    class Counted(base):  # type: ignore[misc, valid-type]  # one class for two
        def decode(self, s: bytes) -> object:
            return {"bytes": len(s), "value": super().decode(s)}

    app = make_app()
    topic = app.topic("values", codec=Counted())
    found: list[Any] = []

    @app.handle(topic)
    def handler(record: Record) -> None:
        found.append(record.value)
        app.stop()

    async def work() -> None:
        await fill(topic, (None, [1]))
        await app.stream()

    run(work())
    assert found == [{"bytes": len(base().encode([1])), "value": [1]}]
