"""A member of the counting app's group with state of its own, elsewhere; it sends nothing.

python visiting.py DIRECTORY NAME
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from slipcore import App, Record
from slipcore.config import Config

directory, name = Path(sys.argv[1]), sys.argv[2]
app = App(f"{name}-visitor", config=Config.load(cwd=directory))
seen = app.cache(f"{name}-visitor/seen", backend="sqlite")


@app.handle(app.topic(f"{name}-in", {"group_id": name}), sink=[seen])
def see(record: Record) -> tuple[str, int]:
    return record.key, record.offset


if __name__ == "__main__":
    asyncio.run(app.stream())
    app.close()
