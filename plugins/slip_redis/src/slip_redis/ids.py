"""Entry ids of a stream as offsets: one integer each, in the same order.

An id is a pair `ms-seq`: milliseconds, and a number that tells entries of one millisecond apart.
The offset is `ms << 20 | seq`.
"""

from __future__ import annotations

from typing import Final

from slipcore.interfaces import SourceError

SEQ_BITS: Final = 20
MAX_SEQ: Final = (1 << SEQ_BITS) - 1


def offset_of(entry: bytes, stream: str) -> int:
    """The offset of an entry's id.

    Raises:
        SourceError: its second number is larger than an offset can hold.
    """
    ms, _, seq = entry.partition(b"-")
    low = int(seq)
    if low > MAX_SEQ:
        raise SourceError(
            f"the stream {stream} has an entry {entry.decode()}, which can't be read as a record: "
            f"the second number of an id is to be {MAX_SEQ} at most; have the id given by the "
            f"server"
        )
    return int(ms) << SEQ_BITS | low


def id_of(offset: int) -> bytes:
    """The id of an offset; that of what lies before the first entry is 0-0."""
    if offset <= 0:
        return b"0-0"
    return b"%d-%d" % (offset >> SEQ_BITS, offset & MAX_SEQ)
