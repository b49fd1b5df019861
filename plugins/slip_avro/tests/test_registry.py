"""The registry's client: what it asks, how often, and what it says when it gets no answer."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trustme
from slip_avro import Registry
from slip_avro.registry import UnknownSchemaError
from slip_avro.schemas import load_schema

from slipcore.interfaces import ConfigError, ConnectError, DecodeError
from tests.servers.registry import SchemaRegistry

Run = Callable[[Any], Any]

ID = {"name": "id", "type": "long"}
ORDER: dict[str, Any] = {"type": "record", "name": "Order", "fields": [ID]}
NOTED = {**ORDER, "fields": [ID, {"name": "note", "type": "string", "default": ""}]}
LINE = {**ORDER, "fields": [{"name": "line", "type": "string"}]}


def quick(registry: SchemaRegistry, **settings: Any) -> Registry:
    """A client that soon gives up."""
    return Registry(registry.url, timeout=settings.pop("timeout", 0.5), **settings)


def test_a_schema_is_asked_for_once_whoever_waits_for_it(
    registry: SchemaRegistry, run: Run
) -> None:
    """By its id and by its GUID."""
    number = registry.register("orders-value", ORDER)
    guid = registry.guid(number)
    registry.delay = 0.05
    client = quick(registry)

    async def work() -> list[Any]:
        refs: list[int | UUID] = [number, number, guid, number, guid]
        return await asyncio.gather(*(client.schema(ref) for ref in refs))

    assert [schema.json for schema in run(work)] == [ORDER] * 5
    assert registry.asked == {f"GET /schemas/ids/{number}": 1, f"GET /schemas/guids/{guid}": 1}


def test_one_who_waits_and_is_cancelled_takes_nobody_along(
    registry: SchemaRegistry, run: Run
) -> None:
    """The next in line asks."""
    number = registry.register("orders-value", ORDER)
    registry.delay = 0.2
    client = quick(registry, timeout=5.0)

    async def work() -> Any:
        first = asyncio.ensure_future(client.schema(number))
        second = asyncio.ensure_future(client.schema(number))
        await asyncio.sleep(0.05)
        first.cancel()
        return (await second).json

    assert run(work) == ORDER


def test_what_was_fetched_is_known_while_the_registry_is_down(
    registry: SchemaRegistry, run: Run
) -> None:
    """For ever, in one event loop and the next."""
    number = registry.register("orders-value", ORDER)
    client = quick(registry)
    first = run(lambda: client.schema(number))
    registry.stop()
    assert run(lambda: client.schema(number)) is first


def test_a_registry_that_is_down_is_asked_again_until_it_is_up(
    registry: SchemaRegistry, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """With pauses between, and one warning."""
    number = registry.register("orders-value", ORDER)
    registry.stop()
    client = quick(registry, timeout=10.0)

    async def work() -> Any:
        asking = asyncio.ensure_future(client.schema(number))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(registry.start)
        return (await asking).json

    with caplog.at_level(logging.WARNING, "slip_avro"):
        assert run(work) == ORDER
    assert [r.message[:60] for r in caplog.records] == [
        f"The schema registry {registry.url} can't be reached: Cannot"[:60]
    ]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_error_of_the_server_is_worth_another_try(
    registry: SchemaRegistry, run: Run, status: int
) -> None:
    """After the deadline it is a ConnectError, with what the server said."""
    registry.fails = status
    with pytest.raises(ConnectError, match=rf"it answers {status}.*It was tried for 0\.5 s; see"):
        run(lambda: quick(registry).schema(1))
    assert registry.asked["GET /schemas/ids/1"] > 2


def test_a_registry_that_is_not_there_is_a_connect_error(
    registry: SchemaRegistry, run: Run
) -> None:
    """With its address and what to do, never with its password."""
    registry.stop()
    client = Registry(registry.url.replace("//", "//ann:pw7@"), timeout=0.3)
    with pytest.raises(ConnectError) as caught:
        run(lambda: client.schema(1))
    message = str(caught.value)
    assert f"The schema registry {registry.url} can't be reached: " in message
    assert "see that it runs and that registry= is right" in message
    assert "pw7" not in message + repr(client)


def test_a_registry_that_does_not_answer_is_a_connect_error(
    registry: SchemaRegistry, run: Run
) -> None:
    """Within the deadline."""
    registry.delay = 1.0
    with pytest.raises(ConnectError, match="it does not answer"):
        run(lambda: quick(registry, timeout=0.3).schema(1))


def test_an_id_that_is_not_there_is_a_decode_error_at_once(
    registry: SchemaRegistry, run: Run
) -> None:
    """It is asked for once, and not again for a while."""
    client = quick(registry)
    for _ in range(2):
        with pytest.raises(UnknownSchemaError, match=rf"{registry.url} has no schema 7$"):
            run(lambda: client.schema(7))
    assert registry.asked == {"GET /schemas/ids/7": 1}


def test_an_answer_of_something_else_is_not_that_a_schema_is_missing(
    registry: SchemaRegistry, run: Run
) -> None:
    """A wrong URL must not make records poison."""
    client = Registry(f"{registry.url}/elsewhere", timeout=0.5)
    with pytest.raises(ConnectError, match="answers 404 .*not as a schema registry does"):
        run(lambda: client.schema(1))


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (401, "refuses the credentials"),
        (403, "does not allow this"),
        (422, "refuses schemas/ids/1"),
    ],
)
def test_who_may_not_ask_is_told_at_once(
    registry: SchemaRegistry, run: Run, status: int, match: str
) -> None:
    """There is no use in trying again."""
    registry.fails = status
    with pytest.raises(ConnectError, match=match):
        run(lambda: quick(registry).schema(1))
    assert registry.asked["GET /schemas/ids/1"] == 1


@pytest.mark.parametrize(
    "given",
    [{"username": "ann", "password": "p:w é"}, {"in_url": "ann:p%3Aw%20%C3%A9@"}],
)
def test_a_user_and_password_are_sent(run: Run, given: dict[str, str]) -> None:
    """From settings, or from the URL."""
    with SchemaRegistry(user=("ann", "p:w é")) as registry:
        number = registry.register("orders-value", ORDER)
        url = registry.url.replace("//", f"//{given.pop('in_url', '')}")
        client = Registry(url, timeout=0.5, **given)
        assert run(lambda: client.schema(number)).json == ORDER
        with pytest.raises(ConnectError, match="set username and password, or token"):
            run(lambda: quick(registry).schema(number))


def test_a_token_is_sent(run: Run) -> None:
    """As a bearer."""
    with SchemaRegistry(token="t7") as registry:
        number = registry.register("orders-value", ORDER)
        assert run(lambda: quick(registry, token="t7").schema(number)).json == ORDER
        with pytest.raises(ConnectError, match="refuses the credentials"):
            run(lambda: quick(registry, token="t8").schema(number))


def test_tls_is_checked_and_named_where_it_is_the_matter(
    registry: SchemaRegistry, tmp_path: Path, run: Run
) -> None:
    """A certificate nobody knows, TLS where there is none, none where there is some."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with SchemaRegistry(tls=context) as safe:
        number = safe.register("orders-value", ORDER)
        known = Registry(safe.url, ca_file=tmp_path / "ca.pem", timeout=2.0)
        assert run(lambda: known.schema(number)).json == ORDER
        with pytest.raises(ConnectError, match="is not trusted .*set ca_file"):
            run(lambda: quick(safe).schema(number))
        plain = Registry(safe.url.replace("https", "http"), timeout=0.3)
        with pytest.raises(ConnectError, match="https://"):
            run(lambda: plain.schema(number))
    wrong = Registry(registry.url.replace("http", "https"), timeout=0.5)
    with pytest.raises(ConnectError, match="write http:// if it takes none"):
        run(lambda: wrong.schema(1))


