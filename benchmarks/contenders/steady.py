"""Print the memory held at each tenth of the way: `... benchmarks.contenders.steady WHO RECORDS`.

WHO is `bare` for a loop by hand, `plain` for a handler and a sink, `state` for one that counts too.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders.functions import double
from benchmarks.contenders.jobs import resident
from benchmarks.growth import cycling
from slipcore import App, Record
from slipcore.config import Config


class Steps:
    """A sink that looks at the memory ten times."""

    def __init__(self, records: int) -> None:
        self._step = max(1, records // 10)
        self._count = 0

    def __call__(self, value: int) -> None:
        self._count += 1
        if self._count % self._step == 0:
            print(resident(os.getpid()), flush=True)


async def main(who: str, records: int) -> None:
    """Handle that many records."""
    sink = Steps(records)
    if who == "bare":
        async for record in cycling(records):
            sink(double(record))
        return
    with tempfile.TemporaryDirectory(prefix="slipcore-bench-") as folder:
        app = App("steady", config=Config(Path(folder)))
        handler = double
        if who == "state":
            cache = app.cache("counts", backend="memory")

            def count(record: Record) -> int:
                cache.put(record.offset, (cache.get(record.offset) or 0) + 1)
                return double(record)

            handler = count
        app.handle(cycling(records), sink=[sink])(handler)
        await app.stream()
        app.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
