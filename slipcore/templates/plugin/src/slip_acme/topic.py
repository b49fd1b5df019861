"""A topic of acme: a log to read from and to send to.

The docstrings of `slipcore.interfaces` say what each method promises, and the tests hold it to
them. Replace what it does piece by piece and keep the tests green.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final

from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    Assignment,
    Capability,
    ITopic,
    Out,
    Positions,
    Record,
    Scope,
    SinkError,
    SourceError,
)

from slip_acme.options import AcmeTopicOptions
from slip_acme.server import Log, Server

MAX_PENDING: Final = 10_000
"""Outputs that may wait for a flush before `send` asks to be awaited."""


class AcmeTopic(ITopic):
    """A topic of acme, in memory until you replace `Server`.

    It keeps positions for groups and can be read again from anywhere. It does not share its
    partitions between the members of a group (Capability.PARTITIONS): whoever reads, reads all.
    """

    capabilities = frozenset({Capability.COMMIT, Capability.SEEK})

    def __init__(self, name: str, options: AcmeTopicOptions, scope: Scope) -> None:
        self.name = name
        self._options = options
        self._server: Server = scope.shared("acme", Server)
        self._place = (options.group_id or scope.app, name)
        self._log: Log | None = None
        self._epoch = 0
        self._pending: list[Out] = []
        # Partition -> offset to read next. Its order is whose turn it is.
        self._next: dict[int, int] = {}
        self._paused: frozenset[int] = frozenset()
        self._wake = asyncio.Event()

    def __repr__(self) -> str:
        return f"<AcmeTopic {self.name}>"

    async def open(self) -> None:
        # Connect here. Translate what the client raises into a ConnectError that names the address.
        self._log = self._server.log(self.name, self._options.partitions)
        self._log.readers.add(self._wake)

    async def close(self) -> None:
        if self._log is not None:
            self._log.readers.discard(self._wake)
        self._log = None
        self._pending.clear()
        self._next.clear()
        self._wake.set()

    # --- sent to ------------------------------------------------------------------------------

    def send(self, output: Out) -> Awaitable[None] | None:
        for part in (output.key, output.value):
            if part is not None and not isinstance(part, bytes):
                raise SinkError(
                    f"the topic {self.name} takes bytes, not {type(part).__name__}: encode it",
                    (output,),
                )
        count = len(self._opened().partitions)
        if output.partition is not None and not 0 <= output.partition < count:
            raise SinkError(
                f"the topic {self.name} has no partition {output.partition}: "
                f"it has 0 to {count - 1}",
                (output,),
            )
        self._pending.append(output)
        return self.flush() if len(self._pending) > MAX_PENDING else None

    async def flush(self) -> None:
        # With a server: send what is pending, wait for its acknowledgement, and raise a SinkError
        # with the outputs that have none. Then let go of them, and of all that came after them.
        outputs, self._pending = self._pending, []
        for output in outputs:
            self._opened().append(output)

    # --- read ---------------------------------------------------------------------------------

    async def read(self, max_records: int) -> Sequence[Record]:
        # Others get their turn although there may be something to read each time.
        await asyncio.sleep(0)
        while self._log is not None:
            # Nothing is awaited between taking records and handing them over: a cancelled read
            # loses none.
            if records := self._take(self._log, max_records):
                return records
            self._wake.clear()
            await self._wake.wait()
        return ()

    def _take(self, log: Log, max_records: int) -> list[Record]:
        taken: list[Record] = []
        for partition in [p for p in self._next if p not in self._paused]:
            records, start = log.partitions[partition], self._next[partition]
            if start > len(records):
                raise self._out_of_range(partition, start, len(records))
            some = records[start : start + max_records - len(taken)]
            taken += some
            del self._next[partition]
            self._next[partition] = start + len(some)
            if len(taken) == max_records:
                break
        return taken

    def _out_of_range(self, partition: int, offset: int, end: int) -> SourceError:
        return SourceError(
            f"the topic {self.name} can't go on at offset {offset} of partition {partition}: "
            f"it has 0 to {end}; move the position back"
        )

    async def commit(self, positions: Positions, epoch: int) -> None:
        if epoch < self._epoch:
            return
        committed = self._server.committed.setdefault(self._place, {})
        committed.update({p: offset for p, offset in positions.items() if p in self._next})

    async def pause(self, partitions: frozenset[int]) -> None:
        self._paused |= partitions

    async def resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions
        self._wake.set()

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        targets = {p: self._target(p, offset) for p, offset in offsets.items()}
        self._next.update(targets)
        self._wake.set()
        # A position is the last record that is finished: the one before.
        return {partition: offset - 1 for partition, offset in targets.items()}

    def _target(self, partition: int, offset: int) -> int:
        if partition not in self._next:
            raise SourceError(
                f"the topic {self.name} can't seek in partition {partition}: "
                f"it has {sorted(self._next)}"
            )
        end = len(self._opened().partitions[partition])
        if offset == READ_FROM_START:
            return 0
        if offset == READ_FROM_END:
            return end
        if not 0 <= offset <= end:
            raise self._out_of_range(partition, offset, end)
        return offset

    async def lag(self) -> Mapping[int, int]:
        if self._log is None:
            return {}
        partitions = self._log.partitions
        return {p: len(partitions[p]) - offset for p, offset in self._next.items()}

    # --- the group ----------------------------------------------------------------------------

    async def assignment(self) -> Assignment:
        # Who has all partitions for good is told so once. With Capability.PARTITIONS this waits
        # for what the server's group says next.
        log = self._opened()
        if self._epoch > 0:
            await asyncio.get_running_loop().create_future()
        self._epoch = 1
        committed = self._server.committed.get(self._place, {})
        count = len(log.partitions)
        added = {partition: committed.get(partition) for partition in range(count)}
        return Assignment(epoch=self._epoch, added=added, total=count)

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        log = self._opened()
        for partition, committed in assignment.added.items():
            position = positions.get(partition, committed)
            if position is None and self._options.auto_offset_reset == "latest":
                # The end that is found is the group's position from now on.
                position = len(log.partitions[partition]) - 1
                self._server.committed.setdefault(self._place, {})[partition] = position
            self._next[partition] = 0 if position is None else position + 1
        self._wake.set()

    def _opened(self) -> Log:
        if self._log is None:
            raise SourceError(f"the topic {self.name} is not open: open it before it is used")
        return self._log
