"""The wall clock, which is the event loop's own where a test holds one still."""

from __future__ import annotations

import asyncio
import time


def now() -> float:
    """Seconds since 1970: of the running event loop's clock in a test, else of the system's.

    A handler that takes its time from here can be tested with `slipcore.testing.AppTest`.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.time()
    wall_time = getattr(loop, "wall_time", None)
    return time.time() if wall_time is None else float(wall_time())


def now_ms() -> int:
    """Milliseconds since 1970, as records carry them."""
    return round(now() * 1000)
