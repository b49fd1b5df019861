"""What an app keeps is for the eyes of its owner, whatever the process's umask says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

OPEN_TO_OTHERS = 0o077
PROGRAM = """
import os

os.umask(0)

from asyncio import run
from datetime import UTC, datetime
from slipcore import Cache, Topic, handle, stream
from slipcore.checkpointing import Checkpoint, Dependency
from slipcore.current import current_app

orders, clock, counts = Topic("orders"), Topic("clock"), Cache("counts/inner")
checkpoint = Checkpoint("clock", orders, [Dependency("clock", clock)])


@handle(clock)
async def tick(record):
    await checkpoint.heartbeat(datetime.now(UTC))


@handle(orders, sink=[counts])
def count(record):
    current_app().stop()
    return record.key, 1


async def main():
    await clock("k", "0")
    await orders("k", "v")
    await stream()
    os.write(1, b"ended\\n")


run(main())
input()
"""


def open_files(directory: Path) -> Iterator[str]:
    """What others than the owner can get at."""
    for path in sorted(directory.iterdir()):
        mode = path.stat().st_mode
        if mode & OPEN_TO_OTHERS:
            yield f"{path.name} {mode & 0o777:o}"
        elif path.is_dir():
            continue  # nobody else gets any further
    for path in directory.iterdir():
        if path.is_dir() and path.stat().st_mode & OPEN_TO_OTHERS:
            yield from open_files(path)


@pytest.mark.parametrize("cache", ["sqlite", "rocks"])
def test_state_is_readable_by_its_owner_only(tmp_path: Path, cache: str) -> None:
    """While an app has it open and afterwards, with a umask of 000."""
    settings = (
        f'[app]\nname = "shop"\n[defaults]\ncache = "{cache}"\ncheckpoint_store = "{cache}"\n'
    )
    (tmp_path / "slip.toml").write_text(settings)
    (tmp_path / "slip.toml").chmod(0o600)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ended\n"
        files = {name for _, _, names in os.walk(tmp_path / ".slip") for name in names}
        assert "slip.db" in files
        assert list(open_files(tmp_path)) == []
    finally:
        process.communicate(b"\n", timeout=20)
    assert process.returncode == 0
    assert list(open_files(tmp_path)) == []
