"""A source over a directory of Parquet files: each row is a record."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    Assignment,
    Capability,
    ISource,
    Positions,
    Record,
    Scope,
    SourceError,
)

from slip_example.catalogue import Catalogue
from slip_example.files import file_name
from slip_example.options import ParquetSourceOptions
from slip_example.rows import Rows


class ParquetSource(ISource):
    """The rows of a directory's files, in one partition, file after file in the order of names.

    It keeps no positions of its own (no COMMIT): the app's checkpoint store does. A record's value
    is the row as a dict, its offset the row's number over all files.
    """

    capabilities = frozenset({Capability.SEEK})

    def __init__(self, name: str, options: ParquetSourceOptions, scope: Scope) -> None:
        self.name = name
        self._options = options
        directory = Path(os.path.abspath(options.path))
        kept = Path(os.path.abspath(scope.state_dir)) / "parquet" / f"{file_name(name)}.json"
        self._rows = Rows(name, options, Catalogue(directory, kept))
        self._directory = directory
        self._is_open = False
        self._is_paused = False
        # The offset to hand over next; None: not accepted yet.
        self._next: int | None = None
        self._held: Sequence[Record] = ()
        self._fetching: tuple[int, asyncio.Future[list[Record]]] | None = None
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<ParquetSource {self.name} in {self._directory}>"

    async def open(self) -> None:
        try:
            await asyncio.to_thread(self._rows.open)
        except BaseException:
            await asyncio.to_thread(self._rows.close)
            raise
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        self._next = None
        self._held = ()
        self._changed.set()
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            await asyncio.wait([fetching[1]])
            fetching[1].exception()
        await asyncio.to_thread(self._rows.close)

    async def read(self, max_records: int) -> Sequence[Record]:
        while self._is_open:
            if self._next is None or self._is_paused:
                await self._change()
            elif self._held and self._held[0].offset == self._next:
                records, self._held = self._held[:max_records], self._held[max_records:]
                self._next = records[-1].offset + 1
                return records
            elif not await self._fetch(self._next):
                if not self._options.follow:
                    return ()
                await self._change(self._options.poll_interval)
        return ()

    async def _fetch(self, offset: int) -> bool:
        """Hold what comes next; whether to look again at once."""
        if self._fetching is None:
            rows = asyncio.to_thread(self._rows.from_, offset)
            self._fetching = (offset, asyncio.ensure_future(rows))
        # A cancelled read leaves it going, and the next one takes it up.
        wanted, fetching = self._fetching
        await asyncio.wait([fetching])
        if self._fetching is None or fetching is not self._fetching[1]:
            return True
        self._fetching = None
        if self._next != wanted:  # somebody has sought meanwhile: what it gave is of no use
            fetching.exception()
            return True
        self._held = fetching.result()
        return bool(self._held) or self._is_paused

    async def _change(self, seconds: float | None = None) -> None:
        """Wait until something is set, or for so long."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def pause(self, partitions: frozenset[int]) -> None:
        if 0 in partitions:
            self._is_paused = True

    async def resume(self, partitions: frozenset[int]) -> None:
        if 0 in partitions:
            self._is_paused = False
            self._changed.set()

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        if self._next is None or offsets.keys() - {0}:
            assigned = [] if self._next is None else [0]
            raise SourceError(
                f"the source {self.name} can't seek in the partitions {sorted(offsets)}: "
                f"it has {assigned}"
            )
        if not offsets:
            return {}
        oldest, end = await asyncio.to_thread(self._rows.bounds)
        target = {READ_FROM_START: oldest, READ_FROM_END: end}.get(offsets[0], offsets[0])
        if not 0 <= target <= end:
            raise SourceError(
                f"the source {self.name} can't seek to offset {target}: it has 0 to {end}"
            )
        self._next = target
        self._changed.set()
        return {0: target - 1}

    async def lag(self) -> Mapping[int, int]:
        if self._next is None:
            return {}
        _, end = await asyncio.to_thread(self._rows.bounds)
        return {0: end - self._next}

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        if 0 not in assignment.added:
            return
        position = positions.get(0, assignment.added[0])
        if position is None or position < 0:
            self._next, _ = await asyncio.to_thread(self._rows.bounds)
        else:
            self._next = position + 1
        self._changed.set()
