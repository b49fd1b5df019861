"""Avro on topics: from configuration to handler, and what bad records and a lost registry do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slip_avro import AvroCodec, Registry

from slipcore import App, Out, Record
from slipcore.interfaces import ConfigError, ConnectError, DecodeError, EncodeError
from tests.servers.registry import SchemaRegistry

Run = Callable[[Any], Any]
MakeApp = Callable[..., App]

ID = {"name": "id", "type": "long"}
ORDER: dict[str, Any] = {"type": "record", "name": "Order", "fields": [ID]}
NOTED = {**ORDER, "fields": [ID, {"name": "note", "type": "string", "default": ""}]}


@dataclass
class Order:
    """What the typed topics hold."""

    id: int
    note: str = ""


def collect(app: App, topic: Any, count: int) -> list[Record]:
    """What a handler of the topic is given; the app stops when it has that many."""
    got: list[Record] = []

    @app.handle(topic)
    def handler(record: Record) -> None:
        got.append(record)
        if len(got) == count:
            app.stop()

    return got


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
def test_a_topic_takes_its_codec_from_the_configuration(
    registry: SchemaRegistry, make_app: MakeApp, run: Run, tmp_path: Path, backend: str
) -> None:
    """Schema file, registry and registration; the bytes are in the registry's wire format."""
    (tmp_path / "order.avsc").write_text(json.dumps(ORDER))
    app = make_app(
        f"""
        [defaults]
        topic = "{backend}"
        [topics.orders]
        codec = "order"
        [codecs.order]
        backend = "avro"
        schema = "{tmp_path}/order.avsc"
        registry = "{registry.url}"
        register = true
        """,
        SLIP_DEFAULTS__TOPIC=backend,
    )
    topic, bare = app.topic("orders"), []
    got = collect(app, topic, 1)

    async def work() -> None:
        await topic("k", {"id": 7})
        await app.stream()
        async for record in app.topic("orders", {"group_id": "raw"}, codec="raw"):
            bare.append(record.value)
            break

    run(work)
    assert [(r.key, r.value) for r in got] == [("k", {"id": 7})]
    assert bare == [b"\x00\x00\x00\x00\x01\x0e"]
    assert registry.versions("orders-value") == [1]


def test_a_topic_of_a_type_needs_no_schema(make_app: MakeApp, run: Run) -> None:
    """`codec="avro"` and `type=` are enough."""
    app = make_app()
    topic = app.topic("orders", codec="avro", type=Order)
    got = collect(app, topic, 1)

    async def work() -> None:
        await topic("k", Order(7, "x"))
        await app.stream()

    run(work)
    assert got[0].value == Order(7, "x")


