"""The contracts between slipcore and everything outside a handler.

A plugin implements what it brings (`ISource`, `ISink`, `ITopic`, `IStateStore`, `ICodec`,
`ICheckpointStore`) and imports nothing of slipcore but this module and `slipcore.hookimpl`. The
docstrings are the contract; the suites in `slipcore.testing` hold a backend to them: what ends with
an id in brackets is held to by the tests that bear the id.

Unless a docstring says otherwise, methods are called from the event loop's thread, one call of a
method at a time per object, and may be cancelled at any await: a cancelled call leaves the object
usable and loses nothing that it was handed.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from slipcore.clock import now_ms
from slipcore.coding import ICodec, ITopicCodec, Part
from slipcore.errors import (
    BackendConflictError,
    CodecError,
    ConfigError,
    ConnectError,
    DeadlineError,
    DeadlockError,
    DecodeError,
    EncodeError,
    FencedError,
    MissingDependencyError,
    PluginError,
    PluginLoadError,
    SinkError,
    SlipError,
    SourceError,
    StateError,
    StateFormatError,
    StateInUseError,
    UnknownBackendError,
    UnpreparedError,
)
from slipcore.keyed import DONE as DONE
from slipcore.keyed import ICache, SourceSinkMeta
from slipcore.options import (
    ByteCount,
    Milliseconds,
    Probed,
    Probing,
    Seconds,
    StateOptions,
    TopicOptions,
)
from slipcore.partitioning import partition_for
from slipcore.records import (
    READ_FROM_END,
    READ_FROM_START,
    Assignment,
    Changes,
    Headers,
    Key,
    Out,
    Positions,
    Record,
    Secret,
)

__all__ = [
    "READ_FROM_END",
    "READ_FROM_START",
    "Assignment",
    "BackendConflictError",
    "ByteCount",
    "Capability",
    "Changes",
    "CodecError",
    "ConfigError",
    "ConnectError",
    "DeadlineError",
    "DeadlockError",
    "DecodeError",
    "EncodeError",
    "FencedError",
    "Headers",
    "ICache",
    "ICheckpointStore",
    "ICodec",
    "ISink",
    "ISource",
    "IStateStore",
    "ITopic",
    "ITopicCodec",
    "Key",
    "Milliseconds",
    "MissingDependencyError",
    "Out",
    "Part",
    "PluginError",
    "PluginLoadError",
    "Positions",
    "Probed",
    "Probing",
    "Record",
    "Scope",
    "Seconds",
    "Secret",
    "SinkError",
    "SlipError",
    "SourceError",
    "SourceSinkMeta",
    "StateError",
    "StateFormatError",
    "StateInUseError",
    "StateOptions",
    "TopicOptions",
    "UnknownBackendError",
    "UnpreparedError",
    "now_ms",
    "partition_for",
]

T = TypeVar("T")


class Capability(Enum):
    """What a source can do beyond being read."""

    COMMIT = "commit"
    """It keeps positions for a consumer group; `commit` stores them."""
    SEEK = "seek"
    """It can be read again from any offset it still holds; without it, what is lost is lost."""
    PARTITIONS = "partitions"
    """It shares its partitions with the other members of its group."""
    TRANSACTIONS = "transactions"
    """Its positions can be part of a transaction of its domain."""


class Scope(Protocol):
    """What a factory is told of the app that asks for a backend."""

    app: str
    """The app's name: the default consumer group."""
    state_dir: Path
    """Where embedded state lives; made by whoever writes there first, for the owner only."""

    def shared(self, key: object, make: Callable[[], T]) -> T:
        """The object that this app's backends share under `key`, made by the first that asks.

        What has a method `close()` is closed when the app closes, in reverse order.
        """
        ...


