"""The same loop around a function that takes a record and gives a pair.

What calls such a function makes a record for it, takes its result apart, sees that what it
writes can be read again, and asks which partition the key belongs to. See `jobs` for how it is
started.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec

from benchmarks.contenders.aiokafka_batched import Round, run
from benchmarks.contenders.jobs import PARTITIONS, on_dict, task
from slipcore import Record
from slipcore.interfaces import partition_for

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
places: dict[bytes, int] = {}


async def send(producer: Any, topic: str, found: dict[Any, list[Any]], handle: Any) -> Round:
    """Hand over what one read gave, as a batch of each partition that the keys belong to."""
    sent, positions = [], {}
    batches = {place: producer.create_batch() for place in range(PARTITIONS)}
    for partition, messages in found.items():
        for message in messages:
            record = Record(
                decode(message.value),
                message.key,
                message.topic,
                message.partition,
                message.offset,
                message.timestamp,
                message.headers,
            )
            key, result = handle(record)
            value = encode(result)
            if value.find(b"null") >= 0:  # which is how NaN is written
                json.dumps(result, allow_nan=False)
            place = places.get(key)
            if place is None:
                place = places[key] = partition_for(key, PARTITIONS)
            while batches[place].append(key=key, value=value, timestamp=None) is None:
                sent.append(await producer.send_batch(batches[place], topic, partition=place))
                batches[place] = producer.create_batch()
        positions[partition] = messages[-1].offset + 1
    for place, batch in batches.items():
        sent.append(await producer.send_batch(batch, topic, partition=place))
    return sent, positions


if __name__ == "__main__":
    asyncio.run(run(task(), send, on_dict))
