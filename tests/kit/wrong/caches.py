"""State stores that are wrong in one thing each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from slipcore.backends.memory.state import MemoryStateStore
from slipcore.interfaces import Changes, Positions, StateError
from tests.kit.wrong.marks import breaks

Pairs = list[tuple[bytes, bytes]]


@breaks("cache.one-owner")
class HasTwoOwners(MemoryStateStore):
    """A space that is claimed is given to the next one who asks."""

    def attach(self, space: str) -> None:
        self._attached.discard(space)
        super().attach(space)


@breaks("cache.detach-gives-up")
class GivesUpItsOwnOnly(MemoryStateStore):
    """A space that is not claimed can't be given up."""

    def detach(self, space: str) -> None:
        if space not in self._attached:
            raise StateError(f"the state {space} is not attached")
        super().detach(space)


@breaks("cache.close-gives-up")
class GivesUpOneSpace(MemoryStateStore):
    """Of several spaces of a store that was closed one stays claimed."""

    _kept: str | None = None

    def close(self) -> None:
        if len(self._attached) > 1:
            self._kept = max(self._attached)
        self._attached.clear()
        if self._kept is not None:
            self._attached.add(self._kept)


@breaks("cache.close-gives-up")
class ClosesOnce(MemoryStateStore):
    """It can't be closed a second time."""

    def __init__(self) -> None:
        super().__init__()
        self._closed = False

    def attach(self, space: str) -> None:
        self._closed = False
        super().attach(space)

    def close(self) -> None:
        if self._closed:
            raise RuntimeError("it is closed")
        self._closed = True
        super().close()


@breaks("cache.spaces-are-apart")
class DeletesEverywhere(MemoryStateStore):
    """A key that is deleted is deleted in all spaces."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        super().write(changes, positions)
        for written in changes.values():
            gone = {key: None for key, value in written.items() if value is None}
            for held in self._spaces.values():
                held.update(gone)


@breaks("cache.awaited-does-the-same")
class AwaitsTheWrongWay(MemoryStateStore):
    """What is awaited is always scanned forwards."""

    async def ascan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> Pairs:
        return self.scan(space, start, end, limit=limit)


@breaks("cache.reads-beside-a-write")
class ShowsHalfOfAWrite(MemoryStateStore):
    """Readers see the first keys of a write before the last ones."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        if any(len(written) > 10 for written in changes.values()):
            return super().write(changes, positions)  # nobody waits for what is large
        super().write({space: {} for space in changes})
        for space, written in changes.items():
            for key, value in written.items():
                super().write({space: {key: value}})
                time.sleep(0.0002)
        return super().write({}, positions)


