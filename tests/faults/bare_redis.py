"""Topics on Redis as a bare client sees them: streams, and a hash for each group.

A partition is the stream `{slip:TOPIC}:N`; the offset of its entry `ms-seq` is `ms << 20 | seq`.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.faults.bare import Entry, Unreachable

T = TypeVar("T")

PATIENCE: Final = 60.0
"""Seconds in which a server that was broken is back, whatever else the machine does."""
GLANCE: Final = 2.0
"""Seconds that a look which may fail waits for its answer."""
BATCH: Final = 200
BATCH_SECONDS: Final = 0.02
SEQ_BITS: Final = 20
PAGE: Final = 5000


class RedisLog:
    """Topics of a server. Any thread may call it.

    Args:
        address: says where the server is, anew for each call: after a fail-over it is another one.
    """

    def __init__(self, address: Callable[[], tuple[str, int]]) -> None:
        self._address = address
        self._partitions: dict[str, int] = {}

    def create(self, topic: str, partitions: int) -> None:
        key = f"{{slip:{topic}}}:topic"
        self._do(lambda r: r.hset(key, mapping={"partitions": partitions, "format": "1"}))
        self._partitions[topic] = partitions

    def write(self, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> set[int]:
        """See `Log`. What was not acknowledged is written again: then it is there twice."""
        acknowledged: set[int] = set()
        batch: list[tuple[bytes, bytes]] = []
        numbers: list[int] = []
        due = time.monotonic() + BATCH_SECONDS
        for number, pair in enumerate(pairs):
            batch.append(pair)
            numbers.append(number)
            if len(batch) >= BATCH or time.monotonic() >= due:
                self._add(topic, batch)
                acknowledged |= set(numbers)
                batch, numbers, due = [], [], time.monotonic() + BATCH_SECONDS
        self._add(topic, batch)
        return acknowledged | set(numbers)

    def _add(self, topic: str, batch: list[tuple[bytes, bytes]]) -> None:
        def add(redis: Any) -> None:
            pipeline = redis.pipeline(transaction=True)
            for key, value in batch:
                partition = zlib.crc32(key) % self._partitions[topic]
                now = time.time_ns() // 1_000_000
                fields = {"timestamp": now, "key": key, "value": value}
                pipeline.xadd(self._stream(topic, partition), fields)
            pipeline.execute()

        if batch:
            self._do(add)

    def read(self, topic: str) -> list[Entry]:
        found: list[Entry] = []
        for partition in range(self._partitions[topic]):
            start = "-"
            while page := self._do(self._page(topic, partition, start)):
                found += [_entry(partition, each, fields) for each, fields in page]
                start = f"({page[-1][0].decode()}"
        return found

    def _page(self, topic: str, partition: int, start: str) -> Callable[[Any], Any]:
        return lambda r: r.xrange(self._stream(topic, partition), start, "+", PAGE)

    def ends(self, topic: str) -> dict[int, int]:
        return {p: last + 1 for p, (last, _) in self._infos(topic).items()}

    def count(self, topic: str) -> int:
        return sum(number for _, number in self._infos(topic).values())

    def _infos(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition -> its last offset, -1 for none, and how many records it has got."""

        def ask(redis: Any) -> dict[int, tuple[int, int]]:
            found = {}
            for partition in range(self._partitions[topic]):
                last = redis.xrevrange(self._stream(topic, partition), count=1)
                number = redis.xlen(self._stream(topic, partition))
                found[partition] = (_offset(last[0][0]) if last else -1, number)
            return found

        return self._glance(ask)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        kept = self._glance(lambda r: r.hgetall(f"{{slip:{topic}}}:group:{group}"))
        return {
            int(name.removeprefix(b"position:")): int(position) + 1
            for name, position in kept.items()
            if name.startswith(b"position:")
        }

    def pending(self, group: str, topic: str) -> int:
        """How many entries were handed to members of a group and are not acknowledged."""

        def ask(redis: Any) -> int:
            streams = [self._stream(topic, p) for p in range(self._partitions[topic])]
            return sum(
                int(each["pending"])
                for stream in streams
                if redis.exists(stream)
                for each in redis.xinfo_groups(stream)
                if each["name"] == group.encode()
            )

        return self._do(ask)

    def close(self) -> None:
        """There is nothing to let go of: each call has a client of its own."""

    @staticmethod
    def _stream(topic: str, partition: int) -> str:
        return f"{{slip:{topic}}}:{partition}"

    def _glance(self, call: Callable[[Any], T]) -> T:
        try:
            host, port = self._address()
            retry = Retry(NoBackoff(), 0)
            with Client(host, port, socket_timeout=GLANCE, retry=retry) as redis:
                return call(redis)
        except (RedisError, OSError) as error:
            raise Unreachable(str(error)) from error

    def _do(self, call: Callable[[Any], T]) -> T:
        """What is answered once the server is there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(Unreachable):
                return self._glance(call)
            if time.monotonic() > deadline:
                raise Unreachable("the Redis server does not answer")
            time.sleep(0.05)


def _entry(partition: int, entry: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    packed = fields.get(b"headers")
    headers = msgspec.msgpack.decode(packed) if packed is not None else ()
    return Entry(
        partition,
        _offset(entry),
        int(fields[b"timestamp"]),
        fields.get(b"key"),
        fields.get(b"value"),
        tuple((name, value) for name, value in headers),
    )


def _offset(entry: bytes) -> int:
    milliseconds, _, sequence = entry.partition(b"-")
    return int(milliseconds) << SEQ_BITS | int(sequence)
