"""Send to a topic on Kafka, and read it for ever.
Run it beside a broker: python topic.py [localhost:9092]
"""

from asyncio import run
from sys import argv

from slipcore import Topic

topic = Topic('emoji', {
    'bootstrap_servers': argv[1] if len(argv) > 1 else 'localhost:9092',
    'auto_offset_reset': 'earliest',
    'group_instance_id': 'demo',
    'group_id': 'demo',
})


async def main() -> None:
    await topic(key='trophy', value='🏆')
    await topic(key='fish', value='🐟')

    async for msg in topic:
        print(msg.key, msg.value)


if __name__ == '__main__':
    run(main())
