"""Who may work on a topic's letters: one at a time, by what is noted in the topic itself.

A claim is a record in the first partition, so that all see claims in one order. The first one
holds until it is released, or until nothing has renewed it for `LEASE` seconds, by the timestamps
of these records; a claim that comes meanwhile is void.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Self
from uuid import uuid4

from slipcore.deadletters.letters import Mark, Word, mark
from slipcore.interfaces import ISink, Out, SlipError

LEASE: Final = 30.0
"""Seconds after which who has not renewed its claim is taken for dead."""


@dataclass(slots=True)
class Holder:
    """Who holds a topic's letters, told from its claims in their order.

    Attributes:
        by: the token of the holder; "": nobody.
        renewed: when it said so last, ms since the epoch.
        won: who has claimed, and whether it had them then.
    """

    by: str = ""
    renewed: int = 0
    won: dict[str, bool] = field(default_factory=dict)

    def take(self, noted: Mark) -> None:
        """Go by the next mark."""
        if noted.word == "claimed":
            is_void = self.won.get(noted.by) is False  # it has given up, or will
            is_free = self.by in ("", noted.by) or noted.time - self.renewed > LEASE * 1000
            if is_free and not is_void:
                self.by, self.renewed = noted.by, noted.time
            self.won.setdefault(noted.by, self.by == noted.by)
        elif noted.word == "released" and noted.by == self.by:
            self.by = ""


class Claim:
    """A claim that is renewed until the block ends.

    Args:
        sink: the topic of the letters, open.

    Attributes:
        token: by which it goes.
    """

    def __init__(self, sink: ISink) -> None:
        self.token = uuid4().hex
        self._sink = sink
        self._renewed = monotonic()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._note("claimed")
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._renewing is not None
        self._renewing.cancel()
        with suppress(asyncio.CancelledError, SlipError):
            await self._renewing
        with suppress(SlipError):  # it runs out by itself
            await self._note("released")

    def check(self) -> None:
        """See that nobody else may have begun.

        Raises:
            SlipError: it was not renewed in time.
        """
        if monotonic() - self._renewed > LEASE:
            raise SlipError(
                f"The topic of the letters took no note for {LEASE:g} s, so that another replay "
                "may have begun: see that its server is well, and start again."
            )

    def refused(self, name: str) -> SlipError:
        """Why a claim is void."""
        return SlipError(
            f"Another replay or drop of {name} is under way: wait for its end. One that was killed "
            f"is taken for dead {LEASE:g} s after its last sign of life."
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            if monotonic() - self._renewed > LEASE:
                return  # another one may have come and gone while this process was stopped
            await self._note("claimed")

    async def _note(self, word: Word) -> None:
        began = monotonic()
        await send(self._sink, mark(word, self.token).out())
        await self._sink.flush()
        self._renewed = began


async def send(sink: ISink, output: Out) -> None:
    """Hand an output over, and wait where there is no room."""
    waiting = sink.send(output)
    if waiting is not None:
        await waiting
