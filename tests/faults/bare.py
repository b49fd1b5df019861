"""What the yard asks of a broker, by a client that the product does not use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Offsets: TypeAlias = Mapping[int, int]
"""Partition -> offset."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in a topic.

    Attributes:
        timestamp: milliseconds since 1970.
    """

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Unreachable(Exception):
    """The broker does not answer."""


class Log(Protocol):
    """The topics of one run on one broker."""

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic."""

    def write(self, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> set[int]:
        """Write pairs of key and value in order; the numbers of those that were acknowledged."""

    def read(self, topic: str) -> list[Entry]:
        """All that it has, each partition in order.

        Raises:
            Unreachable: the broker does not answer in time.
        """

    def ends(self, topic: str) -> Offsets:
        """The offset that each partition's next entry will have.

        Raises:
            Unreachable: the broker does not answer in time.
        """

    def count(self, topic: str) -> int:
        """How many records it has got.

        Raises:
            Unreachable: the broker does not answer in time.
        """

    def committed(self, group: str, topic: str) -> Offsets:
        """The offset that a group goes on at, of the partitions where it has one.

        Raises:
            Unreachable: the broker does not answer in time.
        """

    def close(self) -> None:
        """Let go of the client."""
