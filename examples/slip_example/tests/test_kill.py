"""A pipeline from Parquet to Parquet that is killed over and over."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 8_000
DEADLINE = 60.0

APP = """
import asyncio
from slipcore import Cache, Out, Sink, Source, handle, stream
from slip_example import origin

orders, paid, totals = Source("orders"), Sink("paid"), Cache("totals")

@handle(orders, sink=[paid])
def pay(record):
    if record.offset % 100 == 0:
        print(record.offset, flush=True)
    {EFFECT}

asyncio.run(stream())
print("ended", flush=True)
"""

COUNTED = """totals["rows"] = (totals["rows"] or 0) + 1
    return Out({**record.value, "paid": True}, headers=origin(record))"""

PLAIN = """return {**record.value, "paid": True}"""

CONFIG = """
[app]
name = "paying"

[sources.orders]
backend = "parquet"
path = "in"

[sinks.paid]
backend = "parquet"
path = "out"
offsets_per_file = 1500
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the app is run: files to read, and the configuration."""
    (tmp_path / "in").mkdir()
    for first in range(0, ROWS, 500):
        table = pa.table({"n": range(first, first + 500)})
        pq.write_table(table, tmp_path / "in" / f"{first:05}.parquet", row_group_size=300)
    (tmp_path / "slip.toml").write_text(CONFIG)
    return tmp_path


def run_killing_it(directory: Path, effect: str) -> Counter[int]:
    """Kill the app often, then let it end; how often each row is in what it wrote."""
    (directory / "app.py").write_text(APP.replace("{EFFECT}", effect))
    command = [sys.executable, "app.py"]
    chance = random.Random(7)
    for _ in range(4):
        app = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True)
        assert app.stdout is not None
        app.stdout.readline()
        time.sleep(chance.random() * 0.1)
        app.kill()
        app.communicate()
    ended = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["ended"]), ended.stderr
    paths = sorted((directory / "out").glob("*.parquet"))
    return Counter(row["n"] for path in paths for row in pq.ParquetFile(path).read().to_pylist())


def test_rows_with_an_origin_are_written_once(directory: Path) -> None:
    """However often it is killed; and the app's state has counted each of them once."""
    assert run_killing_it(directory, COUNTED) == Counter(range(ROWS))
    code = "from slipcore import App; print(App('paying').cache('totals')['rows'])"
    counted = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=True
    )
    assert int(counted.stdout) == ROWS


def test_rows_without_are_written_at_least_once(directory: Path) -> None:
    """None is missing; some may be there again."""
    assert set(run_killing_it(directory, PLAIN)) == set(range(ROWS))
