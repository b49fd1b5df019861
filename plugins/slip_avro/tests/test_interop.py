"""What is written here is read by Confluent's client over the same registry, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from slip_avro import AvroCodec

from slipcore.interfaces import Part, Record, UnpreparedError
from tests.servers.registry import SchemaRegistry

Run = Callable[[Any], Any]

NODE = {"name": "next", "type": ["null", "Everything"]}
FIELDS: list[tuple[dict[str, Any], Any]] = [
    ({"name": "id", "type": "long"}, 7),
    ({"name": "price", "type": "double"}, 1.5),
    ({"name": "note", "type": ["null", "string"]}, "né"),
    ({"name": "tags", "type": {"type": "map", "values": "int"}}, {"a": 1}),
    ({"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}, None),
    ({"name": "day", "type": {"type": "int", "logicalType": "date"}}, date(2024, 2, 29)),
    ({"name": "who", "type": {"type": "string", "logicalType": "uuid"}}, UUID(int=7)),
    (
        {
            "name": "sum",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
        Decimal("12.34"),
    ),
    (NODE, None),
]
EVERYTHING = {"type": "record", "name": "Everything", "fields": [field for field, _ in FIELDS]}
LEAF = {field["name"]: value for field, value in FIELDS}
LEAF["at"] = datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
VALUE = {**LEAF, "next": LEAF}

# Confluent's reader takes no value of less than six bytes from a header.
CASES = [
    (EVERYTHING, VALUE),
    ("string", "Zürich"),
    ("long", -(2**62)),
    ("bytes", b"\x00\x01\x02\x03\x04\x05"),
    (["null", "string"], "Zürich"),
]


@pytest.fixture
def client(registry: SchemaRegistry) -> Iterator[SchemaRegistryClient]:
    """Confluent's client."""
    with SchemaRegistryClient({"url": registry.url}) as made:
        yield made


def context(part: Part, headers: list[Any]) -> SerializationContext:
    """What Confluent's client wants to know of a record."""
    field = MessageField.KEY if part == "key" else MessageField.VALUE
    return SerializationContext("orders", field, headers)


async def decoded(codec: AvroCodec, record: Record) -> object:
    """What a topic does with a batch of one."""
    try:
        return codec.decode_record(record)
    except UnpreparedError:
        await codec.prepare([record])
        return codec.decode_record(record)


@pytest.mark.parametrize("part", ["key", "value"])
@pytest.mark.parametrize("wire", ["confluent", "header"])
@pytest.mark.parametrize(("schema", "value"), CASES)
def test_confluents_client_reads_what_is_written(
    registry: SchemaRegistry,
    client: SchemaRegistryClient,
    run: Run,
    schema: Any,
    value: Any,
    wire: Any,
    part: Part,
) -> None:
    """With the id before the value, or in a header."""
    codec = AvroCodec(schema, registry=registry.url, register=True, wire=wire).bind("orders", part)
    run(codec.open)
    data, headers = codec.encode(value), list(codec.headers(()))
    assert AvroDeserializer(client)(data, context(part, headers)) == value


@pytest.mark.parametrize("part", ["key", "value"])
@pytest.mark.parametrize("where", ["prefix", "header"])
@pytest.mark.parametrize(("schema", "value"), CASES)
def test_what_confluents_client_writes_is_read(
    registry: SchemaRegistry,
    client: SchemaRegistryClient,
    run: Run,
    schema: Any,
    value: Any,
    where: str,
    part: Part,
) -> None:
    """With the id before the value, or its GUID in a header."""
    conf = {"schema.id.serializer": header_schema_id_serializer} if where == "header" else {}
    headers: list[Any] = []
    serializer = AvroSerializer(client, json.dumps(schema), conf=conf)
    data = serializer(value, context(part, headers))
    assert bool(headers) is (where == "header")
    record = Record(**{part: data}, headers=tuple(headers))
    codec = AvroCodec(registry=registry.url).bind("orders", part)
    assert run(lambda: decoded(codec, record)) == value
