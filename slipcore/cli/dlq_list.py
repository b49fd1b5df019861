"""`slip dlq list` and `slip dlq show`: which letters there are, and all of one."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from slipcore.cli.dlq_box import Desk, at_desk
from slipcore.cli.printing import print_json, print_table, print_text
from slipcore.cli.times import time_text
from slipcore.deadletters.letters import (
    Id,
    Letter,
    Mark,
    Wanted,
    original_headers,
    traceback_of,
)
from slipcore.deadletters.survey import Survey
from slipcore.interfaces import ConfigError, Headers, Record

COLUMNS: Final = ("LETTER", "PUT ASIDE", "BINDING", "ERROR", "RECORD", "TRIES", "STATE")

IN_A_TABLE: Final = 1_000
"""Rows whose columns are fitted to each other; more come as lines."""

IN_A_CELL: Final = 60
"""Characters of an error that a list shows."""

PER_LINE: Final = 16
"""Bytes in a line of a hexadecimal dump."""


class Row(msgspec.Struct, frozen=True):
    """One letter. Field names are stable: `slip dlq list --json` prints them.

    Attributes:
        id: partition and offset of the letter, "0:15".
        time: when it was put aside, ms since the epoch.
        state: "waiting", "replayed" or "dropped".
        state_time: since when, ms since the epoch; None: it waits.
        to: the topic that it was replayed to.
    """

    id: str
    time: int
    binding: str
    stage: str
    error: str
    message: str
    tries: int
    topic: str | None
    partition: int | None
    offset: int | None
    timestamp: int | None
    key_is: str
    value_is: str
    replays: int
    state: str
    state_time: int | None
    to: str | None


class WholeRow(Row, frozen=True):
    """All of a letter. Field names are stable: `slip dlq show --json` prints them.

    Attributes:
        key, value: None too where they are no UTF-8.
        headers: pairs of a name and a value in Base64.
    """

    key: str | None
    value: str | None
    key_base64: str | None
    value_base64: str | None
    headers: list[tuple[str, str]]
    traceback: str


def show_list(
    topic: str, target: str | None, wanted: Wanted, *, all_of_them: bool, as_json: bool
) -> int:
    """Print the letters of a topic and return the exit code."""

    def work(desk: Desk) -> int:
        found = desk.run(lambda box: box.survey())
        chosen = found.choose(wanted, all_of_them=all_of_them)
        if as_json:
            print_json([row_of(letter, found.marks.get(letter.id)) for letter in chosen])
        else:
            print_letters(chosen, found)
            print_text(*_summary(topic, chosen, found))
        return 0

    return at_desk(topic, target, work)


def show_letter(topic: str, id_: Id, target: str | None, *, raw: Path | None, as_json: bool) -> int:
    """Print all of a letter and return the exit code."""

    def work(desk: Desk) -> int:
        letter, record, noted = desk.run(lambda box: box.find(id_))
        if raw is not None:
            _write(raw, letter, record)
        if as_json:
            print_json(_whole(letter, record, noted))
        else:
            click.echo("\n".join(_lines(letter, record, noted)))
        return 0

    return at_desk(topic, target, work)


def row_of(letter: Letter, noted: Mark | None) -> Row:
    """What is told of a letter, and of what became of it."""
    topic, partition, offset = letter.origin if letter.origin is not None else (None, None, None)
    return Row(
        id=letter.name,
        time=letter.time,
        binding=letter.binding,
        stage=letter.stage,
        error=letter.error,
        message=letter.message,
        tries=letter.tries,
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=letter.timestamp,
        key_is=letter.key_is,
        value_is=letter.value_is,
        replays=letter.replays,
        state="waiting" if noted is None else noted.word,
        state_time=None if noted is None else noted.time,
        to=noted.to or None if noted is not None else None,
    )


def print_letters(letters: Sequence[Letter], found: Survey) -> None:
    """Print a table; where it would take long to fit its columns, lines."""
    rows = [_cells(letter, found.marks.get(letter.id)) for letter in letters]
    if len(rows) > IN_A_TABLE:
        click.echo("\n".join("  ".join(row) for row in (COLUMNS, *rows)))
    elif rows:
        print_table(COLUMNS, rows, whole=("LETTER", "PUT ASIDE", "TRIES", "STATE"))


def _cells(letter: Letter, noted: Mark | None) -> Sequence[str]:
    error = letter.error.rpartition(".")[2]
    said = letter.message.strip().partition("\n")[0]
    return (
        letter.name,
        time_text(letter.time),
        letter.binding,
        _short(f"{error}: {said}" if said else error),
        _place(letter) or "-",
        str(letter.tries),
        _state(letter, noted),
    )


def _short(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain if len(plain) <= IN_A_CELL else f"{plain[: IN_A_CELL - 1]}…"


def _state(letter: Letter, noted: Mark | None) -> str:
    if noted is not None:
        return noted.word
    return "waiting" if not letter.replays else f"waiting, replay {letter.replays} failed"


def _place(letter: Letter) -> str | None:
    if letter.origin is None:
        return None
    topic, partition, offset = letter.origin
    return f"{topic}[{partition}]@{offset}"


def _summary(topic: str, chosen: Sequence[Letter], found: Survey) -> Iterator[str]:
    waiting = sum(letter not in found.marks for letter in found.letters)
    if not found.letters:
        yield f"{topic} holds no letters."
    elif not waiting and not chosen:
        yield f"No letter of {topic} waits; --all shows what was replayed or dropped."
    elif not chosen:
        yield f"{topic} has {count_of(waiting)} waiting, and none that was asked for."
    else:
        kinds = Counter(letter.error.rpartition(".")[2] for letter in chosen)
        by_error = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
        yield f"{count_of(len(chosen))}: {by_error}."
    if found.foreign:
        yield f"{found.foreign:,} records of {topic} are no letters, and are left alone."


def count_of(count: int) -> str:
    """So many letters."""
    return "1 letter" if count == 1 else f"{count:,} letters"


# --- all of one ---------------------------------------------------------------------------


def _write(file: Path, letter: Letter, record: Record) -> None:
    if record.value is None:
        raise ConfigError(f"Letter {letter.name} has no value to write: its record is a tombstone.")
    try:
        file.write_bytes(record.value)
    except OSError as error:
        raise ConfigError(f"Can't write to {file}: {error.strerror or error}.") from error


def _whole(letter: Letter, record: Record, noted: Mark | None) -> WholeRow:
    known = msgspec.structs.asdict(row_of(letter, noted))
    return WholeRow(
        **known,
        key=_text(record.key),
        value=_text(record.value),
        key_base64=None if record.key is None else _base64(record.key),
        value_base64=None if record.value is None else _base64(record.value),
        headers=[(name, _base64(value)) for name, value in original_headers(record)],
        traceback=traceback_of(record),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(data: bytes | None) -> str | None:
    """Bytes as text where they are text."""
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None


def _lines(letter: Letter, record: Record, noted: Mark | None) -> Iterator[str]:
    yield f"letter     {letter.name}, put aside at {time_text(letter.time)}"
    if noted is None:
        yield f"state      {_state(letter, None)}"
    else:
        to = f" to {noted.to}" if noted.to else ""
        yield f"state      {noted.word}{to} at {time_text(noted.time)}"
    if letter.timestamp is not None:
        yield f"record     {_place(letter)}, of {time_text(letter.timestamp)}"
    if letter.replays:
        yield f"replays    {letter.replays}"
    yield f"binding    {letter.binding}"
    yield f"failed in  {letter.stage}, at try {letter.tries}"
    yield f"error      {letter.error}"
    yield from _block("message", _shown(letter.message.encode()))
    yield from _headers(original_headers(record))
    yield from _block(_called("key", letter.key_is), _shown(record.key))
    yield from _block(_called("value", letter.value_is), _shown(record.value))
    yield from _block("traceback", _shown(traceback_of(record).encode()))


def _called(what: str, kind: str) -> str:
    return what if kind in ("bytes", "null") else f"{what}, the {kind} of an object"


def _headers(headers: Headers) -> Iterator[str]:
    if headers:
        yield "headers:"
    for name, value in headers:
        text = _text(value)
        shown = text if text is not None and text.isprintable() else repr(value)
        yield f"  {name if name.isprintable() else repr(name)}: {shown}"


def _block(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"{title}:"
    yield from (f"  {line}".rstrip() for line in lines)


def _shown(data: bytes | None) -> Sequence[str]:
    """Bytes as lines: their text, or hexadecimal where a terminal could not show it."""
    if data is None:
        return ("none",)
    text = _text(data)
    if text is not None and all(c.isprintable() or c in "\n\t" for c in text):
        return text.rstrip("\n").split("\n")
    parts = (data[at : at + PER_LINE] for at in range(0, len(data), PER_LINE))
    return [
        f"{number * PER_LINE:08x}  {part.hex(' '):<{PER_LINE * 3}} "
        + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        for number, part in enumerate(parts)
    ]