class _Openable(ABC):
    async def open(self) -> None:
        """Connect. Called once before anything else.

        Raises:
            ConnectError: what can't be reached, by name and address, and what to do.
        """

    async def close(self) -> None:
        """Let go of everything; what was not flushed or committed is dropped.

        It never hangs, whatever is under way, and may be called twice, and where `open` was not
        called or has failed. [source.close-is-harmless] [sink.close-is-harmless]
        """

    async def __aenter__(self) -> Any:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class ISource(_Openable):
    """Records in partitions, each partition in order.

    `capabilities` says what it can do, and it can do that. [source.capabilities-are-true]
    """

    capabilities: frozenset[Capability] = frozenset()

    @abstractmethod
    async def read(self, max_records: int) -> Sequence[Record]:
        """Wait for records and hand over what is there.

        There are `max_records` at the most. [source.read-is-bounded] Those of a partition come in
        order, each once, with offsets that grow. [source.order] No partition waits until another
        one is read to its end. [source.no-starving] Before `accept` nothing is delivered.
        [source.nothing-before-accept] A read that waits gives what arrives meanwhile,
        [source.waiting-read-wakes] and an empty sequence only says that the source has ended.
        [source.empty-is-the-end] A cancelled read loses no record: it comes with the next one.
        [source.cancelled-read-loses-nothing]

        Raises:
            SourceError: the source failed, or a position is out of its range, for it never jumps
                to another place by itself. [source.out-of-range-is-an-error]
        """

    async def commit(self, positions: Positions, epoch: int) -> None:
        """Store the positions for the group (needs COMMIT).

        When it has returned, the group's next member goes on after them.
        [source.commit-is-durable] Nothing but a commit moves a group.
        [source.only-commits-move-a-group]
        Other groups, and partitions that are not named, keep theirs.
        [source.commit-touches-nothing-else] Partitions that were assigned after `epoch`, or are
        not assigned any more, are ignored. [source.commit-of-a-dead-epoch]

        Raises:
            ConnectError: the server does not answer in time; the engine commits again later.
            SourceError: they are not stored, and will not be.
        """

    async def pause(self, partitions: frozenset[int]) -> None:
        """Deliver nothing of these partitions until `resume`.

        A read that waits already delivers nothing of them either. [source.pause-holds] Nothing is
        dropped, and the others go on. [source.pause-loses-nothing]
        """

    async def resume(self, partitions: frozenset[int]) -> None:
        """Undo `pause`, for a read that waits too. [source.resume-goes-on]"""

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        """Go on at these offsets (needs SEEK).

        The next record is the first at or after it, also for a read that waits.
        [source.seek-moves] `READ_FROM_START` and `READ_FROM_END` are offsets too.
        [source.seek-to-the-ends]

        Returns:
            the position, as `commit` takes it, that means "all before this offset is finished".
            [source.seek-tells-the-position]

        Raises:
            SourceError: it can't seek, or a partition is not assigned. [source.seek-is-refused]
        """
        raise SourceError(f"{self!r} can't seek: it does not keep what it handed over")

    async def lag(self) -> Mapping[int, int]:
        """Assigned partition -> how many records are still to be read; {} where not known.

        What is known is right while nothing is under way. [source.lag-counts]
        """
        return {}

    async def assignment(self) -> Assignment:
        """Wait for the next change of assignment.

        The first call joins the group, and nothing else does. [source.assignment-joins] The
        partitions are shared by the members, whether or not they read, and again when one leaves.
        [source.members-share] A member that gets none is told so by an assignment that adds none.
        [source.no-partition-is-told] The engine calls `accept` before it asks for the next one; a
        source that is only sent to is never asked.
        """
        if getattr(self, "_assigned", False):
            try:
                await asyncio.get_running_loop().create_future()
            finally:  # the run is over: the next one joins again
                self._assigned = False
        self._assigned = True
        return Assignment(epoch=1, added={0: None}, total=1)

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        """The engine is ready: added partitions may deliver, removed ones may go to others.

        Until then what is to be removed has no other reader, and can be committed.
        [source.handover-waits]

        Args:
            assignment: the change that `assignment` gave.
            positions: where added partitions start, after the last finished offset, wherever the
                group stands. [source.given-position-wins] With neither, a partition starts with
                the oldest record unless told otherwise. [source.starts-with-the-oldest]
        """


class ISink(_Openable):
    """Takes outputs, and keeps them in order. [sink.order]"""

    @abstractmethod
    def send(self, output: Out) -> Awaitable[None] | None:
        """Hand an output over without waiting until it is durable.

        It arrives as it is, once. [sink.what-is-sent-arrives]

        Returns:
            None; or, where too much is on the way, an awaitable that ends when there is room,
            without a flush. [sink.room-comes] It may raise what `flush` would have raised.

        Raises:
            SinkError: it can't be taken (too large, no such partition); nothing was handed over.
                [sink.what-is-refused-is-not-taken]
        """

    async def flush(self) -> None:
        """Return when all that was handed over before the call is durable.

        What is durable outlives the object. [sink.flushed-is-durable] Several flushes may be
        under way at once; each answers for what came before its call.
        [sink.each-flush-answers] One that is cancelled loses nothing.
        [sink.cancelled-flush-loses-nothing]

        Raises:
            SinkError: with the outputs that are not durable, in order.
                [sink.failed-flush-tells-its-outputs] The sink has let go of them and of all that
                was handed over after them; what is sent again comes once, in order.
                [sink.failed-flush-lets-go]
        """

    async def __call__(self, key: Any, value: Any) -> None:
        """Send one pair and wait until it is durable. [sink.a-call-is-durable]"""
        waiting = self.send(Out(value, key))
        if waiting is not None:
            await waiting
        await self.flush()


