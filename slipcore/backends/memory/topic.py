"""Topics in memory: the contract of a topic without a server or a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import ClassVar, Final

from slipcore.backends.memory.broker import Broker, Group, Log, Member
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
    TopicOptions,
)

MAX_PENDING: Final = 10_000
"""Outputs that may wait for a flush before `send` asks to be awaited."""

_BYTES: Final = (bytes, type(None))


class MemoryTopicOptions(TopicOptions, kw_only=True, forbid_unknown_fields=True):
    """The settings of a topic in memory."""

    outlives_process: ClassVar[bool] = False
    partitions: int | None = None
    """How many partitions the topic is created with; None: 1, or what it has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.partitions is not None and self.partitions < 1:
            raise ValueError(f"partitions is at least 1, not {self.partitions}")


class MemoryTopic(ITopic):
    """A log in memory, shared by the topics of that name within an app.

    What is sent is visible to readers with the flush, at once.
    """

    capabilities = frozenset({Capability.COMMIT, Capability.SEEK, Capability.PARTITIONS})

    def __init__(self, name: str, options: MemoryTopicOptions, scope: Scope) -> None:
        self.name = name
        self._options = options
        self._group_id = options.group_id or scope.app
        self._broker: Broker = scope.shared("memory", Broker)
        self._log: Log | None = None
        self._group: Group | None = None
        self._member = Member(options.group_instance_id)
        self._pending: list[Out] = []
        self._next: dict[int, int] = {}
        self._paused: frozenset[int] = frozenset()
        self._readable: list[int] = []
        self._turn = 0
        self._wake = asyncio.Event()

    def __repr__(self) -> str:
        return f"<MemoryTopic {self.name}>"

    async def open(self) -> None:
        self._log = self._broker.log(self.name, self._options.partitions)
        self._log.readers.add(self._wake)

    async def close(self) -> None:
        if self._log is None:
            return
        self._log.readers.discard(self._wake)
        self._log = None
        if self._group is not None:
            self._group.leave(self._member)
            self._group = None
        self._pending.clear()
        self._next.clear()
        self._readable.clear()
        self._member.changed.set()
        self._wake.set()

    # --- sent to ----------------------------------------------------------------------------

    def send(self, output: Out) -> Awaitable[None] | None:
        if not (isinstance(output.value, _BYTES) and isinstance(output.key, _BYTES)):
            raise SinkError(
                f"the topic {self.name} takes a key and a value of bytes or None, not "
                f"{type(output.key).__name__} and {type(output.value).__name__}: encode them",
                (output,),
            )
        if output.partition is not None:
            self._check_partition(output)
        pending = self._pending
        pending.append(output)
        return self.flush() if len(pending) > MAX_PENDING else None

    def _check_partition(self, output: Out) -> None:
        count = len(self._opened().partitions)
        if not 0 <= output.partition < count:  # type: ignore[operator]  # the caller has looked
            raise SinkError(
                f"the topic {self.name} has no partition {output.partition}: "
                f"it has 0 to {count - 1}",
                (output,),
            )

    async def flush(self) -> None:
        if self._pending:
            outputs, self._pending = self._pending, []
            self._opened().append(outputs)

    # --- read -------------------------------------------------------------------------------

    async def read(self, max_records: int) -> Sequence[Record]:
        # Others get their turn although there may be something to read each time.
        await asyncio.sleep(0)
        while self._log is not None:
            records = self._take(self._log, max_records)
            if records:
                return records
            self._wake.clear()
            await self._wake.wait()
        return ()

    def _take(self, log: Log, max_records: int) -> list[Record]:
        """What is there, from one partition after the other, another one first each time."""
        readable = self._readable
        taken: list[Record] = []
        for _ in range(len(readable)):
            self._turn = (self._turn + 1) % len(readable)
            partition = readable[self._turn]
            records = log.partitions[partition]
            start = self._next[partition]
            if start >= len(records):
                if start > len(records):
                    raise self._out_of_range(partition, start, len(records))
                continue
            some = records[start : start + max_records - len(taken)]
            self._next[partition] = start + len(some)
            if taken:
                taken += some
            else:
                taken = some
            if len(taken) >= max_records:
                break
        return taken

    def _out_of_range(self, partition: int, offset: int, end: int) -> SourceError:
        return SourceError(
            f"the topic {self.name} can't go on at offset {offset} of partition {partition}: "
            f"it has 0 to {end}; a topic in memory starts empty with its app, "
            f"so move the position back, or use a backend that keeps its records"
        )

    async def commit(self, positions: Positions, epoch: int) -> None:
        if self._group is not None:
            self._group.commit(self._member, positions, epoch)

    async def pause(self, partitions: frozenset[int]) -> None:
        self._paused |= partitions
        self._refresh()

    async def resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions
        self._refresh()

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        targets = {
            partition: self._target(partition, offset) for partition, offset in offsets.items()
        }
        self._next.update(targets)
        self._wake.set()
        return {partition: offset - 1 for partition, offset in targets.items()}

    def _target(self, partition: int, offset: int) -> int:
        if partition not in self._next:
            raise SourceError(
                f"the topic {self.name} can't seek in partition {partition}: "
                f"it is not assigned to this member, which has {sorted(self._next)}"
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

    async def ends(self) -> Mapping[int, int]:
        """Assigned partition -> the offset that its next record will have."""
        return {} if self._log is None else {p: len(self._log.partitions[p]) for p in self._next}

    # --- the group --------------------------------------------------------------------------

    async def assignment(self) -> Assignment:
        if self._group is None:
            group = self._broker.group(self._group_id, self._opened())
            group.join(self._member)
            self._group = group
        while self._group is not None:
            change = self._group.change(self._member)
            if change is not None:
                return change
            self._member.changed.clear()
            await self._member.changed.wait()
        raise self._closed()

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        if self._group is None or not self._group.accept(self._member, assignment):
            return
        for partition in assignment.removed:
            self._next.pop(partition, None)
        for partition, committed in assignment.added.items():
            position = positions.get(partition, committed)
            if position is None and self._options.auto_offset_reset == "latest":
                position = len(self._opened().partitions[partition]) - 1
                # What arrives from now on and is not finished is to come again.
                self._group.commit(self._member, {partition: position}, assignment.epoch)
            self._next[partition] = 0 if position is None else position + 1
        self._refresh()

    def _refresh(self) -> None:
        self._readable = sorted(self._next.keys() - self._paused)
        self._wake.set()

    def _opened(self) -> Log:
        if self._log is None:
            raise self._closed()
        return self._log

    def _closed(self) -> SourceError:
        return SourceError(f"the topic {self.name} is not open: open it before it is used")
