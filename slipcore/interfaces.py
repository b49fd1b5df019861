"""The contracts between slipcore and everything outside a handler.

A plugin implements what it brings (`ISource`, `ISink`, `ITopic`, `IStateStore`, `ICodec`,
`ICheckpointStore`) and imports nothing of slipcore but this module and `slipcore.hookimpl`. The
docstrings are the contract; the suites in `slipcore.testing` hold a backend to them.

Unless a docstring says otherwise, methods are called from the event loop's thread, one call of a
method at a time per object, and may be cancelled at any await: a cancelled call leaves the object
usable and loses nothing that it was handed.
"""

from __future__ import annotations

import asyncio
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

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
from slipcore.options import ByteCount, Milliseconds, Seconds, StateOptions, TopicOptions
from slipcore.partitioning import partition_for
from slipcore.records import (
    READ_FROM_END,
    READ_FROM_START,
    Changes,
    Headers,
    Key,
    Out,
    Positions,
    Record,
    Secret,
)
from slipcore.utils import Broadcast

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


class Assignment(msgspec.Struct, frozen=True):
    """A change in what a member of a consumer group reads.

    Attributes:
        epoch: grows with each change; names it in `commit`.
        added: partition -> the group's committed position, None where it has none.
        removed: partitions that go to others once the change is accepted.
        lost: the removed ones have another owner already: nothing of them may be committed.
        total: how many partitions there are.
    """

    epoch: int
    added: Mapping[int, int | None] = {}
    removed: frozenset[int] = frozenset()
    lost: bool = False
    total: int = 1


class _Openable(ABC):
    async def open(self) -> None:
        """Connect. Called once before anything else.

        Raises:
            ConnectError: what can't be reached, by name and address, and what to do.
        """

    async def close(self) -> None:
        """Let go of everything; unflushed outputs and uncommitted positions are dropped.

        Never hangs; may be called twice, and after a failed `open`.
        """

    async def __aenter__(self) -> Any:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class ISource(_Openable):
    """Records in partitions, each partition in order.

    A source keeps its membership in a consumer group whether or not `read` is called.
    """

    capabilities: frozenset[Capability] = frozenset()

    @abstractmethod
    async def read(self, max_records: int) -> Sequence[Record]:
        """Wait for records and hand over what is there, `max_records` at the most.

        Keys and values are bytes where the source is a topic; the core decodes them. Within a
        partition the records come in order, each once, from where the engine has placed it. A
        partition that is paused, or not accepted yet, delivers nothing. An empty sequence says
        that the source has ended. A cancelled read loses no record: it comes with the next one.

        Raises:
            SourceError: the source failed, or a position is out of its range.
        """

    async def commit(self, positions: Positions, epoch: int) -> None:
        """Store the positions for the group, durably when it returns (needs COMMIT).

        Positions of partitions that were assigned after `epoch`, or are not assigned any more,
        are ignored.

        Raises:
            ConnectError: the server does not answer in time; the engine commits again later.
            SourceError: they are not stored, and will not be.
        """

    async def pause(self, partitions: frozenset[int]) -> None:
        """Deliver nothing of these partitions until `resume`; drop nothing, keep membership."""

    async def resume(self, partitions: frozenset[int]) -> None:
        """Undo `pause`."""

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        """Go on at these offsets: the next record is the first at or after it (needs SEEK).

        `READ_FROM_START` and `READ_FROM_END` are offsets too. Only assigned partitions may be
        named.

        Returns:
            the position, as `commit` takes it, that means "all before this offset is finished".
        """
        raise SourceError(f"{self!r} can't seek: it does not keep what it handed over")

    async def lag(self) -> Mapping[int, int]:
        """Assigned partition -> how many records are still to be read; {} where not known."""
        return {}

    async def assignment(self) -> Assignment:
        """Wait for the next change of assignment; the first call joins the group.

        A member that gets no partition is told so by an assignment that adds none. The engine
        calls `accept` before it asks for the next one. A source that is only sent to is never
        asked.
        """
        if getattr(self, "_assigned", False):
            await asyncio.get_running_loop().create_future()
        self._assigned = True
        return Assignment(epoch=1, added={0: None}, total=1)

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        """The engine is ready: added partitions may deliver, removed ones may go to others.

        Args:
            assignment: the change that `assignment` gave.
            positions: where added partitions start, if not where the group stands: after the
                last finished offset. A partition with neither starts by `auto_offset_reset`.
        """


class ISink(_Openable):
    """Takes outputs, in order."""

    @abstractmethod
    def send(self, output: Out) -> Awaitable[None] | None:
        """Hand an output over without waiting until it is durable.

        Returns:
            None; or, where too much is on the way, an awaitable that ends when there is room. It
            may raise what `flush` would have raised.

        Raises:
            SinkError: it can't be taken (too large, no such partition); nothing was handed over.
        """

    async def flush(self) -> None:
        """Return when all that was handed over before the call is durable.

        Several flushes may be under way at once; each answers for what came before its call.

        Raises:
            SinkError: with the outputs that are not durable, in order. The sink takes nothing
                newer in their place: it has let go of them, and of all that was handed over
                after them.
        """

    async def __call__(self, key: Any, value: Any) -> None:
        """Send one pair and wait until it is durable."""
        waiting = self.send(Out(value, key))
        if waiting is not None:
            await waiting
        await self.flush()


