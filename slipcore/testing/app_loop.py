"""An event loop whose clock stands still until it is moved."""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeAlias

Quiet: TypeAlias = Callable[[float], float | None]
"""Asked when nothing can go on: the seconds to the next timer (inf: none) -> those to let pass;
None: stop here."""

LOOK_SECONDS: Final = 0.05
"""How long to wait, in real time, for a thread or a socket before another look at the deadline."""


class FrozenLoop(asyncio.SelectorEventLoop):
    """An event loop that asks what to do when all its tasks wait.

    Its clock moves when it is told to; the sleeps and timeouts that come due then end, in their
    order. Threads that it started are waited for before it asks. While a socket is open, time
    passes as it really does, because an answer may be under way.

    Args:
        start: the wall clock's seconds since 1970 at the beginning.
    """

    def __init__(self, start: float) -> None:
        self._now = 0.0
        self._start = start
        self._threads = 0
        self._quiet: Quiet | None = None
        self._deadline = math.inf
        self.expired = False
        self._selector_of_frozen = _Selector(self)
        super().__init__(self._selector_of_frozen)
        self._own_files = len(self._selector_of_frozen.get_map())

    def time(self) -> float:
        return self._now

    def wall_time(self) -> float:
        """Seconds since 1970."""
        return self._start + self._now

    def run_in_executor(  # type: ignore[override]  # typeshed's says less of its arguments
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, future: asyncio.Future[Any]) -> None:
        self._threads -= 1

    def drive(self, quiet: Quiet, seconds: float) -> bool:
        """Run until `quiet` says to stop, or `stop` is called.

        Args:
            quiet: what to do when all tasks wait.
            seconds: of real time, for all of it.

        Returns:
            whether that was in time.
        """
        self._quiet, self._deadline, self.expired = quiet, time.monotonic() + seconds, False
        try:
            self.run_forever()
        finally:
            self._quiet, self._deadline = None, math.inf
        return not self.expired

    @property
    def threads(self) -> int:
        """How many calls are under way in threads."""
        return self._threads

    def wait(self, timeout: float | None) -> list[Any]:
        """What the selector does in the place of waiting: move the clock, or stop."""
        select = self._selector_of_frozen.look
        if time.monotonic() > self._deadline:
            self.expired = True
            self.stop()
            return select(0)
        ready = select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._threads:
            return select(LOOK_SECONDS)
        if self._quiet is None:  # what ends is not to be kept waiting
            return self._hurry(timeout)
        jump = self._quiet(math.inf if timeout is None else timeout)
        if jump is None:
            self.stop()
            return []
        if jump == math.inf:  # only another thread can wake it, or the deadline end it
            return select(LOOK_SECONDS)
        if len(self._selector_of_frozen.get_map()) > self._own_files:
            return self._really_wait(min(jump, LOOK_SECONDS))
        self._move(jump)
        return []

    def _really_wait(self, seconds: float) -> list[Any]:
        began = time.monotonic()
        ready = self._selector_of_frozen.look(seconds)
        self._move(min(seconds, time.monotonic() - began))
        return ready

    def _hurry(self, timeout: float | None) -> list[Any]:
        ready = self._selector_of_frozen.look(LOOK_SECONDS)
        if not ready and timeout is not None:
            self._move(timeout)
        return ready

    def _move(self, seconds: float) -> None:
        # A timer is due when the clock is beyond it, if only by its last digit.
        self._now = math.nextafter(self._now + seconds, math.inf)


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: FrozenLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        return self._loop.wait(timeout)

    def look(self, seconds: float) -> list[Any]:
        """What is ready, after so many seconds of real time at the most."""
        return super().select(seconds)
