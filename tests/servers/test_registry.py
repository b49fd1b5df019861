"""The test registry, as Confluent's own client sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.servers.registry import SchemaRegistry

ID = {"name": "id", "type": "long"}
ORDER: dict[str, Any] = {"type": "record", "name": "Order", "fields": [ID]}


def with_field(**more: Any) -> Schema:
    """ORDER with a field more."""
    fields = [ID, {"name": "note", "type": "string", **more}]
    return Schema(json.dumps({**ORDER, "fields": fields}), "AVRO")


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    with SchemaRegistry() as made:
        yield made


@pytest.fixture
def client(registry: SchemaRegistry) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry.url, "max.retries": 0}) as made:
        yield made


def test_schemas_are_registered_once_and_found_again(client: SchemaRegistryClient) -> None:
    """By id, by GUID, by subject and version, and by what they say."""
    schema = Schema(json.dumps(ORDER), "AVRO")
    registered = client.register_schema_full_response("orders-value", schema)
    assert registered.schema_id == 1
    assert client.register_schema("refunds-value", schema) == 1
    client.clear_caches()  # type: ignore[no-untyped-call]  # the library has no types here
    assert json.loads(client.get_schema(1).schema_str or "") == ORDER
    assert json.loads(client.get_schema_by_guid(registered.guid or "").schema_str or "") == ORDER
    assert client.get_latest_version("orders-value").version == 1
    assert client.lookup_schema("orders-value", schema).schema_id == 1
    assert client.get_subjects() == ["orders-value", "refunds-value"]


def test_what_is_not_there_has_an_error_code(client: SchemaRegistryClient) -> None:
    """40403 for a schema, 40401 for a subject, 40402 for a version."""
    codes = []
    client.register_schema("orders-value", Schema(json.dumps(ORDER), "AVRO"))
    for ask in (
        lambda: client.get_schema(7),
        lambda: client.get_latest_version("nobody"),
        lambda: client.get_version("orders-value", 2),
    ):
        with pytest.raises(SchemaRegistryError) as caught:
            ask()
        codes.append(caught.value.error_code)
    assert codes == [40403, 40401, 40402]


def test_a_new_version_is_held_to_the_subjects_compatibility(
    registry: SchemaRegistry, client: SchemaRegistryClient
) -> None:
    """A field without default is refused with 409, one with a default is the second version."""
    client.register_schema("orders-value", Schema(json.dumps(ORDER), "AVRO"))
    assert not client.test_compatibility("orders-value", with_field())
    with pytest.raises(SchemaRegistryError) as caught:
        client.register_schema("orders-value", with_field())
    assert caught.value.http_status_code == 409
    assert client.register_schema("orders-value", with_field(default="")) == 2
    assert registry.versions("orders-value") == [1, 2]


def test_no_schema_is_refused_as_such(client: SchemaRegistryClient) -> None:
    """422."""
    with pytest.raises(SchemaRegistryError) as caught:
        client.register_schema("orders-value", Schema('{"type": "recor"}', "AVRO"))
    assert caught.value.http_status_code == 422


def test_confluents_serializer_and_deserializer_work_with_it(client: SchemaRegistryClient) -> None:
    """One registers and writes, the other fetches and reads."""
    context = SerializationContext("orders", MessageField.VALUE)
    data = AvroSerializer(client, json.dumps(ORDER))({"id": 7}, context)
    assert data == b"\x00\x00\x00\x00\x01\x0e"
    assert AvroDeserializer(client)(data, context) == {"id": 7}


def test_it_can_be_taken_down_and_up_again(
    registry: SchemaRegistry, client: SchemaRegistryClient
) -> None:
    """On the same port, with what was registered."""
    client.register_schema("orders-value", Schema(json.dumps(ORDER), "AVRO"))
    client.clear_caches()  # type: ignore[no-untyped-call]  # the library has no types here
    registry.stop()
    with pytest.raises(Exception, match="refused"):
        client.get_schema(1)
    registry.start()
    assert json.loads(client.get_schema(1).schema_str or "") == ORDER


def test_it_asks_for_credentials() -> None:
    """Without them, or with wrong ones, it answers 401."""
    with SchemaRegistry(user=("ann", "pw")) as registry:
        url = registry.url.replace("//", "//ann:pw@")
        with SchemaRegistryClient({"url": url}) as known:
            assert known.get_subjects() == []
        with SchemaRegistryClient({"url": registry.url}) as stranger:
            with pytest.raises(SchemaRegistryError) as caught:
                stranger.get_subjects()
            assert caught.value.http_status_code == 401