def test_keys_have_a_subject_of_their_own(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """One codec serves keys and values."""
    app = make_app()
    codec = AvroCodec(ORDER, registry=registry.url, register=True)
    topic = app.topic("orders", codec=codec, key_codec=codec)
    got = collect(app, topic, 1)

    async def work() -> None:
        await topic({"id": 1}, {"id": 7})
        await app.stream()

    run(work)
    assert (got[0].key, got[0].value) == ({"id": 1}, {"id": 7})
    assert (registry.versions("orders-key"), registry.versions("orders-value")) == ([1], [1])


def test_what_was_written_with_older_schemas_is_read_into_ones_own(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """Each schema of a batch is fetched once."""
    app = make_app()
    raw = app.topic("orders", codec="raw")
    old, new = registry.register("orders-value", ORDER), registry.register("orders-value", NOTED)
    topic = app.topic("orders", codec=AvroCodec(type=Order, registry=registry.url))
    got = collect(app, topic, 4)

    async def work() -> None:
        for _ in range(2):
            await raw(None, b"\x00\x00\x00\x00%c\x0e" % old)
            await raw(None, b"\x00\x00\x00\x00%c\x0e\x02x" % new)
        await app.stream()

    run(work)
    assert [r.value for r in got] == [Order(7), Order(7, "x")] * 2
    assert registry.asked == {"GET /schemas/ids/1": 1, "GET /schemas/ids/2": 1}


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x00\x01", b"\x01" + bytes(16)])
def test_the_id_may_stand_in_a_header(
    registry: SchemaRegistry, make_app: MakeApp, run: Run, data: bytes
) -> None:
    """As an id or as a GUID."""
    number = registry.register("orders-value", ORDER)
    data = data if data[0] == 0 else b"\x01" + registry.guid(number).bytes
    app = make_app()
    got = collect(app, app.topic("orders", codec=AvroCodec(registry=registry.url)), 1)

    async def work() -> None:
        raw = app.topic("orders", codec="raw", key_codec="text")
        await raw("k", b"\x0e", headers=[("a", b"1"), ("__value_schema_id", data)])
        await app.stream()

    run(work)
    assert got[0].value == {"id": 7}


def test_the_id_is_written_into_a_header_when_asked(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """Over one that a record brought along from another topic; a tombstone gets none."""
    registry.register("other", NOTED)
    app = make_app()
    codec = AvroCodec(ORDER, registry=registry.url, register=True, wire="header")
    topic = app.topic("orders", codec=codec)
    got = collect(app, app.topic("orders", codec="raw", key_codec="text"), 2)
    forwarded = ("__value_schema_id", b"\x00\x00\x00\x00\x01")

    async def work() -> None:
        await topic("k", {"id": 7}, headers=[forwarded, ("a", b"1")])
        await topic("k", None, headers=[("a", b"1")])
        await topic.aclose()
        await app.stream()

    run(work)
    guid = ("__value_schema_id", b"\x01" + registry.guid(2).bytes)
    assert [(r.value, r.headers) for r in got] == [
        (b"\x0e", (("a", b"1"), guid)),
        (None, (("a", b"1"),)),
    ]


def test_a_header_of_another_topics_schema_is_not_forwarded(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """Readers would take it for that of the value."""
    number = registry.register("in-value", NOTED)
    app = make_app()
    source = app.topic("in", codec=AvroCodec(registry=registry.url))
    codec = AvroCodec(ORDER, registry=registry.url, register=True)
    got = collect(app, app.topic("out", {"group_id": "g"}, codec=codec), 1)

    @app.handle(source, sink=[app.topic("out", codec=codec)])
    def forward(record: Record) -> Out:
        return Out({"id": record.value["id"]}, record.key, record.headers)

    async def work() -> None:
        raw = app.topic("in", codec="raw", key_codec="text")
        header = ("__value_schema_id", b"\x00\x00\x00\x00%c" % number)
        await raw("k", b"\x0e\x02x", headers=[header, ("a", b"1")])
        await app.stream()

    run(work)
    assert [(r.value, r.headers) for r in got] == [({"id": 7}, (("a", b"1"),))]


@pytest.mark.parametrize(
    ("header", "match"),
    [
        (b"\x07", "the header __value_schema_id names no schema: the first byte is 0x07"),
        (b"\x00\x00\x00\x00\x01\x0e", "names no schema: it has 6 bytes"),
    ],
)
def test_a_header_that_names_no_schema_is_named(
    registry: SchemaRegistry, make_app: MakeApp, run: Run, header: bytes, match: str
) -> None:
    """With the place of its record."""
    app = make_app()
    app.handle(app.topic("orders", codec=AvroCodec(registry=registry.url)))(lambda record: None)

    async def work() -> None:
        raw = app.topic("orders", codec="raw")
        await raw(None, b"\x0e", headers=[("__value_schema_id", header)])
        with pytest.raises(DecodeError, match=rf"orders\[0\]@0 can't be decoded: .*{match}"):
            await app.stream()

    run(work)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x00\x00\x00\x00\x01\x0e\x0e", "the bytes are no Order in Avro: 1 are left over"),
        (b"\x00\x00\x00\x00\x01\x80", "the bytes are no Order in Avro: they end too soon"),
        (b"\x00\x00\x00\x00\x01", "they end too soon"),
        (b'{"id": 7}', "the first byte is 0x7b, not the magic byte 0x00"),
        (b"\x00\x00\x01", "3 bytes end within the id of the schema"),
        (b"", "there are no bytes, not the magic byte"),
        (b"\x00\x00\x00\x00\x09\x0e", r"the schema registry http://127\S+ has no schema 9"),
    ],
)
def test_a_record_that_can_not_be_read_is_named(
    registry: SchemaRegistry, make_app: MakeApp, run: Run, data: bytes, match: str
) -> None:
    """By topic, partition and offset; what came before it is handled."""
    registry.register("orders-value", ORDER)
    app, seen = make_app(), []
    topic = app.topic("orders", codec=AvroCodec(registry=registry.url))
    app.handle(topic)(lambda record: seen.append(record.value))

    async def work() -> None:
        raw = app.topic("orders", codec="raw")
        for each in (b"\x00\x00\x00\x00\x01\x0e", data, b"\x00\x00\x00\x00\x01\x0e"):
            await raw(None, each)
        with pytest.raises(DecodeError, match=rf"orders\[0\]@1 can't be decoded: .*{match}") as got:
            await app.stream()
        assert (got.value.topic, got.value.partition, got.value.offset) == ("orders", 0, 1)

    run(work)
    assert seen == [{"id": 7}]


def test_known_schemas_are_read_while_the_registry_is_down(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """Its being away is not noticed."""
    registry.register("orders-value", ORDER)
    app, seen = make_app(), []
    raw = app.topic("orders", codec="raw")

    @app.handle(app.topic("orders", codec=AvroCodec(registry=registry.url)))
    async def handler(record: Record) -> None:
        seen.append(record.value)
        if record.offset == 0:
            await asyncio.to_thread(registry.stop)
            await raw(None, b"\x00\x00\x00\x00\x01\x10")
        else:
            app.stop()

    async def work() -> None:
        await raw(None, b"\x00\x00\x00\x00\x01\x0e")
        await app.stream()

    run(work)
    assert seen == [{"id": 7}, {"id": 8}]


def test_a_record_waits_for_its_schema_and_is_not_lost(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """A registry that stays away stops the app with its name; the record is the next to be read."""
    registry.register("orders-value", ORDER)
    registry.stop()
    app = make_app()
    codec = AvroCodec(registry=Registry(registry.url, timeout=0.3))
    got = collect(app, app.topic("orders", codec=codec), 1)

    async def work() -> None:
        await app.topic("orders", codec="raw")(None, b"\x00\x00\x00\x00\x01\x0e")
        with pytest.raises(ConnectError, match=r"orders\[0\]@0 waits for its schema 1\.$") as why:
            await app.stream()
        assert f"The schema registry {registry.url} can't be reached" in str(why.value)
        assert got == []
        await asyncio.to_thread(registry.start)
        await app.stream()

    run(work)
    assert [r.value for r in got] == [{"id": 7}]


def test_the_loop_goes_on_while_a_schema_is_fetched(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """Another topic's records are handled meanwhile."""
    registry.register("orders-value", ORDER)
    registry.delay = 0.5
    app, order = make_app(), []
    raw = app.topic("orders", codec="raw")

    @app.handle(app.topic("orders", codec=AvroCodec(registry=registry.url)))
    def slow(record: Record) -> None:
        order.append("orders")
        app.stop()

    @app.handle(app.topic("ticks"))
    def quick(record: Record) -> None:
        order.append("ticks")

    async def work() -> None:
        await raw(None, b"\x00\x00\x00\x00\x01\x0e")
        await app.topic("ticks")(None, "1")
        await app.stream()

    run(work)
    assert order == ["ticks", "orders"]


def test_who_only_reads_needs_no_schema_in_the_registry(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """A subject is looked up by who writes, at the start."""
    app = make_app()
    codec = AvroCodec(ORDER, registry=registry.url)
    app.handle(app.topic("in"), sink=[app.topic("orders", codec=codec)])(lambda record: record)
    with pytest.raises(ConfigError, match="'orders-value': register it, or set register=True"):
        run(app.stream)
    reader = make_app()
    got = collect(reader, reader.topic("orders", codec=codec), 1)

    async def work() -> None:
        number = registry.register("elsewhere", ORDER)
        await reader.topic("orders", codec="raw")(None, b"\x00\x00\x00\x00%c\x0e" % number)
        await reader.stream()

    run(work)
    assert [r.value for r in got] == [{"id": 7}]


def test_an_incompatible_schema_is_refused_at_the_start(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """With the reasons of the registry; nothing is registered."""
    registry.register("orders-value", ORDER)
    app = make_app()
    line = {**ORDER, "fields": [{"name": "line", "type": "string"}]}
    codec = AvroCodec(line, registry=registry.url, register=True, check_compatibility=True)
    topic = app.topic("orders", codec=codec)
    with pytest.raises(ConfigError, match="not compatible with the latest of 'orders-value'.*line"):
        run(lambda: topic("k", {"line": "x"}))
    assert registry.versions("orders-value") == [1]


def test_without_a_schema_the_latest_of_the_subject_is_written(
    registry: SchemaRegistry, make_app: MakeApp, run: Run
) -> None:
    """As it is when the topic is opened."""
    registry.register("orders-value", ORDER)
    registry.register("orders-value", NOTED)
    app = make_app()
    topic = app.topic("orders", codec=AvroCodec(registry=registry.url))
    got = collect(app, app.topic("orders", codec="raw"), 1)

    async def work() -> None:
        with pytest.raises(EncodeError, match="more fields"):
            await topic(None, {"id": 7, "more": 1})
        await topic(None, {"id": 7})
        await topic.aclose()
        await app.stream()

    run(work)
    assert got[0].value == b"\x00\x00\x00\x00\x02\x0e\x00"


def test_secrets_are_not_shown(make_app: MakeApp) -> None:
    """Neither in the options, nor in what is said of wrong ones."""
    app = make_app(
        '[codecs.avro]\nregistry = "http://ann:pw7@localhost"\ntoken = "t7"\nwire = "plain"'
    )
    with pytest.raises(ConfigError, match="not both") as caught:
        app.topic("orders", codec="avro").codecs()
    assert "pw7" not in str(caught.value)
    assert "t7" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ('schema = "long"\nregister = true', "no registry, which"),
        ('schema = "long"\nwire = "header"', "no registry, which"),
        ('schema = "long"\nsubject = "x"', "subject is for a registry: set registry"),
        ('registry = "http://localhost"\nwire = "plain"', "no place for the registry's ids"),
        ('registry = "http://localhost"\nregister = true', "is to register a schema, and has none"),
        ('schemas = "long"', "no setting 'schemas'.*Did you mean 'schema'"),
        ('schema = "long"\nwire = "binary"', "'confluent' | 'header' | 'plain'"),
        ("", "give schema="),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    make_app: MakeApp, settings: str, match: str
) -> None:
    """Before anything is started."""
    app = make_app(f"[codecs.avro]\n{settings}")
    with pytest.raises(ConfigError, match=match):
        app.topic("orders", codec="avro").codecs()