def test_a_schema_is_registered_once_and_looked_up(registry: SchemaRegistry, run: Run) -> None:
    """Its id is known from then on, its GUID too."""
    client, schema = quick(registry), load_schema(ORDER)
    first = run(lambda: client.register("orders-value", schema))
    again = run(lambda: client.register("orders-value", schema))
    found = run(lambda: quick(registry).lookup("orders-value", schema))
    latest = run(lambda: quick(registry).latest("orders-value"))
    assert [r.id for r in (first, again, found, latest)] == [1] * 4
    assert [r.guid for r in (first, latest)] == [registry.guid(1)] * 2
    assert latest.schema.json == ORDER
    assert client.known(1) is schema
    assert client.known(registry.guid(1)) is schema


def test_an_old_registry_gives_no_guid(run: Run) -> None:
    """An id will do."""
    with SchemaRegistry(gives_guids=False) as registry:
        found = run(lambda: quick(registry).register("orders-value", load_schema(ORDER)))
    assert (found.id, found.guid) == (1, None)


def test_what_the_registry_does_not_take_is_a_config_error(
    registry: SchemaRegistry, run: Run
) -> None:
    """Incompatible, invalid, not there: each with the registry's words or the way out."""
    client = quick(registry)
    registry.register("orders-value", ORDER)
    with pytest.raises(ConfigError, match=r"'orders-value' \(409\).*incompatible.*line"):
        run(lambda: client.register("orders-value", load_schema(LINE)))
    with pytest.raises(ConfigError, match="'orders-value': register it, or set register=True"):
        run(lambda: client.lookup("orders-value", load_schema(NOTED)))
    with pytest.raises(ConfigError, match="'nobody': give schema= and register=True"):
        run(lambda: client.latest("nobody"))
    registry.fails = 422
    with pytest.raises(ConfigError, match=r"'orders-value' \(422\): it was told to fail"):
        run(lambda: client.register("orders-value", load_schema(ORDER)))


