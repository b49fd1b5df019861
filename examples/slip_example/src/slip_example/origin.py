"""Where a row comes from: what makes a repeated row the same row."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from slipcore.interfaces import Headers, Out, Record

HEADER: Final = "slip-example-origin"

_WRITTEN: Final = re.compile(r"(.*)/(\d+)/(\d+)/(\d+)", re.DOTALL)


class Origin(NamedTuple):
    """The record that a row was made of, and which of its rows it is."""

    topic: str
    partition: int
    offset: int
    number: int


def origin(record: Record, number: int = 0) -> Headers:
    """The headers that tell a sink which row this is, however often it is written.

        return Out(row, headers=origin(record))

    Args:
        record: what the row was made of.
        number: which of the record's rows it is, where it has several; the same one each time.
    """
    return ((HEADER, f"{record.topic}/{record.partition}/{record.offset}/{number}".encode()),)


def origin_of(output: Out) -> Origin | None:
    """What the headers of an output say; None: they do not.

    Raises:
        ValueError: there is such a header, and `origin` did not make it.
    """
    for name, value in output.headers:
        if name == HEADER:
            found = _WRITTEN.fullmatch(value.decode())
            if found is None:
                raise ValueError(f"the header {HEADER} is {value!r}: make it with origin(record)")
            topic, *numbers = found.groups()
            return Origin(topic, *map(int, numbers))
    return None
