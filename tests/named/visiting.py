"""A member of the counting app's group with state of its own, elsewhere; it sends nothing.

It prints what slipcore warns of: that it waits for the partitions that the app has.

python visiting.py DIRECTORY NAME
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from slipcore import App, Record
from slipcore.config import Config

VISIT = 20.0
"""Seconds after which it goes, if nobody sends it away."""

directory, name = Path(sys.argv[1]), sys.argv[2]
app = App(f"{name}-visitor", config=Config.load(cwd=directory))
seen = app.cache(f"{name}-visitor/seen", backend="sqlite")


@app.handle(app.topic(f"{name}-in", {"group_id": name}), sink=[seen])
def see(record: Record) -> tuple[str, int]:
    return record.key, record.offset


async def main() -> None:
    async with asyncio.timeout(VISIT):
        await app.stream()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING)
    asyncio.run(main())
    app.close()
