"""The data that passes between sources, handlers, sinks and stores, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

Key: TypeAlias = "bool | int | float | str | bytes | tuple[Key, ...]"
"""What a cache accepts as a key. Numbers sort by value whatever their type; NaN is refused."""

Headers: TypeAlias = tuple[tuple[str, bytes], ...]
"""The headers of a record, in order; a name may occur more than once."""

Positions: TypeAlias = Mapping[int, int]
"""Partition -> offset of the last record that is finished. -1: none is. The offsets are the ones
that the source gave; whether another one lies between two of them is nobody's to assume."""

Changes: TypeAlias = Mapping[str, Mapping[bytes, "bytes | None"]]
"""Space -> key -> value, what is written to an `IStateStore` together; None deletes."""

READ_FROM_START = -2
"""As an offset: the oldest record that there is."""

READ_FROM_END = -1
"""As an offset: the first record that arrives from now on."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One entry of a topic, under the attribute names of Kafka's clients.

    Attributes:
        value: the decoded value, or None (a tombstone).
        key: the decoded key, or None.
        topic: the name of the topic.
        partition: the partition that it stands in.
        offset: its place in the partition; grows, with gaps.
        timestamp: milliseconds since the epoch.
        headers: pairs of a name and bytes.
    """

    value: Any = None
    key: Any = None
    topic: str = ""
    partition: int = 0
    offset: int = -1
    timestamp: int = 0
    headers: Headers = ()


class Out(msgspec.Struct, frozen=True, gc=False):
    """One output: what a handler may return where a value or a pair is not enough.

    Attributes:
        value: the value; None writes a tombstone.
        key: the key; records of one key keep their order.
        headers: pairs of a name and bytes.
        timestamp: milliseconds since the epoch; None: the time of writing.
        partition: the partition; None: chosen by the key.
    """

    value: Any
    key: Any = None
    headers: Headers = ()
    timestamp: int | None = None
    partition: int | None = None


class Assignment(msgspec.Struct, frozen=True):
    """A change in what a member of a consumer group reads.

    Attributes:
        epoch: names the change in `commit`, and grows with each. [source.epochs-grow]
        added: partition -> the group's position, None if none. [source.assignment-tells-positions]
        removed: partitions that go to others once the change is accepted.
        lost: the removed ones have another owner already: nothing of them may be committed.
        total: how many partitions there are.
    """

    epoch: int
    added: Mapping[int, int | None] = {}
    removed: frozenset[int] = frozenset()
    lost: bool = False
    total: int = 1


class Secret:
    """A setting that no message, log or plan may show. `reveal()` gives it to the client."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "'***'"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))