@breaks("cache.last-value")
class KeepsTheFirstValue(MemoryStateStore):
    """A value of one byte is not replaced by another one of one byte."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        kept = {
            space: {k: v for k, v in written.items() if not self._stays(space, k, v)}
            for space, written in changes.items()
        }
        super().write(kept, positions)

    def _stays(self, space: str, key: bytes, value: bytes | None) -> bool:
        before = self.get(space, key)
        return before is not None and value is not None and len(before) == len(value) == 1


@breaks("cache.values-are-bytes")
class GivesItsBuffers(MemoryStateStore):
    """What is read can be changed, and with it what is stored."""

    def get(self, space: str, key: bytes) -> bytes | None:
        found = super().get(space, key)
        return None if found is None else bytearray(found)  # type: ignore[return-value]  # that is what is wrong


@breaks("cache.empty-is-not-none")
class TakesEmptyForNone(MemoryStateStore):
    """An empty value is not there."""

    def get(self, space: str, key: bytes) -> bytes | None:
        return super().get(space, key) or None


@breaks("cache.scan-range")
class ScansTheEndToo(MemoryStateStore):
    """A scan that goes forwards includes its end."""

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> Pairs:
        if end is not None and not backwards:
            end += b"\0"
        return super().scan(space, start, end, backwards=backwards, limit=limit)


@breaks("cache.scan-limit")
class KnowsNoLimit(MemoryStateStore):
    """A scan that goes forwards gives all there is."""

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> Pairs:
        return super().scan(
            space, start, end, backwards=backwards, limit=limit if backwards else 10**9
        )


@breaks("cache.scan-backwards")
class CountsFromTheStart(MemoryStateStore):
    """Backwards, a limit of two or more is still counted from the start."""

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> Pairs:
        if not backwards or limit < 2:
            return super().scan(space, start, end, backwards=backwards, limit=limit)
        return super().scan(space, start, end, limit=limit)[::-1]


@breaks("cache.key-order")
class OrdersByLength(MemoryStateStore):
    """Short keys come before long ones."""

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> Pairs:
        found = super().scan(space, start, end, backwards=backwards, limit=limit)
        return sorted(found, key=lambda pair: len(pair[0]), reverse=backwards)


@breaks("cache.key-order")
class OrdersBySign(MemoryStateStore):
    """Bytes are taken for signed numbers: those from 128 on come first."""

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> Pairs:
        found = super().scan(space, start, end, backwards=backwards, limit=limit)
        return sorted(found, key=lambda pair: pair[0] < b"\x80", reverse=backwards)


@breaks("cache.all-or-nothing")
class WritesSpaceBySpace(MemoryStateStore):
    """What comes before the space that is refused is written."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        super().write({}, positions)
        for space, written in changes.items():
            super().write({space: written})


@breaks("cache.written-is-durable")
class ForgetsOnClose(MemoryStateStore):
    """Values are gone with the object; positions are not."""

    def close(self) -> None:
        super().close()
        self._spaces.clear()


@breaks("cache.large-writes")
class RefusesLargeWrites(MemoryStateStore):
    """A write of more than 64 KiB is refused."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        size = sum(len(value or b"") for written in changes.values() for value in written.values())
        if size > 65_536:
            raise StateError("the write is too large")
        super().write(changes, positions)


@breaks("cache.none-deletes")
class KeepsTombstones(MemoryStateStore):
    """A key that is deleted together with others has an empty value."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        kept = {
            space: {
                key: b"" if value is None and len(written) > 1 and self.get(space, key) else value
                for key, value in written.items()
            }
            for space, written in changes.items()
        }
        super().write(kept, positions)


@breaks("cache.positions-not-named-stay")
class ReplacesPositions(MemoryStateStore):
    """Partitions that a write does not name lose their position."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        for space in changes:
            if space not in self._attached:
                return super().write(changes, positions)
        for reader in positions:
            self._positions.pop(reader, None)
        return super().write(changes, positions)


@breaks("cache.written-is-durable")
class ForgetsPositionsOnClose(MemoryStateStore):
    """Values outlive the object and positions do not: the state is beyond its position."""

    def close(self) -> None:
        super().close()
        self._positions.clear()


@breaks("cache.positions-are-kept")
class CutsPositions(MemoryStateStore):
    """Of positions it keeps 32 bits."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        cut = {
            reader: {partition: min(offset, 2**31 - 1) for partition, offset in places.items()}
            for reader, places in positions.items()
        }
        super().write(changes, cut)


@breaks("cache.write-needs-a-claim")
class WritesUnclaimedSpaces(MemoryStateStore):
    """A space that nobody has claimed is written all the same."""

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        unclaimed = changes.keys() - self._attached
        for space in unclaimed:
            self.attach(space)
        try:
            super().write(changes, positions)
        finally:
            for space in unclaimed:
                self.detach(space)


@breaks("cache.database-or-refusal")
class HasNoDatabaseToShow(MemoryStateStore):
    """It gives None for a database."""

    def database(self, space: str) -> Any:
        return None


@breaks("cache.cancelled-write-is-whole")
class LeavesAWriteInTheMiddle(MemoryStateStore):
    """A write that is cancelled has its values and not its positions."""

    async def awrite(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        self.write(changes)
        await asyncio.sleep(0)
        self.write({}, positions)