class ITopic(ISource, ISink):
    """A named log that is both; one factory, registered under one name with both hooks.

    Keys and values of what it reads and is sent are bytes or None. Without a partition named,
    `partition_for(key, n)` chooses it, so that data may move between backends.
    """


class IStateStore(ABC):
    """Keyed bytes in named spaces, and positions of sources, written together or not at all.

    One SQLite file, one RocksDB directory or one Redis is one store; each cache is a space of it.
    Keys are kept and scanned in the order of their bytes. Methods are synchronous; those that
    begin with `a` do the same without blocking the loop. `write` may run in a worker thread while
    `get` and `scan` are called from the loop's.
    """

    remote: bool = False
    """Whether `get`, `scan` and `write` wait for a network."""

    @abstractmethod
    def attach(self, space: str) -> None:
        """Claim a space for this object until `detach` or `close`, creating it if need be.

        Raises:
            StateInUseError: another process, or another object of this one, has claimed it.
            StateFormatError: what is there is of another backend or of a newer format.
            ConnectError: it can't be opened (read-only, no rights, unreachable).
        """

    @abstractmethod
    def detach(self, space: str) -> None:
        """Give a space up. One that is not claimed is ignored."""

    @abstractmethod
    def get(self, space: str, key: bytes) -> bytes | None:
        """The value last written, or None."""

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
        """Up to `limit` pairs with start <= key < end in the order of keys, or from the far end."""

    @abstractmethod
    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        """Write all of it, durably, or nothing.

        Args:
            changes: by space; spaces that this object has attached.
            positions: reader -> partition -> position; the partitions that are not named stay.

        Raises:
            StateError: nothing was written; the disk is full, the file is read-only, ...
            FencedError: a space has a newer owner; nothing was written.
        """

    @abstractmethod
    def positions(self, reader: str) -> Positions:
        """What `write` last stored for a reader; {} if nothing."""

    @abstractmethod
    def close(self) -> None:
        """Give up all spaces. May be called twice."""

    def database(self, space: str) -> Any:
        """The client library's own object for the database that a space is in.

        What is done through it is no part of a generation: it is neither undone nor written with
        positions, and a cache may go on giving the values that it has read before.

        Raises:
            StateError: the backend has no such object.
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
        """As `write`; once begun it is not undone by a cancellation."""
        await asyncio.shield(asyncio.to_thread(self.write, changes, positions))


class ICheckpointStore(ABC):
    """Small named states, each saved as one value, atomically.

    It holds what must outlive a run and is no cache: checkpoints, and the positions of sources
    that keep none of their own. States are bytes that the core has packed (msgpack).
    """

    @abstractmethod
    def load(self, name: str) -> bytes | None:
        """The state last saved, or None.

        Raises:
            StateError: it can't be read.
        """

    @abstractmethod
    def save(self, name: str, state: bytes) -> None:
        """Replace the state; durable when it returns, and never half of it.

        Raises:
            StateError: it was not saved; the former state is still there.
        """

    def close(self) -> None:
        """Let go of everything. May be called twice."""


class SourceSinkMeta(ABCMeta):
    """The type of classes that are a source and a sink: to iterate over and to call."""


class _Done:
    """What a call has to be awaited for that was through at once."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield

    def __repr__(self) -> str:
        return "<done>"


DONE: Final = _Done()


class ICache(metaclass=SourceSinkMeta):
    """Keyed state of one's own making; what `Cache` is over a registered backend.

    >>> class MyCache(ICache):
    ...     def __init__(self):
    ...         self.db = {}
    ...     def __contains__(self, key):
    ...         return key in self.db
    ...     def __delitem__(self, key):
    ...         del self.db[key]
    ...     def __getitem__(self, key):
    ...         return self.db.get(key, None)
    ...     def __setitem__(self, key, val):
    ...         self.db[key] = val
    >>> cache = MyCache()
    >>> cache['prize'] = '🏆'
    >>> cache['prize']
    '🏆'
    >>> del cache['prize']
    >>> 'prize' in cache
    False
    """

    @abstractmethod
    def __contains__(self, key: Any) -> bool: ...

    @abstractmethod
    def __delitem__(self, key: Any) -> None: ...

    @abstractmethod
    def __getitem__(self, key: Any) -> Any:
        """The value, or None for a key that is not there."""

    @abstractmethod
    def __setitem__(self, key: Any, val: Any) -> None: ...

    def __call__(self, key: Any, val: Any) -> Awaitable[None]:
        """Store a value and tell those who iterate over the cache; `cache[key] = val` does not.

        It is stored at once; what comes back may be awaited, and need not be.
        """
        self[key] = val
        watchers: Broadcast | None = self.__dict__.get("_watchers")
        if watchers is not None:
            watchers.publish(self.__dict__["_name"], key, val)
        return DONE

    def __aiter__(self) -> AsyncIterator[tuple[Any, Any]]:
        """The key and value of every call from now on.

        A reader that falls behind by more than a bounded number is told so by a SlipError.
        """
        watchers: Broadcast = self.__dict__.setdefault("_watchers", Broadcast())
        return watchers.iter_topic(self.__dict__.setdefault("_name", repr(self)))
