"""Sending the records of letters again: each batch is durable before it is marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

from slipcore.deadletters.claims import Claim, send
from slipcore.deadletters.letters import Letter, Mark, again, mark
from slipcore.deadletters.reading import Reader
from slipcore.deadletters.survey import Outcome, Watch
from slipcore.interfaces import ISink, Record, SinkError


def sendable(
    letters: Iterable[Letter], to: str | None
) -> tuple[list[Letter], list[tuple[Letter, str]]]:
    """Which letters can be replayed, and which can't, and why.

    Args:
        to: the topic that they are to go to; None: each to its own.
    """
    chosen: list[Letter] = []
    refused: list[tuple[Letter, str]] = []
    for letter in letters:
        why = letter.why_not(to)
        if why is None:
            chosen.append(letter)
        else:
            refused.append((letter, why))
    return chosen, refused


def target_of(letter: Letter, to: str | None) -> str:
    """The topic that a letter that can be replayed goes to."""
    if to is not None:
        return to
    assert letter.origin is not None
    return letter.origin[0]


async def note(sink: ISink, marks: Sequence[Mark]) -> None:
    """Write marks, durably."""
    for noted in marks:
        await send(sink, noted.out())
    await sink.flush()


class Replay:
    """One pass over the letters, in the order of each partition.

    Args:
        reader: of the letters, at their begin.
        claim: on them.
        targets: the topics that records go to, open, by name.
        to: the one for all of them; None: each goes to its own.
        chosen: the letters that are meant.
        outcome: where it is noted what became of them.
    """

    def __init__(
        self,
        reader: Reader,
        claim: Claim,
        targets: Mapping[str, ISink],
        to: str | None,
        chosen: Sequence[Letter],
        outcome: Outcome,
    ) -> None:
        self._reader = reader
        self._claim = claim
        self._targets = targets
        self._to = to
        self._left = {letter.id: letter for letter in chosen}
        self._outcome = outcome

    async def run(self, watch: Watch) -> None:
        """Send and mark, batch by batch.

        Raises:
            SlipError: a topic fails; what came before is sent and marked.
        """
        total = len(self._left)
        async with aclosing(self._reader.to_end()) as batches:
            while self._left:
                batch = await anext(batches, None)
                if batch is None:
                    break
                await self._send(batch)
                watch("replaying", total - len(self._left), total)
        for letter in self._left.values():
            self._outcome.refused.append((letter, "it is not there any more"))

    async def _send(self, batch: Sequence[Record]) -> None:
        """Send what is meant of a batch; then it is marked."""
        self._claim.check()
        sent: list[Mark] = []
        for record in batch:
            letter = self._left.pop((record.partition, record.offset), None)
            if letter is None:
                continue
            name = target_of(letter, self._to)
            try:
                waiting = self._targets[name].send(
                    again(record, letter, self._reader.name, self._to)
                )
            except SinkError as error:  # this one alone is not taken
                self._outcome.refused.append((letter, str(error)))
                continue
            if waiting is not None:
                await waiting
            sent.append(mark("replayed", self._claim.token, letter.id, name))
        for name in dict.fromkeys(noted.to for noted in sent):
            await self._targets[name].flush()
        await note(self._reader.topic, sent)
        self._outcome.done.update(noted.to for noted in sent)
