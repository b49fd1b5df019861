"""A codec of one's own on the `avro` library runs beside this one, on the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter
from avro.schema import parse
from slip_avro import AvroCodec as NamedCodec

from slipcore import App, Record
from slipcore.codecs import ICodec

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}


class AvroCodec(ICodec):
    """Serializes/deserializes avro messages using schema."""

    def __init__(self, path: str) -> None:
        with open(path) as a:  # noqa: PTH123  # as the cookbook has it
            self.schema = parse(a.read())

    def encode(self, obj: Any) -> bytes:
        writer = DatumWriter(self.schema)
        bytes_writer = BytesIO()
        encoder = BinaryEncoder(bytes_writer)
        writer.write(obj, encoder)
        return bytes_writer.getvalue()

    def decode(self, s: bytes) -> object:
        bytes_reader = BytesIO(s)
        decoder = BinaryDecoder(bytes_reader)
        reader = DatumReader(self.schema)
        return reader.read(decoder)


def test_a_codec_by_the_avro_library_is_a_codec(
    make_app: Callable[..., App], run: Callable[[Any], Any], tmp_path: Path
) -> None:
    """What one of them writes, the other reads."""
    file = tmp_path / "order.avsc"
    file.write_text(json.dumps(ORDER))
    app = make_app()
    source = app.topic("in", codec=AvroCodec(str(file)))
    sink, seen = app.topic("out", codec=AvroCodec(str(file))), []
    app.handle(source, sink=[sink])(lambda record: (record.key, record.value))

    @app.handle(app.topic("out", {"group_id": "g"}, codec=NamedCodec(file)))
    def handler(record: Record) -> None:
        seen.append(record.value)
        app.stop()

    async def work() -> None:
        await source("k", {"id": 7})
        await source.aclose()
        await app.stream()

    run(work)
    assert seen == [{"id": 7}]
