"""What one read of a source handed over, up to a cut: the unit of flush, state write and commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from slipcore.interfaces import Record

if TYPE_CHECKING:
    from slipcore.engine.delivery import Lane
    from slipcore.engine.state import Space
    from slipcore.engine.trials import Trials


class Generation:
    """The records of one read for one binding, from the first to the cut.

    Attributes:
        deadline: of the record in hand, by the loop's clock; None: it has none.
        number: its place in its lane, where that hands its records out one by one.
    """

    number: int = 0

    __slots__ = (
        "dead",
        "deadline",
        "entangled",
        "epoch",
        "flushed",
        "held",
        "items",
        "landing",
        "lane",
        "log",
        "open",
        "records",
        "settled",
        "stamps",
        "writes",
    )

    def __init__(self, lane: Lane, records: Sequence[Record], epoch: int) -> None:
        self.lane = lane
        self.records = records
        self.epoch = epoch
        self.items: Iterator[Record] = iter(records)
        self.held: list[Record] = []
        self.open = True
        self.flushed = False
        self.settled = False
        self.landing = False
        self.dead = False
        self.deadline: float | None = None
        self.writes: dict[Space, dict[bytes, bytes | None]] = {}
        self.stamps: dict[tuple[Space, bytes], int] = {}
        self.log: list[Any] = []
        self.entangled: set[Generation] = set()

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

    def live_positions(self) -> dict[int, int]:
        """Partition -> last offset, of the partitions that are still this member's own."""
        since = self.lane.since
        if not since:  # an iterable: its items have no place
            return {}
        if len(since) == 1 and self.records:
            last = self.records[-1]
            places = {last.partition: last.offset}
        else:
            places = {r.partition: r.offset for r in self.records}
        return {p: o for p, o in places.items() if self.epoch >= since.get(p, self.epoch + 1)}
