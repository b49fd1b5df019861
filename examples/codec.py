"""JSON on a topic on Kafka, read for ever.
Run it beside a broker: python codec.py [localhost:9092]
"""

from asyncio import run
from sys import argv

from slipcore import Topic
from slipcore.codecs import JsonCodec

topic = Topic('emoji', {
    'bootstrap_servers': argv[1] if len(argv) > 1 else 'localhost:9092',
    'auto_offset_reset': 'earliest',
    'group_instance_id': 'demo',
    'group_id': 'demo',
}, codec=JsonCodec())


async def main() -> None:
    await topic(key='fish', value={'msg': '🐟'})

    async for msg in topic:
        print(msg.value)


if __name__ == '__main__':
    run(main())