class ITopic(ISource, ISink):
    """A named log that is both; one factory, registered under one name with both hooks.

    Keys and values of what it reads and is sent are bytes or None, which are not the same as
    empty ones. [topic.empty-is-not-none] Headers arrive, in order. [topic.headers] So does the
    timestamp; without one it is that of the writing. [topic.timestamp] An output goes to the
    partition that it names, else, so that data may move between backends, to
    `partition_for(key, n)`. [topic.partition] Topics of other names share nothing.
    [topic.topics-are-apart] Where a group without a position starts is said by
    `auto_offset_reset`. [topic.reset] An end where it starts is kept as its position before
    anything is delivered (needs COMMIT), so that it begins there once. [topic.latest-is-kept]
    """

    def send_parts(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp: int | None = None,
        partition: int | None = None,
    ) -> Awaitable[None] | None:
        """Do what `send` does with the `Out` of these, for who has none. [topic.parts]"""
        return self.send(Out(value, key, headers, timestamp, partition))


class IStateStore(ABC):
    """Keyed bytes in named spaces, and positions of sources.

    One SQLite file, one RocksDB directory or one Redis is one store; each cache is a space of it,
    apart from the others. [cache.spaces-are-apart] Methods are synchronous; those that begin with
    `a` do the same without blocking the loop. [cache.awaited-does-the-same] `write` may run in a
    worker thread while `get` and `scan` are called from the loop's: they give what was there
    before or after it. [cache.reads-beside-a-write]
    """

    remote: bool = False
    """Whether `get`, `scan` and `write` wait for a network."""

    @abstractmethod
    def attach(self, space: str) -> None:
        """Claim a space for this object until `detach` or `close`, creating it if need be.

        Raises:
            StateInUseError: another process, or another object of this one, has claimed it.
                [cache.one-owner]
            StateFormatError: what is there is of another backend or of a newer format.
            ConnectError: it can't be opened (read-only, no rights, unreachable).
        """

    @abstractmethod
    def detach(self, space: str) -> None:
        """Give a space up; one that is not claimed is ignored. [cache.detach-gives-up]"""

    @abstractmethod
    def get(self, space: str, key: bytes) -> bytes | None:
        """The value last written, or None. [cache.last-value]

        It is of type bytes. [cache.values-are-bytes] An empty one is not None.
        [cache.empty-is-not-none]
        """

    @abstractmethod
    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> list[tuple[bytes, bytes]]:
        """The pairs with start <= key < end, [cache.scan-range] up to `limit`. [cache.scan-limit]

        They come in the order of the keys' bytes, [cache.key-order] or from the far end, the
        limit counted from there. [cache.scan-backwards]
        """

    @abstractmethod
    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        """Write all of it or nothing. [cache.all-or-nothing]

        What is written outlives the object. [cache.written-is-durable] A megabyte or ten thousand
        keys are nothing special. [cache.large-writes]

        Args:
            changes: by space; None deletes. [cache.none-deletes]
            positions: reader -> partition -> position; the partitions that are not named stay.
                [cache.positions-not-named-stay]

        Raises:
            StateError: nothing was written: the disk is full, the file is read-only, ... or a
                space is not attached. [cache.write-needs-a-claim]
            FencedError: a space has a newer owner; nothing was written.
        """

    @abstractmethod
    def positions(self, reader: str) -> Positions:
        """What `write` last stored for a reader; {} if nothing. [cache.positions-are-kept]"""

    @abstractmethod
    def close(self) -> None:
        """Give up all spaces; may be called twice. [cache.close-gives-up]"""

    def database(self, space: str) -> Any:
        """The client library's own object for the database that a space is in.

        What is done through it is no part of a generation: it is neither undone nor written with
        positions, and a cache may go on giving the values that it has read before.

        Raises:
            StateError: the backend has no such object. [cache.database-or-refusal]
        """
        raise StateError(
            f"the state {space} is in a {type(self).__name__}, which has no database object to be "
            f"had: use the methods of the cache, or a backend that has one"
        )

    async def aget(self, space: str, key: bytes) -> bytes | None:
        return self.get(space, key)

    async def ascan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> list[tuple[bytes, bytes]]:
        return self.scan(space, start, end, backwards=backwards, limit=limit)

    async def awrite(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        """As `write`; once begun, a cancelled one is whole. [cache.cancelled-write-is-whole]"""
        await asyncio.shield(asyncio.to_thread(self.write, changes, positions))


class ICheckpointStore(ABC):
    """Small named states, each saved as one value, atomically.

    It holds what must outlive a run and is no cache: checkpoints, and the positions of sources
    that keep none of their own. States are bytes that the core has packed (msgpack). Names are
    any text, and apart from each other, case and slashes included. [checkpoint-store.names]
    """

    @abstractmethod
    def load(self, name: str) -> bytes | None:
        """The state last saved, or None, which is no empty state. [checkpoint-store.last-state]

        Raises:
            StateError: it can't be read.
        """

    @abstractmethod
    def save(self, name: str, state: bytes) -> None:
        """Replace the state, durably. [checkpoint-store.saved-is-durable]

        There is never half of it, nor anything left of the former one. [checkpoint-store.whole]

        Raises:
            StateError: it was not saved; the former state is still there.
        """

    def close(self) -> None:
        """Let go of everything; may be called twice. [checkpoint-store.close-twice]"""
