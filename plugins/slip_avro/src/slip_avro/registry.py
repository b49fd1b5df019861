"""A client of schema registries that speak Confluent's REST protocol.

It stands on aiohttp: Confluent's own client brings httpx, authlib and cachetools along, and asks
again for what it has forgotten.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
from base64 import b64encode
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID
from weakref import WeakValueDictionary

import aiohttp
import msgspec
from yarl import URL

from slip_avro.answers import NOT_THERE, NoAnswerError, RegistryError, no_answer, refusal
from slip_avro.schemas import AvroSchema, parse_schema
from slip_avro.wire import SchemaRef
from slipcore.interfaces import ConfigError, ConnectError, DecodeError, SlipError

logger = logging.getLogger(__name__)

TRY_SECONDS: Final = 5.0
"""For one answer."""

UNKNOWN_SECONDS: Final = 10.0
"""For which a schema that is not there is not asked for again."""

_CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_AGAIN: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)


class Registered(msgspec.Struct, frozen=True):
    """A schema in the registry.

    Attributes:
        id: its number in this registry.
        guid: its name in every registry; None where the registry is too old for that.
    """

    id: int
    guid: UUID | None
    schema: AvroSchema


class UnknownSchemaError(DecodeError):
    """The registry has no schema of that id."""


class Registry:
    """A schema registry.

    Schemas by id are asked for once, whoever waits for them, and kept for ever: they never change.
    It holds no connection between two questions and may be used from one event loop after another.

    Args:
        url: may hold a user and a password.
        username: with `password`; over those of the URL.
        token: a bearer token, instead of both.
        ca_file: certificates to trust, where the registry's are not known to the system.
        timeout: seconds to go on trying when it does not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        ca_file: Path | str | None = None,
        timeout: float = 20.0,
    ) -> None:
        address = _address(url)
        username = username if username is not None else address.user
        password = password if password is not None else address.password
        if username is not None and token is not None:
            raise ConfigError("A registry takes a username and password, or a token, not both.")
        self.url = str(address.with_user(None)).rstrip("/")
        self.timeout = timeout
        self._headers = {
            "Accept": f"{_CONTENT_TYPE}, application/json",
            "Content-Type": _CONTENT_TYPE,
        }
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        elif username is not None:
            pair = b64encode(f"{username}:{password or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        self._tls = _tls(ca_file)
        self._schemas: dict[SchemaRef, AvroSchema] = {}
        self._unknown: dict[SchemaRef, float] = {}
        self._asking: WeakValueDictionary[SchemaRef, asyncio.Lock] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"Registry({self.url!r})"

    def known(self, ref: SchemaRef) -> AvroSchema | None:
        """A schema that was fetched before, or None.

        Raises:
            UnknownSchemaError: the registry has said a moment ago that it has none.
        """
        found = self._schemas.get(ref)
        if found is None and self._unknown:
            until = self._unknown.get(ref)
            if until is not None and monotonic() < until:
                raise UnknownSchemaError(f"the schema registry {self.url} has no schema {ref}")
        return found

    async def schema(self, ref: SchemaRef) -> AvroSchema:
        """The schema of an id or GUID.

        Raises:
            UnknownSchemaError: there is none.
            DecodeError: it is no Avro schema.
            ConnectError: the registry did not answer in time, or not in a useful way.
        """
        asking = self._asking.setdefault(ref, asyncio.Lock())
        async with asking:
            found = self.known(ref)
            if found is None:
                found = self._schemas[ref] = await self._fetch(ref)
            return found

    async def _fetch(self, ref: SchemaRef) -> AvroSchema:
        path = f"schemas/guids/{ref}" if isinstance(ref, UUID) else f"schemas/ids/{ref}"
        try:
            answer = await self._ask("GET", path)
            return await self._parsed(answer, f"schema {ref} of {self.url}")
        except RegistryError as error:
            if error.code not in NOT_THERE:
                raise ConnectError(str(error)) from error
            now = monotonic()
            self._unknown = {r: until for r, until in self._unknown.items() if until > now}
            self._unknown[ref] = now + UNKNOWN_SECONDS
            raise UnknownSchemaError(
                f"the schema registry {self.url} has no schema {ref}"
            ) from error
        except ConfigError as error:
            raise DecodeError(str(error)) from error

    async def latest(self, subject: str) -> Registered:
        """The newest schema of a subject.

        Raises:
            ConfigError: it has none.
            ConnectError: the registry did not answer in time, or not in a useful way.
        """
        try:
            answer = await self._ask("GET", f"subjects/{_quoted(subject)}/versions/latest")
        except RegistryError as error:
            raise self._wrong(error, subject, "give schema= and register=True") from error
        return await self._registered(answer, None)

    async def register(self, subject: str, schema: AvroSchema) -> Registered:
        """Register a schema, if it is not there, and learn its id.

        Raises:
            ConfigError: it is not compatible with those that are there, or not valid.
            ConnectError: the registry did not answer in time, or not in a useful way.
        """
        path = f"subjects/{_quoted(subject)}/versions"
        try:
            answer = await self._ask("POST", path, {"schema": schema.text})
        except RegistryError as error:
            raise self._wrong(error, subject, "") from error
        return await self._registered(answer, schema)

    async def lookup(self, subject: str, schema: AvroSchema) -> Registered:
        """Learn the id of a schema that is registered.

        Raises:
            ConfigError: it is not.
            ConnectError: the registry did not answer in time, or not in a useful way.
        """
        try:
            answer = await self._ask(
                "POST", f"subjects/{_quoted(subject)}", {"schema": schema.text}
            )
        except RegistryError as error:
            raise self._wrong(error, subject, "register it, or set register=True") from error
        return await self._registered(answer, schema)

    async def incompatibilities(self, subject: str, schema: AvroSchema) -> list[str]:
        """Why a schema can't follow the latest of a subject; nothing: it can.

        Raises:
            ConfigError: it is not valid.
            ConnectError: the registry did not answer in time, or not in a useful way.
        """
        path = f"compatibility/subjects/{_quoted(subject)}/versions/latest?verbose=true"
        try:
            answer = await self._ask("POST", path, {"schema": schema.text})
        except RegistryError as error:
            if error.code in NOT_THERE:
                return []  # the first of its subject follows none
            raise self._wrong(error, subject, "") from error
        if answer.get("is_compatible"):
            return []
        return [str(message) for message in answer.get("messages", ())] or ["no reason is given"]

    async def check(self) -> None:
        """See that it answers, and as a registry does.

        Raises:
            ConnectError: it does not.
        """
        try:
            await self._ask("GET", "schemas/ids/0")  # what every reader of it has to be allowed
        except RegistryError as error:
            if error.code not in NOT_THERE:
                raise ConnectError(str(error)) from error

    def _wrong(self, error: RegistryError, subject: str, way_out: str) -> SlipError:
        if error.code in NOT_THERE:
            return ConfigError(
                f"The schema registry {self.url} has no such schema under '{subject}': {way_out}."
            )
        if error.status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
            return ConfigError(
                f"The schema registry {self.url} does not take the schema for '{subject}' "
                f"({error.status}): {error.said}."
            )
        return ConnectError(str(error))

    async def _registered(self, answer: Any, schema: AvroSchema | None) -> Registered:
        if schema is None:
            schema = await self._parsed(answer, f"schema {answer.get('id')} of {self.url}")
        guid = answer.get("guid")
        found = Registered(answer["id"], UUID(guid) if guid else None, schema)
        self._schemas[found.id] = schema
        if found.guid is not None:
            self._schemas[found.guid] = schema
        return found

    async def _parsed(self, answer: Any, what: str) -> AvroSchema:
        """The schema of an answer, with the schemas that it refers to.

        Raises:
            ConfigError: it is none.
        """
        kind = answer.get("schemaType", "AVRO")
        if kind != "AVRO":
            raise ConfigError(f"{what} is of type {kind}, not AVRO")
        named: dict[str, Any] = {}
        for reference in answer.get("references") or ():
            subject, version = _quoted(reference["subject"]), reference["version"]
            inner = await self._ask("GET", f"subjects/{subject}/versions/{version}")
            named |= (await self._parsed(inner, f"{reference['name']} of {self.url}")).named
        try:
            source = json.loads(answer["schema"])
        except (KeyError, ValueError, RecursionError) as error:
            raise ConfigError(f"{what} is no schema: {error}") from error
        return parse_schema(source, what, named)

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask, again and again while it may help.

        Raises:
            RegistryError: the registry says no.
            ConnectError: it did not answer in time, or not as a registry does.
        """
        deadline = monotonic() + self.timeout
        async with aiohttp.ClientSession(headers=self._headers) as session:
            for place, pause in enumerate(_pauses()):
                seconds = max(0.1, min(TRY_SECONDS, deadline - monotonic()))
                try:
                    return await self._ask_once(session, method, path, body, seconds)
                except NoAnswerError as error:
                    reason = error
                if monotonic() + pause >= deadline:
                    break
                if place == 0:
                    logger.warning(
                        "The schema registry %s can't be reached: %s. It is tried for %g s.",
                        self.url,
                        reason,
                        self.timeout,
                    )
                await asyncio.sleep(pause)
        raise ConnectError(
            f"The schema registry {self.url} can't be reached: {reason}. It was tried for "
            f"{self.timeout:g} s; see that it runs and that registry= is right."
        ) from reason

    async def _ask_once(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Any, seconds: float
    ) -> Any:
        try:
            async with session.request(
                method,
                URL(f"{self.url}/{path}", encoded=True),
                data=None if body is None else json.dumps(body).encode(),
                timeout=aiohttp.ClientTimeout(total=seconds),
                ssl=self._tls,
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise no_answer(self.url, error) from error
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _AGAIN:
            raise NoAnswerError(f"it answers {answer.status} {answer.reason or ''}".rstrip())
        return _taken(self.url, path, answer.status, content)


def _taken(url: str, path: str, status: int, content: bytes) -> Any:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if status == HTTPStatus.OK and isinstance(found, dict):
        return found
    raise refusal(url, path, status, found)


def _pauses() -> Iterator[float]:
    """Seconds to wait between two tries: longer and longer, and not the same for everybody."""
    pause = 0.1
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(pause * 2, 3.0)


def _address(url: str) -> URL:
    try:
        address = URL(url)
        # What is asked for is written behind it. And a query may be a password.
        valid = address.scheme in ("http", "https") and bool(address.host and not address.query)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError('registry is to be a URL, "http://localhost:8081".')
    return address


def _tls(ca_file: Path | str | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file={str(ca_file)!r} holds no certificates: {error}") from error


def _quoted(subject: str) -> str:
    return quote(subject, safe="")
