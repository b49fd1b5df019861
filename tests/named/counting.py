"""Counts records per key and sends each on; its backends are those of the directory's slip.toml.

python counting.py DIRECTORY NAME RECORDS

NAME is the app's, and part of its topics' and cache's. It ends when all records are counted.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from slipcore import App, Record
from slipcore.config import Config

directory, name, records = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
app = App(name, config=Config.load(cwd=directory))
source, sink, counts = (
    app.topic(f"{name}-in"),
    app.topic(f"{name}-out"),
    app.cache(f"{name}/counts"),
)


@app.handle(source, sink=[sink])
async def count(record: Record) -> tuple[str, str]:
    number = await counts.aget(record.key, 0) + 1
    total = await counts.aget("total", 0) + 1
    if total == 1 or total % 100 == 0:
        print(total, flush=True)
    await counts.aset(record.key, number)
    await counts.aset("total", total)
    if total == records:
        app.stop()
    return record.key, f"{record.value} {number}"


async def main() -> None:
    if await counts.aget("total", 0) < records:
        await app.stream()


if __name__ == "__main__":
    asyncio.run(main())
    app.close()
    print("ended", flush=True)
