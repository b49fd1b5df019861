"""Keys to partitions by the rule of Kafka's Java client, so that data may move to Kafka."""

from __future__ import annotations

from functools import lru_cache


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash, as in `org.apache.kafka.common.utils.Utils.murmur2`."""
    length = len(data)
    m = 0x5BD1E995
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & 0xFFFFFFFF
        k = (k ^ (k >> 24)) * m & 0xFFFFFFFF
        h = (h * m & 0xFFFFFFFF) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & 0xFFFFFFFF
    h = (h ^ (h >> 13)) * m & 0xFFFFFFFF
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key: `toPositive(murmur2(key)) % partitions`, Kafka's default rule."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
