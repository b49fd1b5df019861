"""Clients that wait for their server, run scripts and close without a trace."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from slip_redis.errors import FAILURES, is_passing, reason
from slip_redis.scripts import Script
from slip_redis.settings import ServerSettings
from slip_redis.speech import agrees
from slip_redis.target import Target, target_of
from slipcore.interfaces import ConnectError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Arg = bytes | str | int | float

_SAY_EVERY: Final = 3.0
_LONGEST_PAUSE: Final = 1.0
_SETTLE_SECONDS: Final = 1.0
_CLOSED: Final = "the handler is closed"
"""What uvloop says of a connection that the other side has closed, with a RuntimeError."""

_ABORTED: Final = "the client was closed"


class Patience:
    """Pauses between tries that grow, until a time is over; says now and then what is waited for.

    Args:
        target: the server that is called again.
        seconds: how long; None: for ever.
    """

    def __init__(self, target: Target, seconds: float | None) -> None:
        self._target = target
        self._began = monotonic()
        self._seconds = seconds
        self._pause = 0.02
        self._said = self._began - _SAY_EVERY + 0.5

    def next(self, error: BaseException) -> float | None:
        """Seconds to wait before the next try; None: there is none."""
        now = monotonic()
        if not is_passing(error, fails_over=self._target.fails_over):
            return None
        if self._seconds is not None and now - self._began >= self._seconds:
            return None
        if now - self._said >= _SAY_EVERY:
            self._said = now
            logger.warning(
                "Waiting for Redis at %s, for %.0f s now: %s.",
                self._target.address,
                now - self._began,
                reason(error),
            )
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        pause = self._pause * random.uniform(0.5, 1.0)
        if self._seconds is None:
            return pause
        return min(pause, max(0.0, self._began + self._seconds - now))


class Client:
    """A client of the running loop. It repeats nothing by itself.

    Args:
        settings: where the server is.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.target = target_of(settings)
        self._redis, self._closing = self.target.client()
        # The client would take longer to read a batch than the batch takes, and mistakes one form
        # of XPENDING for the other.
        for command in ("XREADGROUP", "XPENDING"):
            self._redis.response_callbacks.pop(command, None)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._is_known = False
        # Without TLS a server waits for the rest of what it takes for a command: for too long.
        self._is_doubtful = self.target.tls

    @property
    def address(self) -> str:
        return self.target.address

    async def execute(self, *words: Arg) -> Any:
        """What the server answers to one command.

        Cancelled, it leaves the command to its end: the client would drop the connection, with
        what the server was about to say, and may swallow the cancellation (`asyncio.wait_for`
        does, before Python 3.12).
        """
        task = asyncio.ensure_future(self._answer(words))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _answer(self, words: tuple[Arg, ...]) -> Any:
        try:
            return await self._redis.execute_command(*words)
        except OSError as error:  # as the client raises it where it has not thought of it
            raise RedisConnectionError(str(error)) from error
        except RuntimeError as error:
            if _CLOSED not in str(error):
                raise
            raise RedisConnectionError(str(error)) from error

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # it was looked at, also where nobody waits any more

    async def settle(self) -> None:
        """Wait a moment for the commands whose callers were cancelled."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_SETTLE_SECONDS)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Arg] = ()) -> Any:
        """What a script returns."""
        try:
            return await self.execute("EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await self.execute("EVAL", script.text, len(keys), *keys, *args)

    async def persist(self, call: Callable[[], Awaitable[T]], seconds: float | None) -> T:
        """Do what may be done twice until it succeeds; the last error is raised as it is."""
        patience = Patience(self.target, seconds)
        while True:
            try:
                if self._is_doubtful:
                    await self._look()
                answer = await call()
            except FAILURES as error:
                self._is_doubtful = not self._is_known
                pause = patience.next(error)
                if pause is None:
                    raise
            else:
                self._is_known = True
                return answer
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        for host, port in self.target.hosts:
            if await asyncio.to_thread(agrees, host, port, tls=self.target.tls):
                self._is_known, self._is_doubtful = True, False
                return

    async def close(self) -> None:
        """Let go of all connections. May be called twice."""
        await self.settle()
        for task in self._under_way:
            task.cancel()
        closing, self._closing = self._closing, []
        for each in closing:
            with suppress(*FAILURES, OSError):
                await each.aclose()


class BlockingClient:
    """A client for threads. It repeats nothing by itself.

    Args:
        settings: where the server is; it is called with the first command.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.target = target_of(settings)
        self._redis: Any = None
        self._closing: list[Any] = []
        self._is_known = False
        self._is_doubtful = self.target.tls
        self._is_aborted = False

    @property
    def address(self) -> str:
        return self.target.address

    def execute(self, *words: Arg) -> Any:
        """What the server answers to one command."""
        if self._is_aborted:
            raise RedisConnectionError(_ABORTED)
        try:
            if self._redis is None:
                self._redis, self._closing = self.target.blocking_client()
            return self._redis.execute_command(*words)
        except OSError as error:
            raise RedisConnectionError(str(error)) from error

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Arg] = ()) -> Any:
        """What a script returns."""
        try:
            return self.execute("EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:
            return self.execute("EVAL", script.text, len(keys), *keys, *args)

    def persist(self, call: Callable[[], T], seconds: float | None) -> T:
        """Do what may be done twice until it succeeds; the last error is raised as it is."""
        patience = Patience(self.target, seconds)
        while True:
            try:
                if self._is_doubtful:
                    self._look()
                answer = call()
            except FAILURES as error:
                self._is_doubtful = not self._is_known
                pause = None if self._is_aborted else patience.next(error)
                if pause is None:
                    raise
            else:
                self._is_known = True
                return answer
            sleep(pause)

    def _look(self) -> None:
        for host, port in self.target.hosts:
            if agrees(host, port, tls=self.target.tls):
                self._is_known, self._is_doubtful = True, False
                return

    def abort(self) -> None:
        """Let all commands fail at once, those that are under way too. Any thread may call it."""
        self._is_aborted = True
        self.close()

    def close(self) -> None:
        """Let go of all connections. May be called twice."""
        closing, self._closing = self._closing, []
        self._redis = None
        for each in closing:
            with suppress(*FAILURES, OSError):
                each.close()


def unreachable(target: Target, doing: str, error: BaseException) -> ConnectError:
    """The error for a server that can't be used."""
    return ConnectError(f"can't {doing} on Redis at {target.address}: {reason(error)}")
