"""The codec `avro`: values to Avro and back, with the id of their schema where there is one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slip_avro.coding import Read, Write, reader, writer
from slip_avro.derive import derive_schema
from slip_avro.options import AvroOptions, Wire
from slip_avro.registry import Registered, Registry
from slip_avro.schemas import AvroSchema, Json, load_schema
from slip_avro.wire import ID_BYTES, SchemaRef, header_name, named_ref, pack_ref, unpack_ref
from slipcore.interfaces import (
    ConfigError,
    ConnectError,
    DecodeError,
    EncodeError,
    Headers,
    ITopicCodec,
    Part,
    Record,
    UnpreparedError,
)


class AvroCodec(ITopicCodec):
    """Avro, by fastavro.

    >>> codec = AvroCodec({"type": "array", "items": "long"})
    >>> codec.decode(codec.encode([1, 2]))
    [1, 2]

    Values are what the schema says: nothing is written that would come back as another value. Of
    a union of several records, one is written and read as a pair of its name and a dict.

    Args:
        schema: what is written and, without `reader_schema`, read into: a file, JSON text, or what
            JSON says; None: that of `type`, else the latest of the subject.
        type: what values are: a dataclass, Struct or TypedDict; None: dicts and the like.
        reader_schema: what is read into, whatever it was written with.
        registry: a schema registry or its URL; None: what was written has `schema`.
        subject: the name in the registry; None: "<topic>-value" or "<topic>-key".
        register: register `schema` before the first write, if it is not there.
        check_compatibility: refuse to write with a schema that the latest can't follow.
        wire: where the id of the schema stands: "confluent" before the value, "header" in a
            header; "plain": nowhere. None: "confluent" with a registry, else "plain".
    """

    def __init__(
        self,
        schema: Json | Path | None = None,
        *,
        type: Any = None,
        reader_schema: Json | Path | None = None,
        registry: Registry | str | None = None,
        subject: str | None = None,
        register: bool = False,
        check_compatibility: bool = False,
        wire: Wire | None = None,
    ) -> None:
        self._type = type
        self._keeps_decimals = schema is not None
        if schema is None and type is not None:
            schema = derive_schema(type)
        self._schema = None if schema is None else load_schema(schema)
        self._into = self._schema if reader_schema is None else load_schema(reader_schema)
        self._registry = Registry(registry) if isinstance(registry, str) else registry
        self.subject = subject
        self._register = register
        self._check = check_compatibility
        self._wire = wire or ("plain" if registry is None else "confluent")
        self._require_sense()
        self._part: Part = "value"
        self._own_header = header_name(self._part)
        self._prefix = b""
        self._header: bytes | None = None
        self._write: Write | None = None
        self._reads: dict[bytes, Read] = {}
        self._plain: Read | None = None
        if self._registry is None and self._schema is not None:
            self._write = self._writer(self._schema)
            self._plain = self._reader(self._schema)

    def __repr__(self) -> str:
        of = f"'{self._schema.name}'" if self._schema is not None else ""
        at = f"registry={self._registry.url!r}" if self._registry is not None else ""
        return f"AvroCodec({', '.join(filter(None, (of, at)))})"

    def _require_sense(self) -> None:
        if self._registry is not None:
            if self._wire == "plain":
                raise ConfigError(
                    'the codec avro has a registry and wire="plain", which has no place for the '
                    'registry\'s ids: choose wire="confluent" or "header"'
                )
            if self._schema is None and (self._register or self._check):
                raise ConfigError("the codec avro is to register a schema, and has none: schema=")
            return
        if self._schema is None:
            raise ConfigError(
                "the codec avro has no schema: give schema= (a file or JSON), type= or registry="
            )
        if self._wire != "plain" or self._register or self._check:
            raise ConfigError(
                f'the codec avro has no registry, which wire="{self._wire}" or registering needs: '
                "set registry to its URL"
            )

    # --- of a topic -----------------------------------------------------------------------

    def bind(self, topic: str, part: Part) -> AvroCodec:
        """The same codec for one topic; what it has fetched is shared."""
        bound = copy.copy(self)
        bound._part = part
        bound._own_header = header_name(part)
        bound.subject = self.subject if self.subject is not None else f"{topic}-{part}"
        return bound

    async def open(self) -> None:
        """Learn the id to write, as the registry has it.

        Raises:
            ConfigError: the schema is not registered, not valid or not compatible.
            ConnectError: the registry can't be asked.
        """
        if self._registry is None or self._write is not None:
            return
        found = await self._registered(self._registry)
        name = found.guid if found.guid is not None and self._wire == "header" else found.id
        self._prefix = pack_ref(found.id) if self._wire == "confluent" else b""
        self._header = pack_ref(name) if self._wire == "header" else None
        self._write = self._writer(found.schema)

    async def _registered(self, registry: Registry) -> Registered:
        if self.subject is None:
            raise ConfigError(f"{self!r} belongs to no topic yet: give it subject=")
        if self._schema is None:
            return await registry.latest(self.subject)
        if self._check:
            reasons = await registry.incompatibilities(self.subject, self._schema)
            if reasons:
                raise ConfigError(
                    f"The schema '{self._schema.name}' is not compatible with the latest of "
                    f"'{self.subject}' at {registry.url}: {'; '.join(reasons)}."
                )
        if self._register:
            return await registry.register(self.subject, self._schema)
        return await registry.lookup(self.subject, self._schema)

    def headers(self, given: Headers) -> Headers:
        """Those given, with the name of the schema; one of another schema is left out."""
        if given:
            given = tuple(header for header in given if header[0] != self._own_header)
        return given if self._header is None else (*given, (self._own_header, self._header))

    # --- writing --------------------------------------------------------------------------

    def encode(self, obj: Any) -> bytes:
        """The bytes of a value.

        Raises:
            EncodeError: it does not fit the schema, or would come back as another value.
        """
        if self._write is None:
            raise EncodeError(
                f"{self!r} has not asked its registry yet, which a topic does; elsewhere await "
                "open() first, or take a schema without registry"
            )
        return self._write(obj, self._prefix)

    # --- reading --------------------------------------------------------------------------

    def decode(self, s: bytes) -> object:
        """The value of the bytes.

        Raises:
            DecodeError: they are not what the schema says, to the last byte.
            UnpreparedError: their schema has not been fetched.
        """
        if self._plain is not None:
            return self._plain(s, 0)
        read = self._reads.get(s[:ID_BYTES])
        if read is not None:
            return read(s, ID_BYTES)
        ref, start = unpack_ref(s)
        return self._known(ref)(s, start)

    def decode_record(self, record: Record) -> object:
        data: bytes = record.value if self._part == "value" else record.key
        if self._plain is not None:
            return self._plain(data, 0)
        if record.headers:
            for name, named in record.headers:
                if name == self._own_header:
                    read = self._reads.get(named)
                    return (self._known(named_ref(name, named)) if read is None else read)(data, 0)
        return self.decode(data)

    async def prepare(self, records: Sequence[Record]) -> None:
        """Fetch the schemas that records name, up to the first that does not exist."""
        if self._registry is None:
            return
        for record in records:
            try:
                ref = self._ref(record)
                if ref is not None:
                    await self._registry.schema(ref)
            except DecodeError:
                return  # it is found again, with its place, when the record is decoded
            except ConnectError as error:
                place = f"{record.topic}[{record.partition}]@{record.offset}"
                raise ConnectError(f"{error} Record {place} waits for its schema {ref}.") from error

    def _ref(self, record: Record) -> SchemaRef | None:
        data = record.value if self._part == "value" else record.key
        if data is None:
            return None
        for name, named in record.headers:
            if name == self._own_header:
                return named_ref(name, named)
        return unpack_ref(data)[0]

    def _known(self, ref: SchemaRef) -> Read:
        """What reads values of a schema.

        Raises:
            UnpreparedError: it is not here.
            DecodeError: there is none.
        """
        packed = pack_ref(ref)
        read = self._reads.get(packed)
        if read is None:
            found = self._registry.known(ref) if self._registry is not None else None
            if found is None:
                raise UnpreparedError(f"the schema {ref} has not been fetched from the registry")
            read = self._reads[packed] = self._reader(found)
        return read

    def _writer(self, schema: AvroSchema) -> Write:
        return writer(schema, self._type, self._keeps_decimals, self._registry is not None)

    def _reader(self, written: AvroSchema) -> Read:
        return reader(written, self._into, self._type, self._registry is not None)


def make_codec(options: AvroOptions, type: Any) -> AvroCodec:
    """The codec of settings, for a topic that names it."""
    registry = make_registry(options, options.timeout)
    return AvroCodec(
        options.schema,
        type=type,
        reader_schema=options.reader_schema,
        registry=registry,
        subject=options.subject,
        register=options.register,
        check_compatibility=options.check_compatibility,
        wire=options.wire,
    )


def make_registry(options: AvroOptions, timeout: float) -> Registry | None:
    """The registry that settings name, if they do.

    Args:
        timeout: seconds to go on trying when it does not answer.
    """
    if options.registry is None:
        return None
    return Registry(
        options.registry,
        username=options.username,
        password=options.password.reveal() if options.password is not None else None,
        token=options.token.reveal() if options.token is not None else None,
        ca_file=options.ca_file,
        timeout=timeout,
    )