def test_compatibility_is_asked_for(registry: SchemaRegistry, run: Run) -> None:
    """Whatever follows nothing is compatible."""
    client = quick(registry)
    assert run(lambda: client.incompatibilities("a/b", load_schema(LINE))) == []
    registry.register("a/b", ORDER)
    assert run(lambda: client.incompatibilities("a/b", load_schema(NOTED))) == []
    (reason,) = run(lambda: client.incompatibilities("a/b", load_schema(LINE)))
    assert "line" in reason


def test_schemas_that_refer_to_others_are_put_together(registry: SchemaRegistry, run: Run) -> None:
    """By subject and version."""
    registry.register("order", ORDER)
    orders = {"type": "array", "items": "Order"}
    number = registry.register("orders", orders, {"Order": ("order", 1)})
    schema = run(lambda: quick(registry).schema(number))
    assert schema.json == orders
    assert "Order" in schema.named


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ({"schema": "{"}, "is no schema"),
        ({"schema": '{"type": "recor"}'}, "is no Avro schema: there is no type"),
        ({"schema": "syntax", "schemaType": "PROTOBUF"}, "is of type PROTOBUF, not AVRO"),
        ({}, "is no schema"),
    ],
)
def test_a_schema_that_is_none_of_avros_is_a_decode_error(
    registry: SchemaRegistry, run: Run, body: dict[str, Any], match: str
) -> None:
    """What was written with it can't be read."""
    registry.add("orders-value", body)
    with pytest.raises(DecodeError, match=match):
        run(lambda: quick(registry).schema(1))


@pytest.mark.parametrize("url", ["localhost:8081", "ftp://x", "http://", "mock://x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """With an example of one."""
    with pytest.raises(ConfigError, match=r'to be a URL, "http://localhost:8081"'):
        Registry(url)


def test_one_way_to_say_who_is_there_is_enough() -> None:
    """A user and a token are refused together."""
    with pytest.raises(ConfigError, match="or a token, not both"):
        Registry("http://ann:pw@localhost", token="t")


def test_a_guid_is_what_names_a_schema_everywhere(registry: SchemaRegistry, run: Run) -> None:
    """One that is not there is missing like an id."""
    with pytest.raises(UnknownSchemaError, match="00000007"):
        run(lambda: quick(registry).schema(UUID(int=7)))
