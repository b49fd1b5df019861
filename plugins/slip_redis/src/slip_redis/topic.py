"""Topics on Redis: a stream for each partition, shared by the members of a group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from slip_redis.layout import is_writable
from slip_redis.settings import RedisTopicOptions
from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    Assignment,
    Capability,
    ConfigError,
    ITopic,
    Out,
    Positions,
    Record,
    Scope,
    SinkError,
    SourceError,
)

if TYPE_CHECKING:
    from slip_redis.client import BlockingClient, Client
    from slip_redis.groups import Member
    from slip_redis.outbox import Outbox
    from slip_redis.reading import Reader

logger = logging.getLogger(__name__)

REBALANCE_SECONDS: Final = 0.25
"""How often a member looks whether others have come or gone."""

_BYTES: Final = (bytes, type(None))


class RedisTopic(ITopic):
    """A log on a Redis server.

    Args:
        name: the topic's name.
        options: its settings.
        scope: the app that asks.
    """

    capabilities = frozenset({Capability.COMMIT, Capability.SEEK, Capability.PARTITIONS})

    def __init__(self, name: str, options: RedisTopicOptions, scope: Scope) -> None:
        self.name = name
        self._options = options
        self._group = options.group_id or scope.app
        self._partitions = 0
        self._client: Client | None = None
        self._outbox: Outbox | None = None
        self._member: Member | None = None
        self._reader: Reader | None = None
        self._paused: frozenset[int] = frozenset()
        self._has_reader = asyncio.Event()

    def __repr__(self) -> str:
        return f"<RedisTopic {self.name}>"

    async def open(self) -> None:
        from slip_redis.client import Client
        from slip_redis.outbox import Outbox

        self._has_reader = asyncio.Event()
        self._client = Client(self._options.server())
        try:
            self._partitions = await self._create(self._client)
            self._outbox = Outbox(self._client, self.name, self._partitions, self._options)
        except BaseException:
            await self.close()
            raise

    async def _create(self, client: Client) -> int:
        """Make the topic known where it is not; how many partitions it has."""
        from slip_redis.client import unreachable
        from slip_redis.errors import FAILURES
        from slip_redis.layout import Keys
        from slip_redis.scripts import CREATE

        wanted = self._options.partitions
        key = Keys(self.name).topic
        try:
            partitions, is_new = await client.persist(
                lambda: client.run(CREATE, [key], [wanted if wanted is not None else ""]),
                self._options.connect_timeout,
            )
        except FAILURES as error:
            raise unreachable(client.target, f"open the topic {self.name}", error) from error
        if is_new:
            logger.info(
                "Created the topic %s with %d partitions on Redis at %s.",
                self.name,
                partitions,
                client.address,
            )
        if wanted not in (None, partitions):
            raise ConfigError(
                f"the topic {self.name} on Redis at {client.address} has {partitions} partitions, "
                f"not {wanted}: leave partitions out, or name what it has"
            )
        return int(partitions)

    async def close(self) -> None:
        client, outbox, member = self._client, self._outbox, self._member
        reader = self._reader
        self._client = self._outbox = self._member = self._reader = None
        self._paused = frozenset()
        self._has_reader.set()
        if client is None:
            return
        try:
            if outbox is not None:
                await outbox.close()
            if reader is not None:
                reader.close()
                await reader.closed()
            if member is not None:
                await self._leave(member, reader)
        finally:
            await client.close()

    async def _leave(self, member: Member, reader: Reader | None) -> None:
        from slip_redis.errors import FAILURES

        try:
            async with asyncio.timeout(self._options.socket_timeout):
                if reader is not None:
                    await reader.clear()
                await member.leave()
        except (*FAILURES, TimeoutError) as error:
            # Its session ends in any case, and then the others have what it had.
            logger.debug("%s: leaving the group %s failed: %s", self.name, self._group, error)

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
        if output.partition is not None and not 0 <= output.partition < self._partitions:
            raise SinkError(
                f"the topic {self.name} has no partition {output.partition}: it has 0 to "
                f"{self._partitions - 1}",
                (output,),
            )
        if not is_writable(output):
            raise SinkError(
                f"the topic {self.name} takes headers that are pairs of a str and bytes, and a "
                f"timestamp in ms, an int or None, not {output.headers!r} and "
                f"{output.timestamp!r}",
                (output,),
            )
        return outbox.add(output)

    async def flush(self) -> None:
        if self._outbox is not None:
            await self._outbox.flush()

    # --- read -------------------------------------------------------------------------------

    async def read(self, max_records: int) -> Sequence[Record]:
        # Others get their turn although there may be something to read each time.
        await asyncio.sleep(0)
        while self._client is not None:
            reader = self._reader
            if reader is None:
                await self._has_reader.wait()
                continue
            records = await self._take(reader, max_records)
            if records:
                return records
            await reader.wait()
        return ()

    async def _take(self, reader: Reader, max_records: int) -> Sequence[Record]:
        from slip_redis.errors import FAILURES

        try:
            return await reader.take(max_records)
        except FAILURES as error:
            raise self._failed("read", error) from error

    async def commit(self, positions: Positions, epoch: int) -> None:
        from slip_redis.client import unreachable
        from slip_redis.errors import FAILURES, is_passing

        member, client = self._member, self._client
        if member is None or client is None:
            return
        try:
            await client.persist(
                lambda: member.commit(positions, epoch), self._options.socket_timeout
            )
        except FAILURES as error:
            if is_passing(error, fails_over=client.target.fails_over):
                doing = f"commit positions of the topic {self.name}"
                raise unreachable(client.target, doing, error) from error
            raise self._failed("commit positions of", error) from error

    async def pause(self, partitions: frozenset[int]) -> None:
        self._set_paused(self._paused | partitions)

    async def resume(self, partitions: frozenset[int]) -> None:
        self._set_paused(self._paused - partitions)

    def _set_paused(self, partitions: frozenset[int]) -> None:
        self._paused = partitions
        if self._reader is not None:
            self._reader.paused = partitions
            self._reader.changed()

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        reader = self._reader
        held = sorted(reader.cursors) if reader is not None else []
        for partition in offsets:
            if partition not in held:
                raise SourceError(
                    f"the topic {self.name} can't seek in partition {partition}: it is not "
                    f"assigned to this member, which has {held}"
                )
        return {
            partition: await self._seek(partition, offset) for partition, offset in offsets.items()
        }

    async def _seek(self, partition: int, offset: int) -> int:
        if offset == READ_FROM_START:
            await self._place(partition, -1)
            return -1
        if offset == READ_FROM_END:
            return await self._place(partition, None)
        return await self._place(partition, offset - 1)

    async def lag(self) -> Mapping[int, int]:
        if self._reader is None or self._client is None:
            return {}
        from slip_redis.lag import lag_of

        return await lag_of(self._client, self.name, self._group, self._reader.cursors)

    # --- the group --------------------------------------------------------------------------

    async def forget_group(self) -> None:
        """Leave the consumer group and delete it; nobody else may be in it."""
        from slip_redis.errors import FAILURES

        client, member, reader = self._client, self._member, self._reader
        if client is None or member is None or reader is None:
            return
        self._member = self._reader = None
        reader.close()
        await reader.closed()
        try:
            await client.persist(member.dissolve, self._options.socket_timeout)
        except FAILURES as error:
            raise self._failed("delete a consumer group of", error) from error

    async def assignment(self) -> Assignment:
        from slip_redis.errors import FAILURES

        member = self._member or self._new_member()
        while self._member is member and self._client is not None:
            try:
                change = await self._client.persist(member.change, None)
            except FAILURES as error:
                raise self._failed("keep its place in", error) from error
            if change is not None:
                if change.lost:
                    self._drop(change.removed)
                return change
            await asyncio.sleep(REBALANCE_SECONDS)
        raise self._closed()

    def _new_member(self) -> Member:
        from slip_redis.groups import Member
        from slip_redis.poison import Quarantine
        from slip_redis.reading import BLOCK_SECONDS, Reader

        client = self._opened()
        options = self._options
        self._member = member = Member(
            client,
            self._heart_client,
            (self.name, self._partitions),
            self._group,
            options.group_instance_id,
            options.session_timeout,
        )
        block = min(BLOCK_SECONDS, options.socket_timeout / 2)
        limit = options.max_deliveries
        quarantine = None if limit is None else Quarantine(client, self.name, member, limit)
        self._reader = Reader(client, self.name, member, block, quarantine)
        self._reader.paused = self._paused
        self._has_reader.set()
        return member

    def _heart_client(self) -> BlockingClient:
        from slip_redis.client import BlockingClient

        return BlockingClient(self._options.server())

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        from slip_redis.errors import FAILURES

        member, client = self._member, self._client
        if member is None or client is None or not member.awaits(assignment):
            return
        self._drop(assignment.removed)
        for partition, committed in assignment.added.items():
            position = positions.get(partition, committed)
            if position is None and self._options.auto_offset_reset == "earliest":
                position = -1
            await self._place(partition, position, assignment)
        try:
            await client.persist(lambda: member.accept(assignment), None)
        except FAILURES as error:
            raise self._failed("keep its place in", error) from error

    async def _place(
        self, partition: int, position: int | None, assignment: Assignment | None = None
    ) -> int:
        """Read a partition from behind a position on; -1: from its begin, None: from its end.

        Args:
            assignment: what brought the partition; None: it is sought. It is then `read` that
                tells of a position out of range, and an end that was found becomes the group's
                place: what is delivered from there on and not finished comes again.

        Returns:
            the position.
        """
        from slip_redis.errors import FAILURES
        from slip_redis.ids import id_of, offset_of
        from slip_redis.reading import Cursor, out_of_range

        member, reader, client = self._member, self._reader, self._opened()
        if member is None or reader is None:
            raise self._closed()
        start = "$" if position is None else "-" if position < 0 else id_of(position).decode()
        former = reader.cursors.pop(partition, None)
        reader.changed()
        try:
            found = await client.persist(lambda: member.place(partition, start), None)
        except FAILURES as failure:
            raise self._failed("read", failure) from failure
        if found is None:  # the member was taken for dead, which it is told next
            return position if position is not None else -1
        if found[0]:
            cursor = Cursor(offset_of(found[0], self.name))
            if assignment is not None and position is None:
                await self._keep(member, {partition: cursor.after}, assignment.epoch)
        else:
            assert position is not None
            error = out_of_range(self.name, partition, position, (found[1], found[2]))
            if assignment is None:
                if former is not None:
                    reader.cursors[partition] = former
                    reader.changed()
                raise error
            cursor = Cursor(position, error)
        reader.cursors[partition] = cursor
        reader.changed()
        return cursor.after

    async def _keep(self, member: Member, positions: Positions, epoch: int) -> None:
        """Commit, however long it takes."""
        from slip_redis.errors import FAILURES

        client = self._opened()
        try:
            await client.persist(lambda: member.commit(positions, epoch), None)
        except FAILURES as error:
            raise self._failed("commit positions of", error) from error

    def _drop(self, partitions: frozenset[int]) -> None:
        if self._reader is None:
            return
        for partition in partitions:
            self._reader.cursors.pop(partition, None)
        self._reader.changed()

    def _opened(self) -> Client:
        if self._client is None:
            raise self._closed()
        return self._client

    def _failed(self, doing: str, error: Exception) -> SourceError:
        from slip_redis.errors import reason

        return SourceError(
            f"can't {doing} the topic {self.name} on Redis at {self._opened().address}, as the "
            f"consumer group {self._group}: {reason(error)}"
        )

    def _closed(self) -> SourceError:
        return SourceError(f"the topic {self.name} is not open: open it before it is used")
