"""A look at a run: what its counters say, and what they have said before."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from slipcore.control.course import Course
from slipcore.control.report import (
    AppStatus,
    BindingStatus,
    Health,
    Hung,
    PartitionStatus,
    SourceStatus,
)
from slipcore.control.stacks import stack_of_lane
from slipcore.engine.delivery import Lane
from slipcore.engine.policies import place
from slipcore.engine.progress import (
    Ending,
    begun,
    in_flight,
    last_commit,
    uncommitted,
)
from slipcore.engine.runner import Runner
from slipcore.engine.sources import SourceStream
from slipcore.engine.streams import PausableStream
from slipcore.interfaces import Record

logger = logging.getLogger(__name__)

PATIENCE: Final = 1.0
"""Seconds that a source may take to say how far behind it is."""

HELD_FOR: Final = {
    "partitions": "not all partitions are here, which its local state needs",
    "control": "it seeks, or partitions come or go",
}


@dataclass(slots=True)
class _Reading:
    """What is known of a stream beside its counters."""

    lag: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    asked: float = float("-inf")
    uncommitted_since: float | None = None


class Monitor:
    """Looks at one run of an app, in the app's event loop.

    Args:
        app: the app's name.
        runner: the run.
        hung: seconds without progress after which something is reported; None: never.
    """

    def __init__(self, app: str, runner: Runner, hung: float | None) -> None:
        self.runner = runner
        self.hung = float("inf") if hung is None else hung
        self.app = app
        self._began = time.monotonic()
        self._courses: dict[Lane, Course] = {}
        self._readings: dict[PausableStream, _Reading] = {}

    async def look(self, max_age: float = 0.0) -> AppStatus:
        """How the run is now.

        Args:
            max_age: seconds since a source was asked how far behind it is, for not asking again.
        """
        await asyncio.gather(*(self._ask(stream, max_age) for stream in self.runner.streams))
        now = time.monotonic()
        hung: list[Hung] = []
        bindings = [
            self._binding(stream, lane, now, hung)
            for stream in self.runner.streams
            for lane in stream.lanes
        ]
        return AppStatus(
            app=self.app,
            pid=os.getpid(),
            state=self._state(),
            seconds=round(now - self._began, 1),
            problems=list(self._problems(bindings, now)),
            bindings=bindings,
            sources=[self._source(stream, now) for stream in self.runner.streams],
            hung=hung,
        )

    def unseen(self) -> AppStatus:
        """All that can be said without a look."""
        return AppStatus(app=self.app, pid=os.getpid(), state=self._state(), seconds=0.0)

    def in_hand(self) -> tuple[str, str] | None:
        """The binding that has a record in hand, and which; may be asked from any thread."""
        for stream in self.runner.streams:
            for lane in stream.lanes:
                if lane.busy and (record := lane.in_hand()) is not None:
                    return self._name(stream, lane), place(record)
        return None

    def _state(self) -> str:
        if self.runner.stopping:
            return "stopping"
        return "running" if self.runner.started.is_set() else "starting"

    async def _ask(self, stream: PausableStream, max_age: float) -> None:
        reading = self._readings.setdefault(stream, _Reading())
        now = time.monotonic()
        if not isinstance(stream, SourceStream) or now - reading.asked < max_age:
            return
        reading.asked = now
        source = stream.source
        try:
            async with asyncio.timeout(PATIENCE):
                reading.lag = await source.lag()
                reading.ends = await source.ends() if isinstance(source, Ending) else {}
        except Exception as error:  # the run must not end because nobody can say how far it is
            reading.lag, reading.ends = {}, {}
            logger.debug("%s does not say how far behind it is: %r", stream.name, error)

    def _name(self, stream: PausableStream, lane: Lane) -> str:
        return lane.reader.removeprefix(f"{self.app}/").removesuffix(f"/{stream.name}")

    # --- a binding ------------------------------------------------------------------------

    def _binding(
        self, stream: PausableStream, lane: Lane, now: float, hung: list[Hung]
    ) -> BindingStatus:
        lag = dict(self._readings[stream].lag)
        for record in lane.unhandled() if lag else ():
            lag[record.partition] = lag.get(record.partition, 0) + 1
        behind = sum(lag.values()) if lag else None
        course = self._courses.setdefault(lane, Course(self._began))
        held = stream.held_for or stream.paused or lane.is_full() or _waits(lane)
        course.note(
            now,
            begun=begun(stream, lane),
            in_flight=in_flight(lane),
            in_hand=lane.busy,
            waiting=bool(behind) and not held,
        )
        if _in_hand(lane, course, now) >= self.hung:
            hung.append(self._hung(stream, lane, course, now))
        state, why = self._state_of(stream, lane, course, behind, now)
        oldest = course.oldest(now)
        return BindingStatus(
            name=self._name(stream, lane),
            source=stream.name,
            state=state,
            why=why,
            rate=round(course.rate, 1),
            handled=max(0, course.begun - lane.hands()),
            in_flight=in_flight(lane),
            oldest_seconds=None if oldest is None else round(oldest, 1),
            retries=lane.retries,
            lag=behind,
            partitions=self._partitions(stream, lane, lag),
        )

    def _partitions(
        self, stream: PausableStream, lane: Lane, lag: Mapping[int, int]
    ) -> list[PartitionStatus]:
        owned = stream.owned if isinstance(stream, SourceStream) else ()
        ends = self._readings[stream].ends
        return [
            PartitionStatus(
                partition=partition,
                position=lane.finished.get(partition),
                end=ends[partition] - 1 if ends.get(partition) else None,
                lag=lag.get(partition),
            )
            for partition in sorted(owned)
        ]

    def _state_of(
        self, stream: PausableStream, lane: Lane, course: Course, behind: int | None, now: float
    ) -> tuple[str, str | None]:
        if lane.failure is not None:
            return "failed", str(lane.failure) or type(lane.failure).__name__
        if self.runner.ended(stream):
            return "ended", None
        if not self.runner.started.is_set():
            return "starting", None
        if (seconds := _in_hand(lane, course, now)) >= self.hung:
            return "hung", _had(lane, seconds)
        if stream.paused:
            return "paused", None
        if stream.held_for:
            return "held back", "; ".join(HELD_FOR.get(r, r) for r in sorted(stream.held_for))
        if lane.is_full():
            return "held back", f"{in_flight(lane)} records are handled and not durable yet"
        if _waits(lane):
            waiting = lane.waiting_for
            what = place(waiting) if isinstance(waiting, Record) else "an item"
            return "held back", f"{what} waits for another try"
        if behind is not None and behind > max(course.rate, 1.0):
            return "catching up", None
        return "running", None

    def _hung(self, stream: PausableStream, lane: Lane, course: Course, now: float) -> Hung:
        record = lane.in_hand()
        found = Hung(
            binding=self._name(stream, lane),
            record=None if record is None else place(record),
            seconds=round(_in_hand(lane, course, now), 1),
            stack=stack_of_lane(lane),
        )
        reported = lane.in_hand_since() or course.begun
        if course.hung_at != reported:
            course.hung_at = reported
            logger.warning(
                "%s %s; it stands at:\n%s", found.binding, _had(lane, found.seconds), found.stack
            )
        return found

    # --- a source, and health -------------------------------------------------------------

    def _source(self, stream: PausableStream, now: float) -> SourceStatus:
        since = self._readings[stream].uncommitted_since
        return SourceStatus(
            name=stream.name,
            paused=stream.paused,
            last_commit=last_commit(stream),
            uncommitted_seconds=None if since is None else round(now - since, 1),
        )

    def _problems(self, bindings: list[BindingStatus], now: float) -> Iterator[str]:
        if self._state() != "running":
            yield f"the app is {self._state()}"
        if self.runner.failure is not None:
            yield f"it failed: {self.runner.failure or type(self.runner.failure).__name__}"
        rows = iter(bindings)
        for stream in self.runner.streams:
            if not stream.positioned.is_set():
                yield f"{stream.name} has no position yet"
            for lane in stream.lanes:
                yield from self._problems_of(stream, lane, next(rows), now)
            if (late := self._uncommitted(stream, now)) >= self.hung:
                yield f"positions of {stream.name} have not been committed for {late:.1f} s"

    def _problems_of(
        self, stream: PausableStream, lane: Lane, row: BindingStatus, now: float
    ) -> Iterator[str]:
        course = self._courses[lane]
        if row.state == "hung":
            yield f"{row.name} {row.why}"
        elif row.state == "held back" and stream.held_for - {"control"}:
            yield f"{row.name} is held back: {row.why}"
        elif (starved := course.starved(now)) >= self.hung:
            yield (
                f"{row.name} has not been given a record of {stream.name} for {starved:.1f} s, "
                f"and {row.lag} wait"
            )
        elif (oldest := course.oldest(now) or 0.0) >= self.hung:
            yield f"{row.in_flight} records of {row.name} are not durable after {oldest:.1f} s"

    def _uncommitted(self, stream: PausableStream, now: float) -> float:
        """For how many seconds nothing of what is finished has been committed."""
        reading = self._readings[stream]
        if not uncommitted(stream):
            reading.uncommitted_since = None
            return 0.0
        since = reading.uncommitted_since or now
        if (last := last_commit(stream)) is not None:
            since = max(since, now - max(0.0, time.time() - last))
        reading.uncommitted_since = since
        return now - since


def _waits(lane: Lane) -> bool:
    """Whether a record that waits for another try holds up all others."""
    return lane.waiting_for is not None and not lane.busy


def _in_hand(lane: Lane, course: Course, now: float) -> float:
    """For how many seconds the handler has had the record that it has had for longest."""
    since = lane.in_hand_since()
    return course.in_hand(now) if since is None else now - since


def _had(lane: Lane, seconds: float) -> str:
    record = lane.in_hand()
    what = "an item" if record is None else place(record)
    return f"has had {what} in hand for {seconds:.1f} s"


def health_of(status: AppStatus, hung: float) -> Health:
    """Whether an app gets on.

    Args:
        hung: seconds without an answer after which only a restart can help.
    """
    live = (status.unanswered_seconds or 0.0) < hung
    return Health(live=live, ready=live and not status.problems, problems=status.problems)
