"""`AppTest`: run an app to idle in memory, feed it, look at what came out, crash it.

    from slipcore.testing import AppTest

    def test_words():
        with AppTest(words_app) as app:
            app.send("words", "to be", key="k")
            app.run()
            assert app.sent("counts") == [("to", 1), ("be", 1)]
            assert app.cache("counts")["to"] == 1

pytest is not needed for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Self, TypeVar

from slipcore.app import App
from slipcore.caching import Cache
from slipcore.interfaces import ConfigError, DeadlineError, Out, Record, SlipError
from slipcore.resources import Sink, Source, Topic
from slipcore.testing.app_loop import FrozenLoop, Quiet
from slipcore.testing.app_names import cache_of, decoded, fed, log_of, looked_at
from slipcore.testing.app_target import Subject
from slipcore.testing.app_world import (
    MOMENTS,
    Crash,
    Fuse,
    Moment,
    WatchedStep,
    WorldScope,
    doubles,
    in_partition,
)

T = TypeVar("T")

START: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""What the clock shows at first."""


class AppTest:
    """An app under test: over memory backends, with a clock that stands still.

    All topics, caches and checkpoint stores, and sources and sinks by name, are in memory for the
    time of the `with` block, whatever code and configuration say; codecs are the app's own. What
    the app reads and keeps is there after `stop` and `crash`, and gone after the block.

    The clock is that of the event loop (`asyncio.sleep`, timeouts, intervals) and of
    `slipcore.clock`; what asks `time.time()` is told the real time. It moves by `advance`, and by
    itself only as far as a record in hand needs: a handler that sleeps takes no time to test.

    The app runs in an event loop of its own, in steps, so an AppTest is used in a plain test
    function and not in an async one; `complete` awaits what a test wants awaited.

    Args:
        app: an App; a module; the path of an app file (`app.py`, `app.py:name`); None: the
            current app. A file is loaded anew at each start, as a process would do. Of an App,
            what functions keep in variables of their own stays over a crash, and an async
            generator that it read is at its end.
        args: the arguments of a program that is given as a file.
        now: what the clock shows at first.
        deadline: seconds of real time that any one step may take.
        supply: what `stream(**kwargs)` gives to handlers by name.

    Attributes:
        app: the app itself; of a file, the one of the last start.
    """

    app: App

    def __init__(
        self,
        app: App | ModuleType | str | Path | None = None,
        *,
        args: Sequence[str] = (),
        now: datetime = START,
        deadline: float = 10.0,
        supply: Mapping[str, Any] | None = None,
    ) -> None:
        self._subject = Subject(app, args)
        self._deadline = deadline
        self._supply = dict(supply or {})
        self._began = now
        self._running: asyncio.Task[None] | None = None
        self._is_stuck = False

    def __repr__(self) -> str:
        return f"AppTest({self._subject!r})"

    def __getattr__(self, name: str) -> Any:
        if name in ("app", "_loop", "_scope", "_fuse"):
            raise SlipError(f"{self!r} begins with its block: `with AppTest(...) as app:`.")
        raise AttributeError(f"AppTest has no attribute {name!r}")

    def __enter__(self) -> Self:
        _refuse_within_a_loop()
        self._loop = FrozenLoop(self._began.timestamp())
        self._loop.set_exception_handler(_silent_on_crash)
        self._scope = WorldScope("", Path())
        self._fuse = Fuse(self._scope, self._loop.stop)
        self._doubles = doubles(self._fuse)
        self._own: set[tuple[str, int, int]] = set()
        self._loaded = ExitStack()
        self._is_old = False
        try:
            self._load()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if error is None and not self._is_stuck:
                self.stop()
            else:
                self._kill()
        finally:
            self._close()

    # --- what it does ---------------------------------------------------------------------

    def send(
        self,
        topic: str | Topic | Source,
        value: Any,
        key: Any = None,
        *,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp: int | None = None,
        partition: int | None = None,
    ) -> None:
        """Feed a topic with one record; a source that is no topic takes any value as it is.

        Args:
            topic: the topic or source, or its name.
            timestamp: milliseconds since 1970; default: what the clock shows.

        Raises:
            ConfigError: the app has no topic and no source of that name.
            EncodeError: the topic's codec can't write it.
        """
        out = Out(value, key, tuple(headers), timestamp, partition)
        with self._scope.held():
            self.complete(self._send(fed(self.app, topic), out))

    async def _send(self, resource: Topic | Source, out: Out) -> None:
        log = log_of(self._scope, resource)
        before = [len(records) for records in log.partitions]
        if isinstance(resource, Source):
            log.append([in_partition(out)])
        else:
            async with resource.make() as opened:
                waiting = opened.send(out)
                if waiting is not None:
                    await waiting
                await opened.flush()
        for partition, start in enumerate(before):
            after = len(log.partitions[partition])
            self._own.update((log.name, partition, offset) for offset in range(start, after))

    def run(self, *, crash_after: int | Moment | None = None) -> None:
        """Start the app unless it is running, and let it work until it is idle.

        Then all that was fed is handled, flushed and committed, and what it iterates over has
        ended or waits. What is paused keeps its records.

        Args:
            crash_after: die on the way, as by `crash`: when so many records from here on are
                through a handler and its sinks, and nothing of them was flushed if they came
                together; or at a moment: "flush" (outputs are durable, state is not yet), "write"
                (state is, with its positions), "commit" (the source's group knows too).

        Raises:
            Exception: what a handler, a sink or a source raised, as it is; the app has stopped in
                order, and the next `run` starts it again.
            DeadlineError: it does not come to rest; the message says what goes on.
            SlipError: it was idle before it could crash.
        """
        _check_crash(crash_after)
        self._fuse.arm(crash_after)
        try:
            self._start()
            self._settle()
            if crash_after is not None and not self._fuse.burnt:
                raise SlipError(
                    f"The app was idle, with {self._fuse.handled} records handled, before "
                    f"crash_after={crash_after!r}: send more before, or crash it earlier."
                )
        finally:
            self._fuse.arm(None)

    def advance(self, seconds: float) -> None:
        """Let time pass; what waits for it goes on, in order.

        It starts nothing: time passes as well while the app is down.

        Args:
            seconds: of the clock that stands still.

        Raises:
            ValueError: they are less than none.
            Exception: as `run`.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: advance() takes 0 or more, not {seconds}")
        end = self._loop.time() + seconds

        def pass_time(to_timer: float) -> float | None:
            left = end - self._loop.time()
            return min(left, to_timer) if left > 0 else None

        self._drive(pass_time)
        if self._running is not None and self._running.done():
            self._end()
            self._drive(pass_time)
        if self._running is not None and not self._under_way():
            self._settle()

    def stop(self) -> None:
        """Stop the app in order, as a signal would; the next `run` starts it again."""
        if self._running is not None:
            self.app.stop()
            self._drive(self._until_idle)
            self._end()

    def crash(self) -> None:
        """Kill the app as `kill -9` would: what is not durable is forgotten, or comes again.

        An app that is idle has nothing to lose: `run(crash_after=...)` kills it at work. Its
        `finally` blocks do nothing that lasts, and exit hooks are not called.
        """
        self._fuse.die()
        self._kill()
        self._fuse.arm(None)

    def complete(self, awaitable: Awaitable[T]) -> T:
        """Await something where the app runs, and give its result: `app.complete(topic.seek(0))`.

        Raises:
            DeadlineError: it takes too long.
        """
        task = asyncio.ensure_future(awaitable, loop=self._loop)
        task.add_done_callback(lambda _: self._loop.stop())
        while not task.done():
            self._drive(lambda to_timer: to_timer)
        return task.result()

    # --- what is there --------------------------------------------------------------------

    def sent(self, topic: str | Topic | Sink) -> list[tuple[Any, Any]]:
        """Keys and values of all that the app itself has sent to a topic or a sink, in order.

        Of several partitions one comes after the other.

        Raises:
            ConfigError: the app has no topic and no sink of that name.
        """
        return [
            (record.key, record.value)
            for record in self.records(topic)
            if (record.topic, record.partition, record.offset) not in self._own
        ]

    def records(self, topic: str | Topic | Source | Sink) -> list[Record]:
        """All records of a topic, with headers, offsets and timestamps; the test's own too."""
        found = looked_at(self.app, topic)
        log = log_of(self._scope, found)
        records = [record for partition in log.partitions for record in partition]
        if not isinstance(found, Topic):
            return records
        with self._scope.held():
            return self.complete(decoded(found, records))

    def cache(self, name: str) -> Cache:
        """The app's cache of that name: a dictionary of its state.

        Raises:
            ConfigError: the app has no such cache.
        """
        return cache_of(self.app, name)

    @property
    def module(self) -> ModuleType:
        """The module that the app is in, as it was loaded for this start.

        Raises:
            ConfigError: the app was given as an App.
        """
        return self._subject.module

    @property
    def running(self) -> bool:
        """Whether the app was started, and has not ended since."""
        return self._running is not None

    @property
    def now(self) -> datetime:
        """What the clock shows."""
        return datetime.fromtimestamp(self._loop.wall_time(), self._began.tzinfo)

    # --- start and end --------------------------------------------------------------------

    def _load(self) -> None:
        """Have the app stand on what is the test's."""
        self.app = self._subject.load(self._loaded, self._stand_on)
        self._scope.app, self._scope.state_dir = self.app.name, self.app.config.state_dir
        self._is_old = False

    def _stand_on(self, app: App) -> None:
        if isinstance(app.scope, WorldScope):
            raise SlipError(f"{app!r} is under test already: end that `with` block first.")
        self._loaded.enter_context(
            app.standing_on(
                app.config.forcing(self._doubles),
                self._scope,
                replace(app.limits, commit=None),  # there is a commit whenever it is idle
                lambda step: WatchedStep.of(step, self._fuse),
            )
        )

    def _start(self) -> None:
        if self._running is not None:
            return
        if self._is_old and self._subject.is_file:
            self._unload()
            self._load()
        self._running = self._loop.create_task(self.app.serve(**self._supply))
        self._running.add_done_callback(lambda _: self._loop.stop())
        self._is_old = True

    def _settle(self) -> None:
        """Let the app work until it is idle, and commit; or until it ends, or dies."""
        self._drive(self._until_idle)
        if not self._fuse.burnt and self._running is not None:
            if self._running.done():
                self._end()
            else:
                with suppress(Crash):
                    self.complete(_commit(self.app))
        if self._fuse.burnt:
            self._kill()

    def _end(self) -> None:
        """Take note that the app has ended; what it raised is raised here."""
        ended, self._running = self._running, None
        if ended is not None:
            ended.result()

    def _kill(self) -> None:
        """End the app in the middle of what it does, and go back to what was durable."""
        killed, self._running = self._running, None
        if killed is not None:
            hooks, self.app.exit_hooks = self.app.exit_hooks, []
            killed.cancel()
            with suppress(Exception, asyncio.CancelledError, Crash):
                self.complete(killed)
            self.app.exit_hooks = hooks
        self._let_go()
        self.app.forget()
        self._scope.go_back()

    def _let_go(self) -> None:
        """Close what topics have opened outside of a run."""
        for topic in list(self.app.topics):
            self.complete(topic.aclose())

    def _unload(self) -> None:
        if "app" in self.__dict__:
            self._let_go()
        self._loaded.close()

    def _close(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop):
            self._unload()

    # --- time -----------------------------------------------------------------------------

    def _under_way(self) -> list[str]:
        """What goes on in the app, in words."""
        if self._running is None or self._running.done():
            return []
        runner = self.app.runner
        return ["the app is ending"] if runner is None else runner.under_way()

    def _until_idle(self, to_timer: float) -> float | None:
        return to_timer if self._under_way() else None

    def _drive(self, quiet: Quiet) -> None:
        _refuse_within_a_loop()
        if not self._loop.drive(quiet, self._deadline):
            self._is_stuck = True
            threads = f"{self._loop.threads} threads are at work" if self._loop.threads else ""
            goes_on = [*self._under_way(), *filter(None, [threads])]
            raise DeadlineError(
                f"The app did not come to rest within {self._deadline:g} s: "
                f"{'; '.join(goes_on) or 'what it reads never waits'}. Let it end or wait, or "
                "allow more: AppTest(deadline=...)."
            )


def _silent_on_crash(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the dead have not been asked for is no error."""
    if not isinstance(context.get("exception"), Crash):
        loop.default_exception_handler(context)


async def _commit(app: App) -> None:
    """Commit what is finished, and see that nothing is held back."""
    for stream in app.streams:
        await stream.commit()
        if stream.held_for:
            raise DeadlineError(
                f"The app is idle, but does not read {stream.name}: its state needs all "
                "partitions, and another member of the group has one of them."
            )


def _check_crash(after: int | Moment | None) -> None:
    if after is None or after in MOMENTS or (type(after) is int and after > 0):
        return
    raise ConfigError(
        f"crash_after={after!r}: it is a number of records from 1 on, or one of "
        f"{', '.join(map(repr, MOMENTS))}."
    )


def _refuse_within_a_loop() -> None:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise SlipError(
            "An AppTest runs an event loop of its own: use it in a plain function, `def test_...`, "
            "and app.complete(...) for what is to be awaited."
        )
