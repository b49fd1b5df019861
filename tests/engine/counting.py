"""Counts the records of a topic per key and sends each on; run by tests that kill it.

python counting.py DIRECTORY RECORDS
"""

from __future__ import annotations

import sys
from pathlib import Path

from slipcore import App, Record
from slipcore.config import Config

directory, records = Path(sys.argv[1]), int(sys.argv[2])
app = App("counting", config=Config.load(cwd=directory, environ={}))
seen: list[int] = []
source, sink, counts = app.topic("in"), app.topic("out"), app.cache("counts")


@app.handle(source, sink=[sink])
def count(record: Record) -> tuple[str, str]:
    if not seen:
        print("reading", flush=True)
    seen.append(record.offset)
    counts[record.key] = counts.get(record.key, 0) + 1
    return record.key, f"{record.value} {counts[record.key]}"


@app.handle(app.topic("out", {"group_id": "watcher"}))
def watch(record: Record) -> None:
    if sum(counts.values()) == records:
        app.stop()


if __name__ == "__main__":
    import asyncio

    asyncio.run(app.stream())
    print("ended", flush=True)
