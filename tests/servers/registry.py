"""A schema registry for tests: Confluent's REST protocol in a thread, with faults on request.

    with SchemaRegistry() as registry:
        client = SchemaRegistryClient({"url": registry.url})

Schemas live as long as the object; `stop` and `start` take it down and up again with them.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from aiohttp import web
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse
from fastavro import parse_schema

DEADLINE = 10.0


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema that was registered; `body` is what was sent."""

    id: int
    guid: UUID
    body: dict[str, Any]

    def answer(self, with_guid: bool) -> dict[str, Any]:
        guid = {"guid": str(self.guid)} if with_guid else {}
        return {**self.body, "id": self.id, **guid}


class SchemaRegistry:
    """A registry on a free port of 127.0.0.1.

    Args:
        user: a pair of name and password that it asks for.
        token: a bearer token that it asks for.
        gives_guids: whether it knows GUIDs, as those of today do.
        tls: it takes TLS alone.

    Attributes:
        level: the compatibility that a new version of a subject is held to.
        asked: how often each "METHOD path" was asked for.
        fails: a status to answer everything with; None: it works.
        delay: seconds before it answers.
    """

    def __init__(
        self,
        *,
        user: tuple[str, str] | None = None,
        token: str | None = None,
        gives_guids: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.level = "BACKWARD"
        self.asked: Counter[str] = Counter()
        self.fails: int | None = None
        self.delay = 0.0
        self._port = 0
        self._credentials = _credentials(user, token)
        self._gives_guids = gives_guids
        self._tls = tls
        self._schemas: dict[int, Schema] = {}
        self._subjects: dict[str, list[Schema]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="registry")
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}"

    def __enter__(self) -> SchemaRegistry:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    def start(self) -> None:
        """Listen, on the same port as before."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(DEADLINE)

    def stop(self) -> None:
        """Listen no more; what is registered stays."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(DEADLINE)

    def register(
        self, subject: str, schema: Any, references: Mapping[str, tuple[str, int]] | None = None
    ) -> int:
        """Register without HTTP, whatever the compatibility, and give the id.

        Args:
            references: subject and version of each type that the schema takes from others.
        """
        body: dict[str, Any] = {"schema": json.dumps(schema)}
        if references:
            body["references"] = [
                {"name": name, "subject": of, "version": version}
                for name, (of, version) in references.items()
            ]
        return self.add(subject, body)

    def add(self, subject: str, body: dict[str, Any]) -> int:
        """Keep anything as a version of a subject, and give the id."""
        return self._add(subject, body).id

    def guid(self, schema_id: int) -> UUID:
        """The GUID of a schema."""
        return self._schemas[schema_id].guid

    def versions(self, subject: str) -> list[int]:
        """The ids of a subject's versions."""
        return [schema.id for schema in self._subjects.get(subject, ())]

    # --- HTTP -----------------------------------------------------------------------------

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._answer])
        app.add_routes(
            [
                web.get("/schemas/ids/{id}", self._by_id),
                web.get("/schemas/guids/{guid}", self._by_guid),
                web.get("/subjects", self._all_subjects),
                web.post("/subjects/{subject}", self._lookup),
                web.get("/subjects/{subject}/versions", self._all_versions),
                web.post("/subjects/{subject}/versions", self._register),
                web.get("/subjects/{subject}/versions/{version}", self._version),
                web.post("/compatibility/subjects/{subject}/versions/{version}", self._check),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked[f"{request.method} {request.path}"] += 1
        await asyncio.sleep(self.delay)
        try:
            if self.fails is not None:
                raise Refused(self.fails, self.fails * 100 + 1, "it was told to fail")
            if self._credentials not in (None, request.headers.get("Authorization")):
                raise Refused(401, 401, "Unauthorized")
            return web.json_response(await handler(request))
        except Refused as error:
            body = {"error_code": error.code, "message": str(error)}
            return web.json_response(body, status=error.status)

    # --- what is asked for ----------------------------------------------------------------

    async def _by_id(self, request: web.Request) -> Any:
        found = self._schemas.get(int(request.match_info["id"]))
        if found is None:
            raise Refused(404, 40403, "Schema not found")
        return found.answer(self._gives_guids)

    async def _by_guid(self, request: web.Request) -> Any:
        for schema in self._schemas.values():
            if self._gives_guids and str(schema.guid) == request.match_info["guid"]:
                return schema.answer(with_guid=True)
        raise Refused(404, 40403, "Schema not found")

    async def _all_subjects(self, request: web.Request) -> Any:
        return sorted(self._subjects)

    async def _all_versions(self, request: web.Request) -> Any:
        return list(range(1, len(self._of(request)) + 1))

    async def _version(self, request: web.Request) -> Any:
        versions = self._of(request)
        wanted = request.match_info["version"]
        number = len(versions) if wanted == "latest" else int(wanted)
        if not 1 <= number <= len(versions):
            raise Refused(404, 40402, f"Version {wanted} not found.")
        return self._described(request, versions[number - 1])

    async def _lookup(self, request: web.Request) -> Any:
        body = _valid(await request.json())
        for schema in self._of(request):
            if _same(schema.body, body):
                return self._described(request, schema)
        raise Refused(404, 40403, "Schema not found")

    async def _register(self, request: web.Request) -> Any:
        subject = request.match_info["subject"]
        body = _valid(await request.json())
        versions = self._subjects.get(subject, [])
        known = any(_same(schema.body, body) for schema in versions)
        if versions and not known:
            reasons = incompatibilities(self.level, body, versions[-1].body)
            if reasons:
                said = f"Schema being registered is incompatible with an earlier schema: {reasons}"
                raise Refused(409, 409, said)
        return self._add(subject, body).answer(self._gives_guids)

    async def _check(self, request: web.Request) -> Any:
        versions = self._of(request)
        reasons = incompatibilities(self.level, _valid(await request.json()), versions[-1].body)
        return {"is_compatible": not reasons, "messages": reasons}

    def _of(self, request: web.Request) -> list[Schema]:
        subject = request.match_info["subject"]
        if subject not in self._subjects:
            raise Refused(404, 40401, f"Subject '{subject}' not found.")
        return self._subjects[subject]

    def _described(self, request: web.Request, schema: Schema) -> Any:
        subject = request.match_info["subject"]
        version = self._subjects[subject].index(schema) + 1
        return {**schema.answer(self._gives_guids), "subject": subject, "version": version}

    def _add(self, subject: str, body: dict[str, Any]) -> Schema:
        """The same schema has the same id in every subject."""
        same = [schema for schema in self._schemas.values() if _same(schema.body, body)]
        if same:
            schema = same[0]
        else:
            number = len(self._schemas) + 1
            schema = Schema(number, uuid5(NAMESPACE_URL, json.dumps(body)), body)
            self._schemas[number] = schema
        versions = self._subjects.setdefault(subject, [])
        if schema not in versions:
            versions.append(schema)
        return schema


def incompatibilities(level: str, new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """Why a schema can't follow another one; nothing: it can."""
    newer, older = parse(new["schema"]), parse(old["schema"])
    pairs = {
        "NONE": [],
        "BACKWARD": [(newer, older)],
        "FORWARD": [(older, newer)],
        "FULL": [(newer, older), (older, newer)],
    }[level]
    reasons: list[str] = []
    for reader, writer in pairs:
        checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # the library has no types here
        result = checker.get_compatibility(reader, writer)
        if result.compatibility is not SchemaCompatibilityType.compatible:
            reasons.extend(sorted(result.messages))
    return reasons


def _valid(body: dict[str, Any]) -> dict[str, Any]:
    try:
        if not body.get("references"):
            parse_schema(json.loads(body["schema"]))
    except Exception as error:
        raise Refused(422, 42201, f"Invalid schema: {error}") from error
    return {key: body[key] for key in ("schema", "references") if body.get(key)}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(one["schema"]) == json.loads(other["schema"]))
    except (KeyError, ValueError):
        return one == other


def _credentials(user: tuple[str, str] | None, token: str | None) -> str | None:
    if token is not None:
        return f"Bearer {token}"
    return f"Basic {b64encode(':'.join(user).encode()).decode()}" if user is not None else None
