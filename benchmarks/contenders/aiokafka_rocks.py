"""The same loop with counts that are durable: in a dict, and in RocksDB with their positions.

What a count in RocksDB can't do without: each round that was acknowledged is written in one batch,
off the event loop, with as many rounds as have come meanwhile. See `jobs` for how it is started.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any

from rocksdict import Options, Rdict, WriteBatch

from benchmarks.contenders.aiokafka_batched import RECORDS, ROUNDS, Round, send, started
from benchmarks.contenders.jobs import Task, task


def write(database: Rdict, changed: dict[bytes, bytes], positions: dict[Any, int]) -> None:
    """Keep counts, and how far they have come."""
    batch = WriteBatch(raw_mode=True)
    for key, value in changed.items():
        batch.put(key, value)
    for partition, position in positions.items():
        batch.put(b"position %d" % partition.partition, b"%d" % position)
    database.write(batch)


async def run(given: Task) -> None:
    """Read, count and write in turn, while the broker acknowledges and the disk writes."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    database = Rdict(str(given.folder / "counts"), options=options)
    counts: dict[bytes, int] = {}
    changed: dict[bytes, bytes] = {}

    def count(key: bytes, value: bytes) -> bytes:
        number = counts[key] = counts.get(key, 0) + 1
        data = changed[key] = b"%d" % number
        return data

    consumer, producer = await started(given)
    rounds: deque[tuple[Round, dict[bytes, bytes]]] = deque()
    kept: dict[bytes, bytes] = {}
    finished: dict[Any, int] = {}
    writing: asyncio.Future[None] | None = None
    committing: asyncio.Future[Any] | None = None
    due = monotonic() + 1
    while True:
        found = await consumer.getmany(timeout_ms=10, max_records=RECORDS)
        if found:
            sent = await send(producer, given.sink, found, count)
            rounds.append((sent, changed.copy()))
            changed.clear()
        while rounds and (len(rounds) > ROUNDS or all(f.done() for f in rounds[0][0][0])):
            (acknowledged, positions), written = rounds.popleft()
            await asyncio.gather(*acknowledged)
            finished.update(positions)
            kept.update(written)
        if kept and (writing is None or writing.done()):
            writing = asyncio.ensure_future(
                asyncio.to_thread(write, database, kept, dict(finished))
            )
            kept = {}
        if finished and monotonic() > due:
            if committing is not None:
                await committing
            committing = asyncio.ensure_future(consumer.commit(dict(finished)))
            due = monotonic() + 1


if __name__ == "__main__":
    asyncio.run(run(task()))
