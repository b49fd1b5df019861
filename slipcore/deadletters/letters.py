"""What a record of a topic of dead letters says: a letter, or a mark about one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from slipcore.engine.letters import PREFIX
from slipcore.interfaces import Headers, Out, Record, now_ms

Id: TypeAlias = tuple[int, int]
"""Which letter of a topic: its partition and offset."""

Word: TypeAlias = Literal["replayed", "dropped", "claimed", "released"]
"""What a mark says."""

_WORDS: Final[Mapping[str, Word]] = {word: word for word in get_args(Word)}

MARK: Final = f"{PREFIX}mark"
REPLAYED: Final = f"{PREFIX}replayed"
REPLAYS: Final = f"{PREFIX}replays"

NO_VALUE: Final = b"null"
"""The value of a mark, which the codecs `raw`, `text` and `json` can read. None would be a
tombstone, which compaction takes away."""

_FIRST: Final = f"{PREFIX}binding"
"""The header with which a letter's own headers begin."""


class Letter(msgspec.Struct, frozen=True):
    """What a letter tells of its record, but for its contents.

    Attributes:
        partition, offset: where the letter stands.
        time: when it was put aside, ms since the epoch.
        origin: topic, partition and offset of the record; None: it comes from no topic.
        timestamp: that of the record, ms since the epoch; None: it comes from no topic.
        key_is, value_is: what the bytes are: "bytes", "null", "json" or "repr".
        replays: how often the record had been replayed before it failed.
    """

    partition: int
    offset: int
    binding: str
    stage: str
    tries: int
    time: int
    error: str
    message: str
    origin: tuple[str, int, int] | None
    timestamp: int | None
    key_is: str
    value_is: str
    replays: int

    @property
    def id(self) -> Id:
        return self.partition, self.offset

    @property
    def name(self) -> str:
        return id_text(self.id)

    def why_not(self, to: str | None) -> str | None:
        """Why the record can't be sent again, None: it can.

        Args:
            to: the topic that it is to go to; None: its own.
        """
        for what, kind in (("key", self.key_is), ("value", self.value_is)):
            if kind not in ("bytes", "null"):
                return f"its {what} is the {kind} of an object, not the bytes of a record"
        if self.origin is None and to is None:
            return "it has no original topic: say with --to where it is to go"
        return None


@dataclass(frozen=True, slots=True)
class Mark:
    """What was noted in the topic about one of its letters, or about who works on them.

    Attributes:
        letter: the one that it is about; None for claims.
        by: who noted it, a token.
        time: when, ms since the epoch.
        to: the topic that the record was sent to; "" where it was sent nowhere.
    """

    word: Word
    letter: Id | None
    by: str
    time: int
    to: str = ""

    def out(self) -> Out:
        """The record that says so; it goes to the partition of its letter."""
        headers = [(MARK, self.word.encode()), (f"{PREFIX}by", self.by.encode())]
        if self.letter is not None:
            headers.append((f"{PREFIX}letter", id_text(self.letter).encode()))
        if self.to:
            headers.append((f"{PREFIX}to", self.to.encode()))
        key = f"{PREFIX}{self.word}" if self.letter is None else id_text(self.letter)
        partition = 0 if self.letter is None else self.letter[0]
        return Out(NO_VALUE, key.encode(), tuple(headers), self.time, partition)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant.

    Attributes:
        error: a pattern for the error's type, with or without its module.
        binding: the name of the handler, or of the sink.
        stage: what failed.
        since, until: bounds of the time when it was put aside, ms since the epoch.
        ids: these alone.
        limit: so many, the oldest.
    """

    error: str | None = None
    binding: str | None = None
    stage: str | None = None
    since: int | None = None
    until: int | None = None
    ids: Collection[Id] = ()
    limit: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant, the limit left aside."""
        bare = letter.error.rpartition(".")[2]
        return (
            (self.error is None or any(fnmatchcase(e, self.error) for e in (letter.error, bare)))
            and self.binding in (None, letter.binding)
            and self.stage in (None, letter.stage)
            and (self.since is None or letter.time >= self.since)
            and (self.until is None or letter.time < self.until)
            and (not self.ids or letter.id in self.ids)
        )


