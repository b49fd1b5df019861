"""Topics that are wrong in one thing each that a source promises: reading and its places."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from slipcore.backends.memory.broker import Log
from slipcore.interfaces import READ_FROM_END, Capability, Out, Positions, Record, SourceError
from tests.kit.wrong.marks import breaks
from tests.kit.wrong.right import RightTopic


@breaks("source.capabilities-are-true")
class BoastsOfTransactions(RightTopic):
    """It says that it can't commit, and is asked to by nobody."""

    capabilities = frozenset({Capability.SEEK, Capability.PARTITIONS, Capability.TRANSACTIONS})


@breaks("source.close-is-harmless")
class ClosesOnce(RightTopic):
    """A member can't be closed twice."""

    _member_is_gone = False

    async def close(self) -> None:
        if self._member_is_gone:
            raise SourceError(f"the topic {self.name} is closed")
        self._member_is_gone = self._group is not None
        await super().close()


@breaks("source.read-is-bounded")
class GivesOneTooMany(RightTopic):
    """A read that asks for three or more is given one too many."""

    async def read(self, max_records: int) -> Sequence[Record]:
        return await super().read(max_records + (max_records >= 3))


@breaks("source.order")
class SwapsRecords(RightTopic):
    """The record 73 comes before the record 72."""

    def _take(self, log: Log, max_records: int) -> list[Record]:
        taken = super()._take(log, max_records)
        for before, after in zip(range(len(taken)), range(1, len(taken)), strict=False):
            if taken[after].offset == 73:
                taken[before], taken[after] = taken[after], taken[before]
        return taken


@breaks("source.no-starving")
class ReadsToTheEnd(RightTopic):
    """The first partition is read to its end before the others get their turn."""

    def _take(self, log: Log, max_records: int) -> list[Record]:
        self._turn = -1
        return super()._take(log, max_records)


@breaks("source.waiting-read-wakes")
class HearsItselfOnly(RightTopic):
    """A read that waits wakes for what the same object sends, and for nobody else."""

    async def open(self) -> None:
        await super().open()
        self._opened().readers.discard(self._wake)

    async def flush(self) -> None:
        await super().flush()
        self._wake.set()


@breaks("source.cancelled-read-loses-nothing")
class LosesOnCancel(RightTopic):
    """What was taken when the read is cancelled is gone."""

    async def read(self, max_records: int) -> Sequence[Record]:
        records = await super().read(max_records)
        await asyncio.sleep(0)
        return records


@breaks("source.out-of-range-is-an-error")
class JumpsIntoRange(RightTopic):
    """A position beyond the end becomes the start."""

    def _take(self, log: Log, max_records: int) -> list[Record]:
        for partition, offset in self._next.items():
            if offset > len(log.partitions[partition]):
                self._next[partition] = 0
        return super()._take(log, max_records)


@breaks("source.pause-holds")
class PausesNextTime(RightTopic):
    """A read that waits already takes no notice of a pause."""

    async def read(self, max_records: int) -> Sequence[Record]:
        await asyncio.sleep(0)
        readable = set(self._readable)
        try:
            while self._log is not None:
                self._readable = sorted(readable.union(self._readable) & self._next.keys())
                records = self._take(self._log, max_records)
                if records:
                    return records
                self._wake.clear()
                await self._wake.wait()
        finally:
            self._readable = sorted(self._next.keys() - self._paused)
        return ()


@breaks("source.pause-loses-nothing")
class DropsWhatItHasFetched(RightTopic):
    """A pause drops the next record, as a client does that has fetched it."""

    async def pause(self, partitions: frozenset[int]) -> None:
        await super().pause(partitions)
        log = self._opened()
        for partition in partitions & self._next.keys():
            if self._next[partition] < len(log.partitions[partition]):
                self._next[partition] += 1


@breaks("source.pause-loses-nothing")
class LosesOrderInAPause(RightTopic):
    """What was there when the pause came is given in another order."""

    _after_pause = False

    async def resume(self, partitions: frozenset[int]) -> None:
        self._after_pause = True
        await super().resume(partitions)

    def _take(self, log: Log, max_records: int) -> list[Record]:
        taken = super()._take(log, max_records)
        if taken and self._after_pause:
            self._after_pause = False
            taken.reverse()
        return taken


@breaks("source.resume-goes-on")
class SleepsOnAfterAPause(RightTopic):
    """A read that waits does not hear that a pause has ended."""

    async def resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions
        self._readable = sorted(self._next.keys() - self._paused)


@breaks("source.seek-moves")
class SeeksOneTooFar(RightTopic):
    """Reading goes on behind the record that was sought."""

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        found = await super().seek(offsets)
        for partition, offset in offsets.items():
            if 0 < offset < len(self._opened().partitions[partition]):
                self._next[partition] += 1
        return found


@breaks("source.seek-to-the-ends")
class StopsBeforeTheEnd(RightTopic):
    """The end is the last record."""

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        found = await super().seek(offsets)
        for partition, offset in offsets.items():
            if offset == READ_FROM_END and self._next[partition]:
                self._next[partition] -= 1
        return found


@breaks("source.seek-tells-the-position")
class TellsTheOffset(RightTopic):
    """A seek returns the offset, and that is not yet finished."""

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        found = await super().seek(offsets)
        return {partition: position + 1 for partition, position in found.items()}


@breaks("source.seek-is-refused")
class SeeksAnywhere(RightTopic):
    """A seek in a partition of others does nothing, and says nothing."""

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        return await super().seek({p: offset for p, offset in offsets.items() if p in self._next})


@breaks("source.lag-counts")
class MiscountsItsLag(RightTopic):
    """The lag is one too high."""

    async def lag(self) -> Mapping[int, int]:
        return {partition: count + 1 for partition, count in (await super().lag()).items()}


@breaks("source.empty-is-the-end")
class EndsWhenNothingComes(RightTopic):
    """Who only reads, and one partition, is told after a while that it has ended."""

    silence = 0.2
    _sends = False

    def send(self, output: Out) -> Awaitable[None] | None:
        self._sends = True
        return super().send(output)

    async def read(self, max_records: int) -> Sequence[Record]:
        try:
            async with asyncio.timeout(0.1):
                return await super().read(max_records)
        except TimeoutError:
            if self._next.get(0) and len(self._next) == 1 and not (self._paused or self._sends):
                return ()
        return await super().read(max_records)
