"""What happens when decoding, handling or sinking fails.

There is one policy: the error is raised. Its record is not finished, what it wrote is undone, what
came before it is flushed and committed, the app stops in order, and the record is the first of the
next run. The error says where it happened.
"""

from __future__ import annotations

from typing import Any

from slipcore.interfaces import DecodeError, Record


def undecodable(error: DecodeError, record: Record) -> DecodeError:
    """The error of a record that its codec can't read, with the record's place."""
    return DecodeError(
        f"Record {place(record)} can't be decoded: {error}",
        record.topic,
        record.partition,
        record.offset,
    )


def raised(error: BaseException, reader: str, item: Any) -> None:
    """Note on an error who was handling what; once, by the first that sees it."""
    known = isinstance(item, Record)
    note = f"raised while {reader} was handling {place(item)}" if known else f"raised in {reader}"
    if isinstance(error, Exception) and not getattr(error, "__notes__", None):
        error.add_note(note)


def place(record: Record) -> str:
    """A record's place in the way everybody writes it: topic[partition]@offset."""
    return f"{record.topic}[{record.partition}]@{record.offset}"
