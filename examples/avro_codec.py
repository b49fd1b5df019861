"""Avro on an embedded topic: with a codec of one's own, and with the plugin's.
Run it: python avro_codec.py [plugin]
"""

from asyncio import run
from io import BytesIO
from pathlib import Path
from sys import argv
from tempfile import TemporaryDirectory
from typing import Any, cast

from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter
from avro.schema import parse

from slipcore import Topic
from slipcore.codecs import ICodec

SCHEMA = """
{
    "type": "record",
    "name": "Prize",
    "fields": [{"name": "emoji", "type": "string"}, {"name": "count", "type": "long"}]
}
"""


class AvroCodec(ICodec):
    """Serializes/deserializes avro messages using schema."""

    def __init__(self, path: str) -> None:
        with open(path) as a:
            self.schema = parse(a.read())

    def encode(self, obj: Any) -> bytes:
        writer = DatumWriter(self.schema)
        bytes_writer = BytesIO()
        encoder = BinaryEncoder(bytes_writer)
        writer.write(obj, encoder)
        return cast(bytes, bytes_writer.getvalue())

    def decode(self, s: bytes) -> object:
        bytes_reader = BytesIO(s)
        decoder = BinaryDecoder(bytes_reader)
        reader = DatumReader(self.schema)
        return cast(object, reader.read(decoder))


def codec(path: str) -> ICodec:
    if argv[1:] == ['plugin']:
        import slip_avro

        return slip_avro.AvroCodec(Path(path), wire='plain')
    return AvroCodec(path)


async def main() -> None:
    with TemporaryDirectory() as directory:
        path = f'{directory}/prize.avsc'
        Path(path).write_text(SCHEMA)
        topic = Topic('prizes', codec=codec(path))

        await topic(key='trophy', value={'emoji': '🏆', 'count': 3})

        async for msg in topic:
            print(msg.value)
            break

        await topic.aclose()


if __name__ == '__main__':
    run(main())
