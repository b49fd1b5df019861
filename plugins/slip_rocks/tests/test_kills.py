"""An app on RocksDB that is killed over and over counts exactly."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipcore import App
from slipcore.config import Config

RECORDS = 3_000
KEYS = 7

COUNTING = """
import asyncio
from slipcore import App

app = App("counting")
source, counts = app.topic("numbers"), app.cache("state/counts", backend="rocks")

@app.handle(source)
def count(record):
    counts[record.key] = (counts[record.key] or 0) + 1
    counts["total"] = total = (counts["total"] or 0) + 1
    if total % 50 == 0:
        print(total, flush=True)
    if total == %d:
        app.stop()

if (counts["total"] or 0) < %d:
    asyncio.run(app.stream())
app.close()
print("ended", flush=True)
"""


def make_app(directory: Path, name: str) -> App:
    return App(name, config=Config.load(cwd=directory, environ={}))


async def fill(app: App) -> None:
    topic = app.topic("numbers")
    for n in range(RECORDS):
        await topic(f"k{n % KEYS}", str(n))


@pytest.mark.parametrize("draw", [1, 2])
def test_counts_are_exact_however_often_it_is_killed(tmp_path: Path, draw: int) -> None:
    """Every record is counted once: its effect and the position of its source are one write."""
    app = make_app(tmp_path, "filling")
    asyncio.run(fill(app))
    app.close()
    script = COUNTING.replace("%d", str(RECORDS))
    chance = random.Random(draw)
    for _ in range(6):
        counting = subprocess.Popen(
            [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        assert counting.stdout is not None
        counting.stdout.readline()
        time.sleep(chance.random() * 0.03)
        counting.kill()
        counting.communicate()
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stdout.splitlines()[-1:]) == (0, ["ended"])
    app = make_app(tmp_path, "reading")
    counts = dict(app.cache("state/counts", backend="rocks").items())
    app.close()
    expected = {f"k{n}": len(range(n, RECORDS, KEYS)) for n in range(KEYS)}
    assert counts == {**expected, "total": RECORDS}
