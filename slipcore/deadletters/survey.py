"""What a topic of dead letters holds, and which of its letters are meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from slipcore.deadletters.claims import Holder
from slipcore.deadletters.letters import Id, Letter, Mark, Wanted, id_text, letter_of, mark_of
from slipcore.interfaces import ConfigError, Record

Watch: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how many are done, and of how many."""


def unwatched(doing: str, done: int, total: int) -> None:
    """For who does not want to know."""


@dataclass(slots=True)
class Survey:
    """What a topic of dead letters holds.

    Attributes:
        letters: all of them, in the order of their partitions.
        marks: what became of some.
        foreign: how many records are neither letters nor marks.
        holder: who works on them.
    """

    letters: dict[Id, Letter] = field(default_factory=dict)
    marks: dict[Id, Mark] = field(default_factory=dict)
    foreign: int = 0
    holder: Holder = field(default_factory=Holder)

    def take(self, record: Record) -> None:
        """Go by the next record."""
        if (letter := letter_of(record)) is not None:
            self.letters[letter.id] = letter
        elif (noted := mark_of(record)) is None:
            self.foreign += 1
        elif noted.letter is None:
            self.holder.take(noted)
        else:
            self.marks.setdefault(noted.letter, noted)

    def choose(self, wanted: Wanted, *, all_of_them: bool = False) -> list[Letter]:
        """The letters that are meant, the oldest first.

        Args:
            all_of_them: those too that were replayed or dropped.

        Raises:
            ConfigError: there is no letter of a given id.
        """
        for one in wanted.ids:
            if one not in self.letters:
                raise ConfigError(
                    f"There is no letter {id_text(one)}: slip dlq list says which there are."
                )
        meant = (
            letter
            for letter in self.letters.values()
            if wanted.takes(letter) and (all_of_them or letter.id not in self.marks)
        )
        return sorted(meant, key=lambda it: (it.time, it.partition, it.offset))[: wanted.limit]


@dataclass(slots=True)
class Outcome:
    """What became of letters.

    Attributes:
        done: those that were replayed, or dropped, by the topic that they went to.
        refused: those that could not be, and why.
    """

    done: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[Letter, str]] = field(default_factory=list)