def id_text(letter: Id) -> str:
    """How people write which letter it is: `0:15`."""
    return f"{letter[0]}:{letter[1]}"


def letter_of(record: Record) -> Letter | None:
    """What a record tells, if it is a letter."""
    told = dict(record.headers)  # of a letter of a letter the last of a name counts
    if _FIRST not in told:
        return None
    try:
        return _letter(
            record, {name: value.decode(errors="replace") for name, value in told.items()}
        )
    except (KeyError, ValueError):
        return None


def _letter(record: Record, told: Mapping[str, str]) -> Letter:
    own = {name for name, _ in record.headers[_begin(record.headers) :]}
    is_placed = f"{PREFIX}topic" in own
    return Letter(
        partition=record.partition,
        offset=record.offset,
        binding=told[_FIRST],
        stage=told[f"{PREFIX}stage"],
        tries=int(told[f"{PREFIX}tries"]),
        time=int(told[f"{PREFIX}time"]),
        error=told[f"{PREFIX}error"],
        message=told[f"{PREFIX}message"],
        origin=_origin(told) if is_placed else None,
        timestamp=int(told[f"{PREFIX}timestamp"]) if is_placed else None,
        key_is=told[f"{PREFIX}key"],
        value_is=told[f"{PREFIX}value"],
        replays=int(told.get(REPLAYS, 0)),
    )


def _origin(told: Mapping[str, str]) -> tuple[str, int, int]:
    partition, offset = told[f"{PREFIX}partition"], told[f"{PREFIX}offset"]
    return told[f"{PREFIX}topic"], int(partition), int(offset)


def mark_of(record: Record) -> Mark | None:
    """What a record notes, if it is a mark."""
    told = dict(record.headers)
    word = _WORDS.get(told.get(MARK, b"").decode(errors="replace"))
    if word is None or _FIRST in told:  # a mark may have become a letter elsewhere
        return None
    try:
        letter = told.get(f"{PREFIX}letter")
        about = None if letter is None else parse_id(letter.decode())
    except ValueError:
        return None
    by, to = (told.get(f"{PREFIX}{name}", b"").decode(errors="replace") for name in ("by", "to"))
    return Mark(word, about, by, record.timestamp, to)


def parse_id(text: str) -> Id:
    """Take `0:15` apart.

    Raises:
        ValueError: it is not of that form.
    """
    partition, _, offset = text.partition(":")
    return int(partition), int(offset)


def traceback_of(record: Record) -> str:
    """The traceback that a letter has."""
    return dict(record.headers).get(f"{PREFIX}traceback", b"").decode(errors="replace")


def original_headers(record: Record) -> Headers:
    """The headers that a letter's record had."""
    return record.headers[: _begin(record.headers)]


def again(record: Record, letter: Letter, topic: str, to: str | None) -> Out:
    """A letter's record as it is sent again: what it was, and that it is sent again.

    Args:
        topic: the topic of the letter.
        to: the topic that it goes to; None: its own, and there to its own partition.
    """
    headers = tuple(pair for pair in original_headers(record) if pair[0] not in (REPLAYED, REPLAYS))
    place = f"{topic}[{letter.partition}]@{letter.offset}"
    added = ((REPLAYED, place.encode()), (REPLAYS, b"%d" % (letter.replays + 1)))
    partition = letter.origin[1] if letter.origin is not None and to is None else None
    return Out(record.value, record.key, (*headers, *added), letter.timestamp, partition)


def mark(word: Word, by: str, letter: Id | None = None, to: str = "") -> Mark:
    """A mark of this moment."""
    return Mark(word, letter, by, now_ms(), to)


def _begin(headers: Headers) -> int:
    """Where a letter's own headers begin: those before it were the record's."""
    return max(index for index, (name, _) in enumerate(headers) if name == _FIRST)
