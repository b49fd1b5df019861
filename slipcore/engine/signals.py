"""SIGTERM and SIGINT as an orderly stop, where nobody else has asked for them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from time import monotonic
from types import FrameType
from typing import Any, Final

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)

_GRACE_SECONDS: Final = 1.0
"""How long a call that blocks may go on after the second signal, or after it was interrupted."""
_LOOK_SECONDS: Final = 0.1
_UNFINISHED: Final = 3
"""The exit code of a process that a call keeps from stopping, as of one with unfinished work."""


class Interrupted(BaseException):
    """A signal to stop came during a call that blocks the loop; the call was given up.

    It is no Exception, so that nothing takes it for a failure of the call, and no
    KeyboardInterrupt, which would leave the loop from within a task.
    """


@contextmanager
def orderly_stop_on_signals(signalled: Callable[[], None], patience: float) -> Iterator[None]:
    """Have the loop call `signalled` at each signal, and restore what was there.

    Handlers are installed in the main thread only, and only over the defaults. A call that keeps
    the loop from hearing of it is interrupted when its time is over, or soon after the second
    signal; the process ends if it goes on all the same.

    Args:
        patience: seconds from the first signal that such a call has.
    """
    signals = _Signals(asyncio.get_running_loop(), signalled, patience)
    installed: list[tuple[signal.Signals, Any]] = []
    if threading.current_thread() is threading.main_thread():
        for number in _NUMBERS:
            before = signal.getsignal(number)
            if _is_default(before):
                signal.signal(number, signals.came)
                installed.append((number, before))
    token = _signals.set(signals if installed else None)
    try:
        yield
    finally:
        _signals.reset(token)
        signals.end()
        for number, before in installed:
            signal.signal(number, before)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal end the call in the block, which blocks the loop and may wait for a server.

    A call that goes on all the same ends with the process, soon after the second signal.

    Raises:
        Interrupted: a signal came, and `orderly_stop_on_signals` is in force.
    """
    signals = _signals.get()
    if signals is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    with signals.interrupting():
        yield


class _Signals:
    """What is done about signals while a run lasts."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, signalled: Callable[[], None], patience: float
    ) -> None:
        self._loop = loop
        self._signalled = signalled
        self._patience = patience
        self._interrupting = False
        self._came = 0
        self._heard = True
        self._overdue = False
        self._over = threading.Event()
        self._watching: threading.Thread | None = None

    def came(self, number: int, frame: FrameType | None) -> None:
        if self._overdue:
            self._overdue = False
            if not self._heard:
                raise Interrupted
            return
        self._loop.call_soon_threadsafe(self._signalled)
        if self._interrupting:
            raise Interrupted
        self._came += 1
        if self._watching is None:
            self._watching = threading.Thread(
                target=self._watch, args=(number,), name="slip-stop", daemon=True
            )
            self._watching.start()

    def _watch(self, number: int) -> None:
        """From the first signal on: see that nothing blocks the loop beyond the end of its time."""
        due = monotonic() + self._patience
        asked, tried = 0.0, False
        while not self._over.wait(_LOOK_SECONDS):
            now = monotonic()
            if self._heard:
                self._heard, asked = False, now
                with suppress(RuntimeError):  # a loop that is closed has nothing to hear
                    self._loop.call_soon_threadsafe(self._hear)
            elif now > asked + _GRACE_SECONDS and (now > due or self._came > 1):
                if tried:
                    _end_at_once()
                asked, tried = now, True
                self._overdue = True
                signal.pthread_kill(_main_thread(), number)

    def _hear(self) -> None:
        self._heard = True

    def end(self) -> None:
        """The run is over."""
        self._over.set()
        if self._watching is not None:
            self._watching.join()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        # The interpreter runs no handler before a call into C has returned, and the resolver of
        # host names does not return for a signal. The system tells a socket at once.
        told, tells = socket.socketpair()
        tells.setblocking(False)
        before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
        over = threading.Event()
        watching = threading.Thread(
            target=_end_at_second, args=(told, over), name="slip-signals", daemon=True
        )
        watching.start()
        try:
            self._interrupting = True
            yield
        finally:
            self._interrupting = False
            over.set()
            signal.set_wakeup_fd(before)
            tells.close()
            watching.join()


_signals: ContextVar[_Signals | None] = ContextVar("signals", default=None)


def _end_at_second(told: socket.socket, over: threading.Event) -> None:
    with told:
        came = 0
        while came < 2:
            number = told.recv(1)
            if not number:
                return
            came += number[0] in _NUMBERS
        if not over.wait(_GRACE_SECONDS):
            os._exit(128 + number[0])  # as a shell says of a process that the signal ended


def _main_thread() -> int:
    number = threading.main_thread().ident
    assert number is not None
    return number


def _end_at_once() -> None:
    os.write(
        2,
        b"Error: Stopped with unfinished work: a call blocks the event loop and can't be "
        b"interrupted. What is unfinished comes again at the next start, where the source can "
        b"replay.\n",
    )
    os._exit(_UNFINISHED)


def _is_default(handler: Callable[[int, FrameType | None], Any] | int | None) -> bool:
    if handler in (signal.SIG_DFL, signal.default_int_handler):
        return True
    # asyncio.run puts its own handler for SIGINT in the place of the default one.
    bound = getattr(handler, "func", None)
    return isinstance(getattr(bound, "__self__", None), asyncio.Runner)
