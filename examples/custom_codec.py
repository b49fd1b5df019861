"""A codec of one's own: JSON, compressed, on an embedded topic that needs no server.
Run it: python custom_codec.py
"""

import json
import zlib
from asyncio import run
from typing import Any

from slipcore import Topic
from slipcore.interfaces import ICodec


class CompressedCodec(ICodec):
    """Serializes/deserializes json messages, compressed."""

    def encode(self, obj: Any) -> bytes:
        return zlib.compress(json.dumps(obj).encode())

    def decode(self, s: bytes) -> object:
        return json.loads(zlib.decompress(s))


topic = Topic(
    'emoji',
    {'auto_offset_reset': 'earliest', 'group_id': 'demo'},
    codec=CompressedCodec(),
)


async def main() -> None:
    await topic(key='fish', value={'msg': '🐟'})

    async for msg in topic:
        print(msg.value)
        break

    await topic.aclose()


if __name__ == '__main__':
    run(main())
