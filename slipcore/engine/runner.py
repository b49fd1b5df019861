"""Supervised start, run, drain and stop of an app's streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from slipcore.engine.delivery import Lane
from slipcore.engine.policies import place
from slipcore.engine.signals import Interrupted
from slipcore.engine.sinks import flush_all
from slipcore.engine.state import StateWriter
from slipcore.engine.streams import PausableStream
from slipcore.engine.trials import named
from slipcore.interfaces import ConnectError, DeadlineError, ISink

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines and intervals, in seconds, and a count.

    Attributes:
        start: for every source to be open and positioned.
        stop: for the record in hand and what is on the way, once a stop is asked for.
        close: for every client to let go.
        commit: between two commits of a source; None: any time.
        commit_records: finished records after which a commit does not wait for its time; None:
            any number.
        hung: without any progress, before a handler, a source or a commit is reported; None: never.
    """

    start: float = 30.0
    stop: float = 10.0
    close: float = 5.0
    commit: float | None = 1.0
    commit_records: int | None = None
    hung: float | None = 60.0


class Runner:
    """One run of an app: from open sources to closed ones."""

    def __init__(
        self,
        streams: Sequence[PausableStream],
        lanes: Sequence[Lane],
        sinks: Iterable[ISink],
        writer: StateWriter,
        limits: Limits,
    ) -> None:
        self.streams = tuple(streams)
        self.lanes = tuple(lanes)
        self.failure: BaseException | None = None
        self._sinks = tuple(dict.fromkeys(sinks))
        self._writer = writer
        self._limits = limits
        self._stop = asyncio.Event()
        self._signalled = False
        self._uncommitted = 0
        self._commit_due = asyncio.Event()
        self._now = asyncio.Event()
        self._background: list[asyncio.Task[Any]] = []
        self._reading: dict[asyncio.Task[None], PausableStream] = {}
        self.started = asyncio.Event()

    def stop(self) -> None:
        """Stop in order, from the next record on; asked for again it changes nothing."""
        self._stop.set()
        for stream in self.streams:
            stream.stop()

    def signal(self) -> None:
        """A signal to stop: in order at the first, now at the second."""
        if self._signalled:
            self._now.set()
        self._signalled = True
        self.stop()

    async def back_off(self, seconds: float) -> bool:
        """Wait; False where a stop has cut it short."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return not self._stop.is_set()

    def fail(self, error: BaseException) -> None:
        """A lane or a stream failed: stop the others in order."""
        if self.failure is None and not isinstance(error, Interrupted):  # that comes with a stop
            self.failure = error
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for, or something has failed."""
        return self._stop.is_set()

    def ended(self, stream: PausableStream) -> bool:
        """Whether a stream that was read is read no more."""
        return any(task.done() for task, read in self._reading.items() if read is stream)

    def under_way(self) -> list[str]:
        """What goes on, in words; [] where nothing does until a source brings something new."""
        found = [] if self.started.is_set() else ["the app is starting"]
        if self._stop.is_set():
            found.append("the app is stopping")
        for lane in self.lanes:
            if lane.busy:
                record = lane.in_hand()
                what = "a record" if record is None else place(record)
                found.append(f"{lane.reader} has {what} in hand")
            elif lane.waiting_for is not None:
                found.append(f"{lane.reader} waits to try {named(lane.waiting_for)} again")
            elif not lane.idle:
                found.append(f"{lane.unfinished} records of {lane.reader} are not durable yet")
        found += [f"{s.name} seeks" for s in self.streams if not s.idle and _all_idle(s.lanes)]
        return found

    async def run(self) -> None:
        """Run until every source has ended, one binding fails, or `stop` is called.

        Raises:
            Exception: what failed first, when everything is stopped and closed.
            DeadlineError: unfinished work was left; it comes again at the next start.
        """
        opened: list[ISink | PausableStream] = []
        late: DeadlineError | None = None
        try:
            if await self._open(opened):
                await self._read()
                late = await self._drain()
        except Exception as error:
            self.fail(error)
        finally:
            letting_go = asyncio.ensure_future(self._let_go(opened))
            try:
                await asyncio.shield(letting_go)
            except asyncio.CancelledError:  # a member of a group that stays would hold partitions
                await asyncio.wait([letting_go])
                raise
        if self.failure is not None:
            raise self.failure
        if late is not None:
            raise late

    async def _let_go(self, opened: Sequence[ISink | PausableStream]) -> None:
        for task in (*self._reading, *self._background):
            task.cancel()
        await asyncio.gather(*self._reading, *self._background, return_exceptions=True)
        await self._writer.close()
        for lane in self.lanes:
            lane.discard()
        await self._close(opened)

    async def _open(self, opened: list[ISink | PausableStream]) -> bool:
        """Open and position everything; whether it was open before a stop was asked for."""
        opened.extend((*self._sinks, *self.streams))
        if not await self._unless_stopped(self._open_each(opened)):
            return False
        self._spawn(self._writer.run())
        for lane in self.lanes:
            self._spawn(lane.flush_forever())
        for stream in self.streams:
            self._spawn(stream.position())
        positioned = [asyncio.ensure_future(s.positioned.wait()) for s in self.streams]
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await self._wait_all(positioned, stopped, self._limits.start)
        finally:
            for task in (*positioned, stopped):
                task.cancel()
        late = [s.name for s in self.streams if not s.positioned.is_set()]
        if late and not self._stop.is_set():
            logger.warning(
                "%s: no position after %g s yet; other sources do not wait for it.",
                ", ".join(late),
                self._limits.start,
            )
        return True

    async def _open_each(self, things: Iterable[ISink | PausableStream]) -> None:
        deadline = asyncio.get_running_loop().time() + self._limits.start
        for thing in things:
            try:
                async with asyncio.timeout_at(deadline):
                    await thing.open()
            except TimeoutError as error:
                raise ConnectError(
                    f"{thing!r} did not open within {self._limits.start:g} s; see that what it "
                    "connects to is there, or allow more: Limits(start=...)."
                ) from error

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work was done before a stop was asked for, which cuts it short."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            cut = not task.done()
            if cut:
                await self._cut(task)
        if not cut:
            task.result()
        return not cut

    async def _cut(self, task: asyncio.Task[None]) -> None:
        """Cancel a task, and wait for its end until a deadline or a second signal."""
        task.cancel()
        now = asyncio.ensure_future(self._now.wait())
        try:
            await asyncio.wait(
                [task, now], timeout=self._limits.close, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            now.cancel()
        if not task.done():
            logger.warning("Something that was being opened goes on after the stop.")
        elif not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("Failed when it was stopped: %s", error)

    async def _wait_all(
        self, tasks: list[asyncio.Task[Any]], unless: asyncio.Task[Any], timeout: float
    ) -> None:
        """Wait for all tasks, for the one that makes waiting pointless, or for the deadline."""
        if not tasks:
            return
        everyone = asyncio.ensure_future(asyncio.wait(tasks))
        try:
            await asyncio.wait([everyone, unless], timeout=timeout, return_when="FIRST_COMPLETED")
        finally:
            everyone.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.fail(error)

    async def _read(self) -> None:
        """Let the streams run until all have ended or a stop is asked for."""
        if self._stop.is_set():
            return
        for stream in self.streams:
            task = asyncio.ensure_future(stream.run())
            self._reading[task] = stream
            task.add_done_callback(self._ended)
        self._spawn(self._commit_regularly())
        self.started.set()
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            running = set(self._reading)
            while running and not self._stop.is_set():
                _, pending = await asyncio.wait(
                    [*running, stopped], return_when=asyncio.FIRST_COMPLETED
                )
                running = {task for task in running if task in pending}
        finally:
            stopped.cancel()

    def finished(self, records: int) -> None:
        """So many more records are finished."""
        self._uncommitted += records
        limit = self._limits.commit_records
        if limit is not None and self._uncommitted >= limit:
            self._commit_due.set()

    async def _commit_regularly(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.commit):
                    await self._commit_due.wait()
            self._commit_due.clear()
            self._uncommitted = 0
            for lane in self.lanes:
                lane.cut()
            for stream in self.streams:
                await stream.commit_if_reachable()

    async def _drain(self) -> DeadlineError | None:
        """Stop intake, let the records in hand complete, flush, settle, commit."""
        for stream in self.streams:
            stream.stop()
        deadline = asyncio.get_running_loop().time() + self._limits.stop
        for task, stream in self._reading.items():
            if not task.done() and not stream.busy:
                task.cancel()
        in_time = await self._until(deadline, self._settle())
        abandoned = [
            _in_hand(s) for t, s in self._reading.items() if not t.done() or _was_given_up(t, s)
        ]
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        if abandoned:  # what came before the record in hand is finished all the same
            grace = max(deadline, asyncio.get_running_loop().time() + self._limits.close)
            await self._until(grace, self._settle())
        committed = await self._until(
            asyncio.get_running_loop().time() + self._limits.close, self._commit()
        )
        if self.failure is not None or (in_time and committed and not abandoned):
            return None
        left = sum(lane.unfinished for lane in self.lanes)
        after = "at once" if self._now.is_set() else f"after {self._limits.stop:g} s"
        what = f"{left} records were not durable" if left else "the last commit was not through"
        held = f"; a record was still in hand in {', '.join(abandoned)}" if abandoned else ""
        return DeadlineError(
            f"Stopped {after} with unfinished work: {what}{held}. "
            "What is unfinished comes again at the next start, where the source can replay."
        )

    async def _settle(self) -> None:
        await asyncio.gather(*self._reading, return_exceptions=True)
        for stream in self.streams:
            await stream.quiet()
        if self._sinks and self.failure is None:
            await flush_all(self._sinks)

    async def _commit(self) -> None:
        for stream in self.streams:
            await stream.commit()

    async def _until(self, deadline: float, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work was done before the deadline and before a second stop."""
        task = asyncio.ensure_future(work)
        now = asyncio.ensure_future(self._now.wait())
        timeout = max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            await asyncio.wait([task, now], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            now.cancel()
            if not task.done():
                task.cancel()
        if task.cancelled() or not task.done():
            return False
        if (error := task.exception()) is not None:
            self.fail(error)
        return True

    async def _close(self, opened: Sequence[ISink | PausableStream]) -> None:
        async def close(thing: ISink | PausableStream) -> None:
            try:
                async with asyncio.timeout(self._limits.close):
                    await thing.close()
            except Exception as error:
                logger.warning("%r did not close: %s", thing, error or type(error).__name__)

        closing: list[Awaitable[None]] = [close(thing) for thing in opened]
        await asyncio.gather(*closing)


def _in_hand(stream: PausableStream) -> str:
    """A stream by name, and who has a record of it in hand."""
    readers = ", ".join(lane.reader for lane in stream.lanes if lane.busy)
    return f"{stream.name} (by {readers})" if readers else stream.name


def _was_given_up(task: asyncio.Task[None], stream: PausableStream) -> bool:
    """Whether a call that blocked the loop was interrupted, and its record given up."""
    error = None if task.cancelled() else task.exception()
    errors = [error, *(lane.failure for lane in stream.lanes)]
    return any(isinstance(each, Interrupted) for each in errors)


def _all_idle(lanes: Iterable[Lane]) -> bool:
    return all(lane.idle for lane in lanes)
