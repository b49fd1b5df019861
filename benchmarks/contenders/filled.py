"""Fill a store and be killed: `... benchmarks.contenders.filled own|bare BACKEND FOLDER KEYS`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from benchmarks.state import BY_HAND
from slipcore import App
from slipcore.config import Config

TOGETHER = 10_000
"""Keys that are written at once."""


def by_hand(backend: str, folder: Path, keys: int) -> None:
    """Fill the client's own store."""
    store = BY_HAND[backend](folder)
    for first in range(0, keys, TOGETHER):
        numbers = range(first, min(keys, first + TOGETHER))
        store.write({b"k%07d" % number: b"%d" % number for number in numbers})
    os.kill(os.getpid(), signal.SIGKILL)


def by_app(backend: str, folder: Path, keys: int) -> None:
    """Fill a cache."""
    cache = App("bench", config=Config(folder)).cache("state", backend=backend)
    for first in range(0, keys, TOGETHER):
        with cache.transaction():
            for number in range(first, min(keys, first + TOGETHER)):
                cache.put(b"k%07d" % number, number)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    who, name, place, count = sys.argv[1:]
    {"own": by_app, "bare": by_hand}[who](name, Path(place), int(count))
