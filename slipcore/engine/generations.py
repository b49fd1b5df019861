"""What one read of a source handed over, up to a cut: the unit of flush, state write and commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from slipcore.engine.delivery import Lane
    from slipcore.engine.state import Space
    from slipcore.engine.trials import Trials


_NOTHING: Final[Iterator[Any]] = iter(())
_PLACE: Final = attrgetter("partition", "offset")


class Generation(Struct, eq=False):
    """The records of one read for one binding, from the first to the cut.

    Attributes:
        records: what they are; once they are handled, the last one of each partition.
        count: how many there were, once they are handled.
        number: its place in its lane, where that hands its records out one by one.
        items: those of its records that were not handed out.
        held: those that are not to be.
        deadline: of the record in hand, by the loop's clock; None: it has none.
    """

    lane: Lane
    records: Sequence[Any]
    epoch: int
    count: int = 0
    number: int = 0
    items: Iterator[Any] = _NOTHING
    held: list[Any] = []
    open: bool = True
    flushed: bool = False
    settled: bool = False
    landing: bool = False
    dead: bool = False
    deadline: float | None = None
    writes: dict[Space, dict[bytes, bytes | None]] = {}
    stamps: dict[tuple[Space, bytes], int] = {}
    log: list[Any] = []
    entangled: set[Generation] = field(default_factory=set)

    def index(self) -> int:
        """The place of the record in hand, without a counter in the loop that handles them."""
        left: int = self.items.__length_hint__()  # type: ignore[attr-defined]  # a list's iterator
        return len(self.records) - len(self.held) - left - 1

    @property
    def trials(self) -> Trials | None:
        """How the record in hand is dealt with if it fails; None: its error is raised."""
        return self.lane.trials

    def attempt(self) -> int:
        """The number of the try that the record in hand is in; 1: the first."""
        return self.lane.attempt(self.records[self.index()])

    def begin_writes(self, space: Space) -> dict[bytes, bytes | None]:
        """What it writes to a space, with the first of it."""
        self.lane.uses(space.store)
        writes = self.writes[space] = {}
        return writes

    def cut(self) -> None:
        """Let the record in hand be the last: the loop over `items` finds nothing more."""
        self.held.extend(self.items)

    def part(self) -> None:
        """It can't be undone any more, and nobody waits for it: let go of all that it knows.

        What each write was written over is known for undoing it, so that generations that write
        one key in turn would keep each other for ever.
        """
        for other in self.entangled:
            other.entangled.discard(self)
        if self.log or self.entangled:
            self.log, self.entangled = [], set()

    def let_go(self) -> None:
        """Of what is handled keep its number and where it ends: the rest is memory."""
        records, since = self.records, self.lane.since
        self.count = len(records)
        if self.count < 2:
            return
        if not since:  # an iterable: its items have no place
            self.records = ()
        elif len(since) == 1 and records[-1].partition in since:
            self.records = (records[-1],)
        else:
            self.records = tuple({record.partition: record for record in records}.values())

    def live_positions(self) -> dict[int, int]:
        """Partition -> last offset, of the partitions that are still this member's own."""
        since = self.lane.since
        if not since:
            return {}
        places = dict(map(_PLACE, self.records))
        return {p: o for p, o in places.items() if self.epoch >= since.get(p, self.epoch + 1)}
