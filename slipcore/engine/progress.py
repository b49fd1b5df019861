"""How far a stream and its lanes are, told from what the engine knows anyway.

Nothing here is called for a record: whoever wants to know looks, once a second or so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from slipcore.engine.delivery import Lane, committable
from slipcore.engine.iterables import IterableStream
from slipcore.engine.sources import SourceStream
from slipcore.engine.streams import PausableStream


@runtime_checkable
class Ending(Protocol):
    """What a source may offer whose offsets go up to an end that it knows."""

    async def ends(self) -> Mapping[int, int]:
        """Assigned partition -> the offset that its next record will have."""
        ...


def begun(stream: PausableStream, lane: Lane) -> int:
    """How many records the lane's handler has been given; those of the read in hand too."""
    return lane.handled_records + lane.in_read() + _uncounted(stream, lane)


def in_flight(lane: Lane) -> int:
    """Records that are handled, or in hand, and not finished."""
    return lane.unfinished + (lane.in_read() or lane.busy)


def _uncounted(stream: PausableStream, lane: Lane) -> int:
    """What the fast loop over an iterable has not told its lane yet.

    The loop counts in a local variable; to look at it costs the loop nothing.
    """
    loop = stream.loops.get(lane) if isinstance(stream, IterableStream) else None
    frame = getattr(loop, "cr_frame", None)
    return 0 if frame is None else int(frame.f_locals.get("count", 0)) + lane.busy


def uncommitted(stream: PausableStream) -> bool:
    """Whether something finished is not committed."""
    if not isinstance(stream, SourceStream) or not stream.commits:
        return False
    return any(
        stream.committed.get(partition) != offset
        for partition, offset in committable(stream.lanes).items()
    )


def last_commit(stream: PausableStream) -> float | None:
    """When positions were last committed, in seconds since 1970; None: not in this run."""
    return stream.committed_at if isinstance(stream, SourceStream) else None
