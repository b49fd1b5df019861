"""From what a source gave to its bindings: decoded, and around what can not be decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from slipcore.engine.decoding import BatchDecoder
from slipcore.engine.delivery import Lane
from slipcore.engine.policies import Retry
from slipcore.engine.trials import Original
from slipcore.interfaces import DecodeError, Record


class Feed:
    """Hands the batches of one source to its lanes.

    Args:
        lanes: those that read it, also such as come later.
        decoder: None: records are handed over as they are.
        stop: called when one of several lanes has failed.

    Attributes:
        left: records behind one that can't be decoded, while that is dealt with.
    """

    def __init__(
        self, lanes: list[Lane], decoder: BatchDecoder | None, stop: Callable[[], None]
    ) -> None:
        self.left: Sequence[Record] = ()
        self._lanes = lanes
        self._decoder = decoder
        self._stop = stop

    async def decoded(
        self, records: Sequence[Record]
    ) -> tuple[Sequence[Record], DecodeError | None]:
        """The records up to the first that can't be decoded, and its error."""
        return (records, None) if self._decoder is None else await self._decoder.decoded(records)

    async def hand_over(self, records: Sequence[Record], epoch: int) -> None:
        """Have every lane handle what one read gave.

        Raises:
            Exception: what a lane raised.
            DecodeError: of a record that can't be decoded, where no rule takes it.
        """
        self._keep(records)
        while True:
            good, poison = await self.decoded(records)
            self.left = records[len(good) :] if poison is not None else ()
            await self._each(_handling(good, epoch))
            if poison is None:
                return
            if not all([await lane.caught_up() for lane in self._lanes]):
                return
            if not any(lane.trials and lane.trials.rules.decoding for lane in self._lanes):
                raise poison
            await self._each(self._going_around(records[len(good)], poison, epoch))
            records = records[len(good) + 1 :]

    def _keep(self, records: Sequence[Record]) -> None:
        """Keep the bytes at hand for dead letters, as long as a record of the batch needs them."""
        for lane in self._lanes:
            if lane.trials is not None and lane.trials.rules.letterboxes():
                lane.trials.original = _finder(records)

    def _going_around(
        self, bad: Record, poison: DecodeError, epoch: int
    ) -> Callable[[Lane], Awaitable[None]]:
        async def go_around(lane: Lane) -> None:
            error = poison
            while await lane.admit((bad,), epoch):
                if lane.trials is None:
                    raise error
                verdict = lane.trials.judge_undecodable(error, bad)
                if verdict.rule is None:
                    raise error
                if not isinstance(verdict.rule, Retry):
                    await lane.dispose(verdict, bad, epoch)
                    return
                await lane.wait_for_retry(verdict, verdict.rule, bad)
                records, still = await self.decoded((bad,))
                if still is None:
                    await lane.process(records, epoch)
                    return
                error = still

        return go_around

    async def _each(self, work: Callable[[Lane], Awaitable[None]]) -> None:
        """All bindings side by side; one that fails stops the others in order."""
        if len(self._lanes) == 1:
            await work(self._lanes[0])
            return

        async def guarded(lane: Lane) -> None:
            try:
                await work(lane)
            except BaseException:
                self._stop()
                raise

        results = await asyncio.gather(*map(guarded, self._lanes), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


def _finder(batch: Sequence[Record]) -> Original:
    """What finds a record's bytes in its batch."""
    places: dict[tuple[int, int], Record] = {}

    def find(record: Record) -> Record | None:
        if not places:
            places.update(((r.partition, r.offset), r) for r in batch)
        return places.get((record.partition, record.offset))

    return find


def _handling(records: Sequence[Record], epoch: int) -> Callable[[Lane], Awaitable[None]]:
    return lambda lane: lane.process(records, epoch)
