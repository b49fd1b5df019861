"""Handlers that take all records of a read at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from slipcore.engine.delivery import Lane
from slipcore.engine.generations import Generation
from slipcore.engine.trials import Verdict, several, told
from slipcore.interfaces import Record

logger = logging.getLogger(__name__)


class BatchLane(Lane):
    """A lane whose handler is given lists: a generation is finished, or fails, as one.

    Pauses, stops and new epochs take effect between two lists. Where a rule would drop a list
    that failed, or put it aside, its records are handled one by one, each in a list of its own,
    so that only those suffer that fail by themselves.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._alone = False  # whether what is left of a read goes to the handler one by one

    async def process(self, records: Sequence[Record], epoch: int) -> None:
        self._alone = False
        await super().process(records, epoch)

    async def admit(self, records: Sequence[Record], epoch: int) -> Sequence[Record]:
        if self._changed_in:
            return await super().admit(records, epoch)
        await self.room()  # what has no place comes no second time: a stop does not give it up
        return () if self.closed else records

    async def _drive(self, generation: Generation) -> None:
        if self._alone:
            records = [next(generation.items)]
            generation.cut()
        else:
            records = list(generation.items)
        waiting = self.step.batch(iter((records,)))
        if waiting is not None:
            await waiting

    async def failed(
        self, generation: Generation, index: int, error: BaseException
    ) -> Sequence[Record]:
        if self.trials is not None:
            self.trials.size = _size(generation)
        return await super().failed(generation, min(index, 0), error)

    async def go_around(
        self, verdict: Verdict, records: Sequence[Record], epoch: int
    ) -> Sequence[Record]:
        if self._alone or len(records) == 1:
            return await super().go_around(verdict, records, epoch)
        assert self.trials is not None
        logger.warning(
            "%s: %s failed in %s and is handled record by record, after try %d: %s",
            self.trials.binding,
            several(records[0], len(records)),
            verdict.stage,
            verdict.failures,
            told(verdict.error),
        )
        self.trials.passed()
        self._alone = True
        return records

    def abandon(self, generation: Generation, index: int, error: BaseException) -> None:
        size = _size(generation)
        if isinstance(error, Exception) and index >= 0 and size > 1:
            what = several(generation.records[0], size)
            error.add_note(f"raised while {self.reader} was handling {what}")
        super().abandon(generation, index, error)

    def attempt(self, record: Any) -> int:
        generation = self._current
        return super().attempt(record if generation is None else generation.records[0])

    def given(self, generation: Generation) -> Any:
        return list(generation.records[: _size(generation)])

    def in_hand(self) -> Record | None:
        generation = self._current
        if generation is None or generation.index() < 0:
            return None
        first = generation.records[0]
        return first if isinstance(first, Record) else None


def _size(generation: Generation) -> int:
    """How many records the handler was given."""
    return len(generation.records) - len(generation.held)
