"""Keys reach the partitions that Kafka's Java client would choose."""

from __future__ import annotations

import pytest

from slipcore.partitioning import murmur2, partition_for


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
        (b"", 275646681),
    ],
)
def test_murmur2_is_kafkas(key: bytes, signed: int) -> None:
    """The hash agrees with the vectors of Kafka's UtilsTest."""
    assert murmur2(key) == signed & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("key", "partitions", "expected"),
    [(b"21", 10, 0), (b"foobar", 10, 6), (b"abc", 10, 7), (b"abc", 1, 0), (b"", 7, 2)],
)
def test_partitions_are_kafkas(key: bytes, partitions: int, expected: int) -> None:
    """A key's partition is `toPositive(murmur2(key)) % partitions`."""
    assert partition_for(key, partitions) == expected
