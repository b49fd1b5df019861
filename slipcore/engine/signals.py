"""SIGTERM and SIGINT as an orderly stop, where nobody else has asked for them."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def orderly_stop_on_signals(signalled: Callable[[], None]) -> Iterator[None]:
    """Call `signalled` at each signal, and restore what was there.

    Handlers are installed in the main thread only, and only over the defaults.
    """
    installed: list[tuple[signal.Signals, Any]] = []
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if not _is_default(before):
                continue
            try:
                loop.add_signal_handler(number, signalled)
            except (NotImplementedError, RuntimeError):
                continue  # this loop has no signals
            installed.append((number, before))
    try:
        yield
    finally:
        for number, before in installed:
            loop.remove_signal_handler(number)
            signal.signal(number, before)


def _is_default(handler: Callable[[int, FrameType | None], Any] | int | None) -> bool:
    if handler in (signal.SIG_DFL, signal.default_int_handler):
        return True
    # asyncio.run puts its own handler for SIGINT in the place of the default one.
    bound = getattr(handler, "func", None)
    return isinstance(getattr(bound, "__self__", None), asyncio.Runner)
