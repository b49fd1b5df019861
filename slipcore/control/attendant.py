"""Answers for a running app, in a thread of its own: also when the app's event loop does not."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from slipcore.control.actions import serve_requests
from slipcore.control.monitor import Monitor, health_of
from slipcore.control.report import AppStatus, Health, Hung
from slipcore.control.stacks import stack_of_thread
from slipcore.control.web import Address, require, serve_http

if TYPE_CHECKING:
    from slipcore.app import App

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
"""Between two looks that nobody has asked for."""

LAG_SECONDS: Final = 5.0
"""How old what a source says of its lag may be at such a look."""

ANSWER_SECONDS: Final = 2.0
"""For the app's event loop, before it is said that it does not answer."""


def attend(app: App, http: Address | None = None) -> None:
    """Have each run of an app attended from its start to its end.

    Raises:
        ConfigError: what serves HTTP is not installed.
    """
    if http is not None:
        require()
    running: list[Attendant] = []

    def start() -> None:
        if hasattr(asyncio.get_running_loop(), "wall_time"):
            return  # in a test whose clock stands still nobody asks
        attendant = Attendant(app, http)
        attendant.start()
        running.append(attendant)

    async def stop() -> None:
        while running:
            await running.pop().stop()

    app.on_start(start)
    app.on_exit(stop)


class Attendant:
    """Answers for one run of an app; made in the app's event loop.

    Args:
        http: where to serve /live, /ready and /metrics; None: nowhere.
    """

    def __init__(self, app: App, http: Address | None) -> None:
        assert app.monitor is not None
        self.app = app
        self.monitor: Monitor = app.monitor
        self._http = http
        self._app_loop = asyncio.get_running_loop()
        self._app_thread = threading.get_ident()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="slip-control", daemon=True)
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._failure: Exception | None = None
        self._look: Future[AppStatus] | None = None
        self._last = self.monitor.unseen()
        self._asked = 0.0
        self._reported = False

    def start(self) -> None:
        """Begin to answer.

        Raises:
            ConfigError: the address is taken or not this machine's.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Answer no more."""
        with suppress(RuntimeError):  # its loop is closed where it has failed
            self._loop.call_soon_threadsafe(self._over.set)
        while self._thread.is_alive():  # it may be waiting for an answer of this loop
            await asyncio.sleep(0.005)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._attend())
            except Exception as error:
                self._failure = error
                if self._ready.is_set():
                    logger.exception("Nobody answers for %r any more; it goes on.", self.app)
            finally:
                self._ready.set()

    async def _attend(self) -> None:
        async with AsyncExitStack() as stack:
            if self._http is not None:
                await stack.enter_async_context(serve_http(self, self._http))
            await stack.enter_async_context(serve_requests(self))
            self._ready.set()
            watching = asyncio.ensure_future(self._watch())
            await self._over.wait()
            watching.cancel()
            if self._look is not None:
                self._look.cancel()

    async def _watch(self) -> None:
        while True:
            await self.status(max_age=LAG_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)
            if self._app_loop.is_closed():  # without having come to the end of the run
                self._over.set()

    # --- what it is asked for ---------------------------------------------------------------

    async def status(self, max_age: float = 0.0) -> AppStatus:
        """A look at the app, or the last one where the app's event loop does not answer."""
        if self._app_loop.is_closed():
            return self._last
        if self._look is None or self._look.done():
            self._asked = time.monotonic()
            self._look = asyncio.run_coroutine_threadsafe(
                self.monitor.look(max_age), self._app_loop
            )
        look = asyncio.wrap_future(self._look)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._last = await asyncio.shield(look)
        except TimeoutError:
            return self._unanswered(time.monotonic() - self._asked)
        self._reported = False
        return self._last

    async def health(self) -> Health:
        """Whether the app gets on."""
        return health_of(await self.status(), self.monitor.hung)

    async def in_app(self, call: Callable[[], T], timeout: float) -> T:
        """What a function returns that is called in the app's event loop.

        Raises:
            TimeoutError: it has not been called in time; it will be.
        """
        answer: asyncio.Future[T] = self._loop.create_future()

        def called() -> None:
            try:
                result = call()
            except Exception as error:
                self._loop.call_soon_threadsafe(_settle, answer.set_exception, answer, error)
            else:
                self._loop.call_soon_threadsafe(_settle, answer.set_result, answer, result)

        self._app_loop.call_soon_threadsafe(called)
        async with asyncio.timeout(timeout):
            return await answer

    def _unanswered(self, seconds: float) -> AppStatus:
        """What can be said of an app whose event loop does something else."""
        problem = f"the event loop has not answered for {seconds:.1f} s"
        hung: list[Hung] = []
        if seconds >= self.monitor.hung:
            binding, record = self.monitor.in_hand() or (None, None)
            stack = stack_of_thread(self._app_thread)
            hung = [Hung(binding=binding, record=record, seconds=round(seconds, 1), stack=stack)]
            if binding is not None:
                problem += f"; {binding} has {record} in hand"
            if not self._reported:
                self._reported = True
                logger.warning("%r: %s; it stands at:\n%s", self.app, problem, stack)
        return msgspec.structs.replace(
            self._last,
            unanswered_seconds=round(seconds, 1),
            problems=[problem, *self._last.problems],
            hung=hung,
        )


def _settle(settle: Callable[[Any], None], answer: asyncio.Future[Any], value: Any) -> None:
    if not answer.done():
        settle(value)
