"""What a process has: to be counted before and after."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PATIENCE: Final = 5.0
"""Seconds in which what was let go of has to be gone."""


@dataclass(frozen=True, slots=True)
class Held:
    """What was counted.

    Attributes:
        threads: but those of the loop's own pool, of which there are a few in the end.
        files: open file descriptors, sockets among them.
        memory: in bytes.
    """

    tasks: int
    threads: int
    files: int
    memory: int


def held() -> Held:
    """Count, with the tasks of the running loop."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Held(
        len(asyncio.all_tasks()),
        sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate()),
        len(os.listdir("/proc/self/fd")),
        pages * os.sysconf("SC_PAGE_SIZE"),
    )


async def left_by(work: Callable[[], Awaitable[object]], rounds: int, warm_up: int = 2) -> Held:
    """What is there after so many rounds of something that was not there before.

    The first rounds fill what is made once, such as the pool of threads and what is imported.
    """
    for _ in range(warm_up):
        await work()
    before = held()
    for _ in range(rounds):
        await work()
    deadline = time.monotonic() + PATIENCE
    while True:
        now = held()
        left = Held(
            now.tasks - before.tasks,
            max(0, now.threads - before.threads),
            max(0, now.files - before.files),
            now.memory - before.memory,
        )
        if not (left.tasks or left.threads or left.files) or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.05)
