"""Topics in a SQLite file: the contract of a topic without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from slipcore.backends.sqlite.threads import in_thread
from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    Assignment,
    Capability,
    ITopic,
    Out,
    Positions,
    Probed,
    Record,
    Scope,
    Seconds,
    SinkError,
    SourceError,
    TopicOptions,
)

if TYPE_CHECKING:
    from slipcore.backends.sqlite.file import SlipFile
    from slipcore.backends.sqlite.groups import Member
    from slipcore.backends.sqlite.log import Log
    from slipcore.backends.sqlite.outbox import Outbox

MAX_PENDING: Final = 10_000
"""Outputs that may wait for a flush before `send` asks to be awaited."""

REBALANCE_SECONDS: Final = 0.25
"""How often a member looks whether others have come or gone."""

_BYTES: Final = (bytes, type(None))


class SqliteTopicOptions(TopicOptions, kw_only=True, forbid_unknown_fields=True):
    """The settings of a topic in a SQLite file."""

    partitions: int | None = None
    """How many partitions the topic is created with; None: 1, or what it has."""
    path: str | None = None
    """The database file, from the working directory; None: `slip.db` among the app's state."""
    session_timeout: Seconds = 10.0
    """Seconds without a sign of life after which a stopped member's partitions go to others."""
    poll_interval: Seconds = 0.05
    """Seconds between two looks whether another process has written."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.partitions is not None and self.partitions < 1:
            raise ValueError(f"partitions is at least 1, not {self.partitions}")
        for name in ("session_timeout", "poll_interval"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is more than 0 seconds, not {getattr(self, name)}")

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slipcore.backends.sqlite.probing import probe

        return probe(self.path, names, scope, timeout)


class SqliteTopic(ITopic):
    """A log in a SQLite file, shared by the processes that open it.

    Each flush is one transaction and one fsync. What is written in this process is read at once,
    what is written in another one after `poll_interval` at the latest.
    """

    capabilities = frozenset({Capability.COMMIT, Capability.SEEK, Capability.PARTITIONS})

    def __init__(self, name: str, options: SqliteTopicOptions, scope: Scope) -> None:
        self.name = name
        self._options = options
        self._scope = scope
        self._file: SlipFile | None = None
        self._log: Log | None = None
        self._outbox: Outbox | None = None
        self._member: Member | None = None
        self._next: dict[int, int] = {}
        self._misplaced: dict[int, int] = {}
        self._paused: frozenset[int] = frozenset()
        self._readable: list[int] = []
        self._turn = 0
        self._written = asyncio.Event()
        self._moved = asyncio.Event()

    def __repr__(self) -> str:
        return f"<SqliteTopic {self.name}>"

    async def open(self) -> None:
        from slipcore.backends.sqlite.file import slip_file

        self._written = asyncio.Event()
        self._moved = asyncio.Event()
        file = slip_file(self._scope, self._options.path)
        try:
            log = await in_thread(self._open, file)
        except BaseException:
            await self.close()
            raise
        file.bells.listen(log.subject, self._written)

    def _open(self, file: SlipFile) -> Log:
        from slipcore.backends.sqlite.log import Log
        from slipcore.backends.sqlite.outbox import Outbox

        file.acquire()
        self._file = file
        self._log = Log(file, self.name, self._options.partitions)
        self._outbox = Outbox(self.name, self._log.append)
        return self._log

    async def close(self) -> None:
        file, log, outbox, member = self._file, self._log, self._outbox, self._member
        self._file = self._log = self._outbox = self._member = None
        if file is None:
            return
        self._next.clear()
        self._misplaced.clear()
        self._paused = frozenset()
        self._refresh()
        self._moved.set()
        if log is not None:
            file.bells.forget(log.subject, self._written)
        if member is not None:
            file.bells.forget(member.subject, self._moved)
        try:
            if outbox is not None:
                await outbox.close()
        finally:
            await in_thread(_let_go, file, log, member)

    # --- sent to ----------------------------------------------------------------------------

    def send(self, output: Out) -> Awaitable[None] | None:
        outbox = self._outbox
        if outbox is None:
            raise SinkError(str(self._closed()), (output,))
        if not (isinstance(output.value, _BYTES) and isinstance(output.key, _BYTES)):
            raise SinkError(
                f"the topic {self.name} takes a key and a value of bytes or None, not "
                f"{type(output.key).__name__} and {type(output.value).__name__}: encode them",
                (output,),
            )
        if output.partition is not None:
            self._check_partition(output, output.partition)
        outbox.add(output)
        return outbox.flush() if len(outbox.pending) > MAX_PENDING else None

    def _check_partition(self, output: Out, partition: int) -> None:
        count = self._opened().partitions
        if not 0 <= partition < count:
            raise SinkError(
                f"the topic {self.name} has no partition {partition}: it has 0 to {count - 1}",
                (output,),
            )

    async def flush(self) -> None:
        if self._outbox is not None:
            await self._outbox.flush()

    # --- read -------------------------------------------------------------------------------

    async def read(self, max_records: int) -> Sequence[Record]:
        # Others get their turn although there may be something to read each time.
        await asyncio.sleep(0)
        while self._log is not None:
            self._written.clear()
            version = self._log.version()
            records = self._take(self._log, max_records)
            if records:
                return records
            await self._news(version)
        return ()

    async def _news(self, version: int) -> None:
        """Wait until there may be something new to read."""
        if not self._readable:
            await self._written.wait()
        while not self._written.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.poll_interval):
                    await self._written.wait()
            if self._log is None or self._log.version() != version:
                return

    def _take(self, log: Log, max_records: int) -> list[Record]:
        """What is there, from one partition after the other, another one first each time."""
        for partition, offset in self._misplaced.items():
            raise self._out_of_range(partition, offset, log.ends()[partition])
        readable = self._readable
        taken: list[Record] = []
        for _ in range(len(readable)):
            self._turn = (self._turn + 1) % len(readable)
            partition = readable[self._turn]
            records = log.take(partition, self._next[partition], max_records - len(taken))
            if not records:
                continue
            self._next[partition] = records[-1].offset + 1
            if taken:
                taken += records
            else:
                taken = records
            if len(taken) >= max_records:
                break
        return taken

    def _out_of_range(self, partition: int, offset: int, end: int) -> SourceError:
        return SourceError(
            f"the topic {self.name} can't go on at offset {offset} of partition {partition}: "
            f"it has 0 to {end}; move the position there"
        )

    async def commit(self, positions: Positions, epoch: int) -> None:
        if self._member is not None:
            await in_thread(self._member.commit, positions, epoch)

    async def pause(self, partitions: frozenset[int]) -> None:
        self._paused |= partitions
        self._refresh()

    async def resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions
        self._refresh()

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        ends = self._opened().ends()
        targets = {
            partition: self._target(partition, offset, ends)
            for partition, offset in offsets.items()
        }
        self._place(targets, ends)
        self._refresh()
        return {partition: offset - 1 for partition, offset in targets.items()}

    def _target(self, partition: int, offset: int, ends: Mapping[int, int]) -> int:
        if partition not in self._next:
            raise SourceError(
                f"the topic {self.name} can't seek in partition {partition}: "
                f"it is not assigned to this member, which has {sorted(self._next)}"
            )
        if offset == READ_FROM_START:
            return 0
        if offset == READ_FROM_END:
            return ends[partition]
        if not 0 <= offset <= ends[partition]:
            raise self._out_of_range(partition, offset, ends[partition])
        return offset

    async def lag(self) -> Mapping[int, int]:
        if self._log is None:
            return {}
        ends = self._log.ends()
        return {partition: ends[partition] - offset for partition, offset in self._next.items()}

    async def ends(self) -> Mapping[int, int]:
        """Assigned partition -> the offset that its next record will have."""
        if self._log is None:
            return {}
        ends = self._log.ends()
        return {partition: ends[partition] for partition in self._next}

    # --- the group --------------------------------------------------------------------------

    async def forget_group(self) -> None:
        """Leave the consumer group and delete it; nobody else may be in it."""
        if self._member is not None:
            await in_thread(self._member.dissolve)

    async def assignment(self) -> Assignment:
        member = self._member or self._new_member()
        while self._member is member:
            self._moved.clear()
            change = await in_thread(member.change)
            if change is not None:
                if change.lost:
                    self._drop(change.removed)
                return change
            with suppress(TimeoutError):
                async with asyncio.timeout(REBALANCE_SECONDS):
                    await self._moved.wait()
        raise self._closed()

    def _new_member(self) -> Member:
        from slipcore.backends.sqlite.groups import Member

        log = self._opened()
        assert self._file is not None
        self._member = Member(
            self._file,
            self._options.group_id or self._scope.app,
            (self.name, log.id, log.partitions),
            self._options.group_instance_id,
            self._options.session_timeout,
        )
        self._file.bells.listen(self._member.subject, self._moved)
        return self._member

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        member = self._member
        if member is None or not member.awaits(assignment):
            return
        self._drop(assignment.removed)
        found = self._ends_of_new(assignment, positions)
        if found:  # what arrives from now on and is not finished is to come again
            await in_thread(member.commit, found, assignment.epoch)
            positions = {**positions, **found}
        try:
            await in_thread(member.accept, assignment)
        finally:  # a cancelled call has accepted all the same
            if self._member is member and not member.awaits(assignment):
                self._place_added(assignment, positions)
                self._refresh()

    def _ends_of_new(self, assignment: Assignment, positions: Positions) -> Positions:
        """Where partitions start that have no position and are to be read from their end."""
        if self._options.auto_offset_reset != "latest":
            return {}
        ends = self._opened().ends()
        return {
            partition: ends[partition] - 1
            for partition, committed in assignment.added.items()
            if committed is None and partition not in positions
        }

    def _place_added(self, assignment: Assignment, positions: Positions) -> None:
        if not assignment.added:
            return
        ends = self._opened().ends()
        starts: dict[int, int] = {}
        for partition, committed in assignment.added.items():
            position = positions.get(partition, committed)
            starts[partition] = 0 if position is None else position + 1
        self._place(starts, ends)

    def _place(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> None:
        for partition, start in starts.items():
            self._next[partition] = start
            self._misplaced.pop(partition, None)
            if not 0 <= start <= ends[partition]:
                self._misplaced[partition] = start

    def _drop(self, partitions: frozenset[int]) -> None:
        for partition in partitions:
            self._next.pop(partition, None)
            self._misplaced.pop(partition, None)
        self._refresh()

    def _refresh(self) -> None:
        self._readable = sorted(self._next.keys() - self._paused)
        self._written.set()

    def _opened(self) -> Log:
        if self._log is None:
            raise self._closed()
        return self._log

    def _closed(self) -> SourceError:
        return SourceError(f"the topic {self.name} is not open: open it before it is used")


def _let_go(file: SlipFile, log: Log | None, member: Member | None) -> None:
    if member is not None:
        member.leave()
    if log is not None:
        log.close()
    file.release()
