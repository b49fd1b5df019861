"""Records in flight: which may be begun next, and which are finished without a gap before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from heapq import heappop, heappush
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from slipcore.engine.generations import Generation
from slipcore.engine.trials import Original, Trials

if TYPE_CHECKING:
    from asyncio import Task

    from slipcore.engine.delivery import Lane
    from slipcore.engine.state import Space

WAITING: Final = 0
RUNNING: Final = 1
DONE: Final = 2
PARKED: Final = 3
"""The stages of a flight; one that is parked waits for another try."""

_NONE: Final = MappingProxyType[Any, Any]({})
_NOBODY: Final[Any] = frozenset()


def _unknown(_: Any) -> None:
    return None


class Flight(Generation, eq=False):
    """One record that is handled beside others: a generation of its own.

    Most write no state, so what that takes is made with the first write.

    Attributes:
        item: the record, or what an iterable gave.
        key: what its order is kept by; None: nothing.
        stage: WAITING, RUNNING, DONE or PARKED.
        began: when it was given to the handler, in monotonic seconds.
        task: what handles it.
        original: finds its bytes.
    """

    count: int = 1
    held: Any = ()
    writes: Any = _NONE
    stamps: Any = _NONE
    log: Any = ()
    entangled: Any = _NOBODY
    item: Any = None
    key: Hashable = None
    stage: int = WAITING
    began: float = 0.0
    task: Task[None] | None = None
    original: Original = _unknown
    _trials: Trials | None = None

    @property  # type: ignore[misc]  # what the base keeps is worked out here
    def records(self) -> tuple[Any]:  # type: ignore[override]  # it is never set
        return (self.item,)

    def index(self) -> int:
        return 0

    def cut(self) -> None:
        """One record can't be cut."""

    def let_go(self) -> None:
        """One record is what it ends with."""

    @property
    def trials(self) -> Trials | None:
        if self._trials is None and self.lane.trials is not None:
            self._trials = self.lane.trials.apart(self.original)
        return self._trials

    def attempt(self) -> int:
        return 1 if self._trials is None else self._trials.attempt(self.item)

    def begin_writes(self, space: Space) -> dict[bytes, bytes | None]:
        if self.writes is _NONE:
            self.log, self.writes, self.stamps, self.entangled = [], {}, {}, set()
        return super().begin_writes(space)


class Line:
    """All flights of a lane in delivery order, from intake to the end of the gap before them.

    Of a key one record is begun when the one before it has ended. What may be begun is begun in
    delivery order, so that little stands finished behind what is not.

    Args:
        by_partition: whether partitions take the place of keys.

    Attributes:
        flights: all of them.
        ready: those that could be begun from their intake on.
        last: the number of the last one that was begun.
    """

    def __init__(self, by_partition: bool) -> None:
        self.flights: deque[Flight] = deque()
        self.ready: deque[Flight] = deque()
        self.last = -1
        self._freed: list[tuple[int, Flight]] = []
        self._keys: dict[Hashable, deque[Flight] | None] = {}
        self._by_partition = by_partition
        self._count = 0

    def add(self, lane: Lane, item: Any, key: Hashable, partition: int, epoch: int) -> Flight:
        """Take a record in."""
        number = self._count
        self._count = number + 1
        if self._by_partition:
            key = partition
        flight = Flight(lane, (), epoch, number=number, item=item, key=key)
        self.flights.append(flight)
        if key is None:
            self.ready.append(flight)
            return flight
        try:
            is_live = key in self._keys
        except TypeError:  # a list or a dictionary, as a codec may give it
            flight.key = key = repr(key)
            is_live = key in self._keys
        if is_live:
            self._queue(flight)
        else:
            self._keys[key] = None
            self.ready.append(flight)
        return flight

    def _queue(self, flight: Flight) -> None:
        waiting = self._keys[flight.key]
        if waiting is None:
            waiting = self._keys[flight.key] = deque()
        waiting.append(flight)

    def first(self) -> Flight | None:
        """The earliest that may be begun."""
        ready, freed = self.ready, self._freed
        if not freed:
            return ready[0] if ready else None
        return ready[0] if ready and ready[0].number < freed[0][0] else freed[0][1]

    def pop(self) -> Flight | None:
        """Take the earliest that may be begun."""
        ready, freed = self.ready, self._freed
        if freed and not (ready and ready[0].number < freed[0][0]):
            return heappop(freed)[1]
        return ready.popleft() if ready else None

    def startable(self) -> int:
        """How many could be begun side by side."""
        return len(self.ready) + len(self._freed)

    def again(self, flight: Flight) -> None:
        """Let one that was begun be begun once more; its key was its own all the time."""
        flight.stage = WAITING
        heappush(self._freed, (flight.number, flight))

    def free(self, key: Hashable) -> None:
        """The record in hand of a key has ended: the next one may be begun."""
        waiting = self._keys.pop(key)
        if waiting:
            self._keys[key] = waiting
            flight = waiting.popleft()
            heappush(self._freed, (flight.number, flight))

    def cut(self, flight: Flight) -> list[Flight]:
        """Let go of a flight and all behind it."""
        return self.drop(lambda other: other.number >= flight.number)

    def drop(self, goes: Callable[[Flight], bool]) -> list[Flight]:
        """Let go of flights, wherever they stand."""
        gone = [flight for flight in self.flights if goes(flight)]
        if gone:
            self._line_up([flight for flight in self.flights if not goes(flight)])
        return gone

    def _line_up(self, kept: list[Flight]) -> None:
        self.flights = deque(kept)
        self.ready.clear()
        self._freed.clear()
        self._keys.clear()
        # Of a key what is begun stands before what waits.
        for flight in kept:
            if flight.stage == DONE:
                continue
            if flight.key is not None and flight.key in self._keys:
                self._queue(flight)
                continue
            if flight.key is not None:
                self._keys[flight.key] = None
            if flight.stage == WAITING:
                self.ready.append(flight)
        self.last = max((f.number for f in kept if f.stage != WAITING), default=-1)

    def begun(self) -> Iterator[Flight]:
        """Those that the handler was given; may be asked for in any thread."""
        return (flight for flight in self.flights.copy() if flight.stage != WAITING)
