"""How late an event loop is: what it was asked to do after 10 ms, it does when?"""

from __future__ import annotations

import asyncio
import re
from typing import Final

TICK: Final = 0.01
LATE: Final = 0.1
"""Seconds by which it may be late, in 99 of 100 cases."""
SAY_EVERY: Final = 25

_SAID: Final = re.compile(r"the loop was late (\d+) of (\d+) times")


class Ticker:
    """Ticks in the running loop for as long as that runs, and says how often it was late."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ticks = self._late = 0
        self._next()

    def _next(self) -> None:
        self._due = self._loop.time() + TICK
        self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._ticks += 1
        self._late += self._loop.time() - self._due > LATE
        if self._ticks % SAY_EVERY == 0:
            print(f"the loop was late {self._late} of {self._ticks} times", flush=True)
        self._next()


def late_and_all(log: str) -> tuple[int, int]:
    """How often it was late, of how many ticks, as it has said last."""
    said = _SAID.findall(log)
    return (int(said[-1][0]), int(said[-1][1])) if said else (0, 0)
