"""What one topic gives to its engine: records of the partitions that it has placed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from math import inf
from time import monotonic
from typing import Any, Final

from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import TopicPartition

from slip_kafka.failures import translated
from slip_kafka.membership import Member
from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    Assignment,
    ConnectError,
    Positions,
    Record,
    SourceError,
)

logger = logging.getLogger(__name__)

FETCH_MS: Final = 60_000
"""How long a fetch waits for records; then it is asked again."""

RETRY_SECONDS: Final = 0.1
"""How long to leave a client alone that has failed for the moment."""


@dataclass(eq=False)
class _Change:
    """What is to be told to the engine.

    Attributes:
        epoch: the change's number.
        added: partitions.
        removed: partitions.
        lost: others have the removed ones already.
        total: how many partitions the topic has.
        announced: the engine has been told.
        ends: where those without a position go on, once that is known: asked again, it would
            skip what has come meanwhile.
        done: resolved when the engine has accepted it.
    """

    epoch: int
    added: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()
    lost: bool = False
    total: int = 1
    announced: bool = False
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)
    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


def _passes(error: BaseException | None) -> bool:
    """Whether the client gets over it, or says it of a position that it was not given yet."""
    if isinstance(error, (ConsumerStoppedError, NoOffsetForPartitionError)):
        return True
    return isinstance(error, KafkaError) and bool(error.retriable)


class Reader:
    """One topic of a member: its assignment, where it stands, what is read.

    Args:
        topic: the topic's name.
        latest: a partition without a position starts at its end, else at its beginning.
        total: how many partitions the topic has, as far as is known.

    Attributes:
        waiting_since: when the read that is waiting found nothing; inf: none is waiting.
    """

    def __init__(self, topic: str, *, latest: bool, total: int) -> None:
        self.topic = topic
        self.waiting_since = inf
        self.member: Member | None = None
        self._latest = latest
        self._total = total
        self._changes: deque[_Change] = deque()
        self._owned: dict[int, int] = {}
        self._placed: set[int] = set()
        self._paused: frozenset[int] = frozenset()
        self._fetched: list[Record] = []
        self._turn = 0
        self._news = asyncio.Event()
        self._word = asyncio.Event()
        self._closed = False

    # --- what the member tells ------------------------------------------------------------

    def revoke(self, epoch: int, lost: bool) -> asyncio.Future[None] | None:
        """What is assigned goes to others; the future resolves when the engine has let go."""
        known = frozenset(self._owned)
        while self._changes and not self._changes[-1].announced and self._changes[-1].added:
            known -= self._changes.pop().added  # nobody was told
        self._owned = {p: since for p, since in self._owned.items() if p in known}
        if lost:
            self.drop_revoked()
        self.wake()
        if not known:
            return None
        change = _Change(epoch, removed=known, lost=lost, total=self._total)
        self._changes.append(change)
        return change.done

    @property
    def has_partitions(self) -> bool:
        """Whether something is assigned to it."""
        return bool(self._owned)

    def drop_revoked(self) -> None:
        """Whatever was assigned is not this member's any more."""
        self._owned.clear()
        self._placed.clear()
        self._fetched.clear()

    def assign(self, partitions: Iterable[int], epoch: int, total: int) -> None:
        """These partitions are this member's, once the engine has placed them."""
        self._total = total or self._total
        self._owned = dict.fromkeys(partitions, epoch)
        self._changes.append(_Change(epoch, added=frozenset(self._owned), total=self._total))
        self.wake()

    def wake(self) -> None:
        """Something has changed for who reads, and for who waits for a change of assignment."""
        self._news.set()
        self._word.set()

    def places(self) -> dict[TopicPartition, int]:
        """Where reading stands, in the partitions that are to deliver."""
        consumer = self._joined().consumer
        found: dict[TopicPartition, int] = {}
        for place in consumer.assignment().intersection(self._readable()):
            state = consumer._subscription._assigned_state(place)
            if state.has_valid_position:
                found[place] = state.position
        return found

    # --- the engine's side of the group ---------------------------------------------------

    async def assignment(self) -> Assignment:
        while True:
            member = self._joined()
            if member.failure is not None:
                raise member.failure
            if not self._changes:
                self._word.clear()
                await self._word.wait()
                continue
            change = self._changes[0]
            added: dict[int, int | None] = {}
            if change.added:
                places = [TopicPartition(self.topic, p) for p in sorted(change.added)]
                try:
                    offsets = await member.committed(places)
                except ConnectError as error:
                    await self._wait_for_brokers(error)
                    continue
                added = {p: None if o is None else o - 1 for p, o in offsets.items()}
                if not self._changes or self._changes[0] is not change:
                    continue
            change.announced = True
            return Assignment(
                epoch=change.epoch,
                added=added,
                removed=change.removed,
                lost=change.lost,
                total=change.total,
            )

    async def _wait_for_brokers(self, error: ConnectError) -> None:
        logger.warning("The topic %s waits for its brokers: %s.", self.topic, error)
        await asyncio.sleep(RETRY_SECONDS)

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        change = self._changes[0] if self._changes else None
        if change is None or change.epoch != assignment.epoch:
            return
        try:
            while change.added and change in self._changes:
                try:
                    await self._place_added(change, assignment, positions)
                except ConnectError as error:
                    await self._wait_for_brokers(error)
                else:
                    break
        finally:
            if self._changes and self._changes[0] is change:
                self._changes.popleft()
            if not change.done.done():
                change.done.set_result(None)
        self.wake()

    async def _place_added(
        self, change: _Change, assignment: Assignment, positions: Positions
    ) -> None:
        member = self._joined()
        starts: dict[int, int] = {}
        at_end: list[TopicPartition] = []
        at_beginning: list[TopicPartition] = []
        for partition, committed in assignment.added.items():
            position = positions.get(partition, committed)
            if position is not None and position >= 0:
                starts[partition] = position + 1
            else:
                new = position is None and self._latest
                (at_end if new else at_beginning).append(TopicPartition(self.topic, partition))
        change.ends = change.ends or await member.ends(at_end)
        for places in (change.ends, await member.beginnings(at_beginning)):
            starts.update({p.partition: offset for p, offset in places.items()})
        # What is read from there and not finished is the group's to read again.
        begun = {p: end for p, end in change.ends.items() if self._has(p.partition, change)}
        if begun and not await member.commit(begun):
            return  # the group has gone on without this member, which joins it again
        for partition, start in starts.items():
            if self._has(partition, change):
                self._place(partition, start)

    def _has(self, partition: int, change: _Change) -> bool:
        return self._owned.get(partition) == change.epoch

    def _place(self, partition: int, offset: int) -> None:
        """Go on at an offset: what was fetched of this partition is not wanted."""
        consumer = self._joined().consumer
        place = TopicPartition(self.topic, partition)
        if place not in consumer.assignment():
            return  # taken away meanwhile: the member will say so
        consumer.seek(place, offset)
        if partition not in self._paused:
            consumer.resume(place)
        self._fetched = [r for r in self._fetched if r.partition != partition]
        self._placed.add(partition)

    async def commit(self, positions: Positions, epoch: int) -> None:
        offsets = {
            TopicPartition(self.topic, partition): position + 1
            for partition, position in positions.items()
            if epoch >= self._owned.get(partition, epoch + 1)
        }
        if offsets:
            await self._joined().commit(offsets)

    # --- reading --------------------------------------------------------------------------

    async def read(self, max_records: int) -> list[Record]:
        # Others get their turn although there may be something to read each time.
        await asyncio.sleep(0)
        try:
            while not self._closed:
                member = self._joined()
                if member.failure is not None:
                    raise member.failure
                self._news.clear()
                if not member.rebalancing and (readable := self._readable()):
                    await self._fetch_there_is(readable, max_records)
                    if records := self._take(max_records):
                        return records
                    await self._fetch_or_news(readable, max_records)
                else:
                    if records := self._take(max_records):
                        return records
                    await self._news.wait()
            return []
        finally:
            self.waiting_since = inf

    def _readable(self) -> list[TopicPartition]:
        return [TopicPartition(self.topic, p) for p in sorted(self._placed - self._paused)]

    def _take(self, max_records: int) -> list[Record]:
        fetched = self._fetched
        if not self._paused and len(fetched) <= max_records:
            self._fetched = []
            return fetched
        ready = [r for r in fetched if r.partition not in self._paused][:max_records]
        taken = set(map(id, ready))
        self._fetched = [r for r in fetched if id(r) not in taken]
        return ready

    async def _fetch_there_is(self, readable: list[TopicPartition], max_records: int) -> None:
        """What the client has, from one partition after the other, another one first each time."""
        self._turn = (self._turn + 1) % len(readable)
        ordered = readable[self._turn :] + readable[: self._turn]
        share = max(1, max_records // len(ordered))
        found = True
        while found and not self._joined().rebalancing:
            found = False
            for place in ordered:
                left = max_records - len(self._fetched)
                if left <= 0:
                    return
                found = await self._fetch((place,), min(share, left), 0) or found

    async def _fetch_or_news(self, readable: list[TopicPartition], max_records: int) -> None:
        """Wait for records, or for something that changes where they come from.

        Cancelling the client's `getmany` loses no record, but turns its check of
        max.poll.interval off; that one is not wanted: membership does not end while a handler
        takes its time.
        """
        if self.waiting_since == inf:
            self.waiting_since = monotonic()
        fetching = asyncio.ensure_future(self._fetch(readable, max_records, FETCH_MS))
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait((fetching, news), return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            fetching.cancel()
            await asyncio.gather(news, fetching, return_exceptions=True)
        if not fetching.cancelled():
            fetching.result()

    async def _fetch(self, places: Iterable[TopicPartition], at_most: int, timeout_ms: int) -> bool:
        """Add to what is fetched; whether there was something."""
        member = self._joined()
        if member.rebalancing:  # since the caller looked; a new client may not be started yet
            return False
        if member.is_dead:
            await asyncio.sleep(RETRY_SECONDS)  # until it is replaced
            return False
        _give_records(member.consumer)
        try:
            with translated(SourceError, f"read the topic {self.topic}"):
                batches: Mapping[TopicPartition, Any] = await member.consumer.getmany(
                    *places, timeout_ms=timeout_ms, max_records=at_most
                )
        except (SourceError, ConnectError) as error:
            cause = error.__cause__
            if isinstance(cause, OffsetOutOfRangeError):
                raise self._out_of_range(*next(iter(cause.args[0].items()))) from cause
            if isinstance(error, SourceError) and not _passes(cause):
                raise
            await asyncio.sleep(RETRY_SECONDS)  # the client goes on by itself, or is replaced
            return False
        for place, batch in batches.items():
            if place.partition in self._placed:  # what is placed anew comes from its new place
                self._fetched += batch if type(batch[0]) is Record else map(_as_record, batch)
        return bool(batches)

    def _out_of_range(self, place: TopicPartition, offset: int) -> SourceError:
        return SourceError(
            f"the topic {self.topic} can't go on at offset {offset} of partition "
            f"{place.partition}: it has been deleted, or was never written; move the position to "
            "where there is something, for example with offset=READ_FROM_START"
        )

    async def pause(self, partitions: frozenset[int]) -> None:
        self._paused |= partitions
        self._in_client("pause", partitions)

    async def resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions
        self._in_client("resume", partitions)

    def _in_client(self, method: str, partitions: frozenset[int]) -> None:
        for partition in partitions & self._placed:
            consumer, place = self._joined().consumer, TopicPartition(self.topic, partition)
            if place in consumer.assignment():
                getattr(consumer, method)(place)
        self.wake()

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        member = self._joined()
        for partition in offsets:
            if partition not in self._placed:
                raise SourceError(
                    f"the topic {self.topic} can't seek in partition {partition}: it is not "
                    f"assigned to this member, which has {sorted(self._placed)}"
                )
        places = [TopicPartition(self.topic, partition) for partition in offsets]
        begins, ends = await member.beginnings(places), await member.ends(places)
        targets: dict[int, int] = {}
        for place in places:
            offset = offsets[place.partition]
            if offset == READ_FROM_START:
                offset = begins[place]
            elif offset == READ_FROM_END:
                offset = ends[place]
            elif not begins[place] <= offset <= ends[place]:
                raise SourceError(
                    f"the topic {self.topic} can't go on at offset {offset} of partition "
                    f"{place.partition}: it has {begins[place]} to {ends[place]}"
                )
            targets[place.partition] = offset
        for partition, offset in targets.items():
            if partition in self._placed:
                self._place(partition, offset)
        self.wake()
        return {partition: offset - 1 for partition, offset in targets.items()}

    async def lag(self) -> Mapping[int, int]:
        if self.member is None or self.member.rebalancing:
            return {}
        places = self.places()
        try:
            ends = await self.member.ends(places)
        except SourceError:
            return {}
        lag = {place.partition: ends[place] - offset for place, offset in places.items()}
        for record in self._fetched:
            lag[record.partition] = lag.get(record.partition, 0) + 1
        return lag

    async def ends(self) -> Mapping[int, int]:
        if self.member is None or self.member.rebalancing:
            return {}
        try:
            ends = await self.member.ends(self.places())
        except SourceError:
            return {}
        return {place.partition: end for place, end in ends.items()}

    async def close(self) -> None:
        self._closed = True
        for change in self._changes:
            if not change.done.done():
                change.done.set_result(None)
        self.drop_revoked()
        self.wake()
        member, self.member = self.member, None
        if member is not None:
            await member.leave(self)

    def _joined(self) -> Member:
        if self.member is None:
            raise SourceError(f"the topic {self.topic} is not open: open it before it is read")
        return self.member


def _give_records(consumer: Any) -> None:
    """Have what the client has fetched come as records, many at a time.

    It makes an object of its own of each, and hands them out one by one. What it fetches while it
    is being asked comes as its own all the same.
    """
    for result in consumer._fetcher._records.values():
        if isinstance(result, FetchResult) and "getall" not in result.__dict__:
            result.getall = partial(_take_from, result)


def _take_from(result: Any, max_records: int) -> list[Record]:
    """What `FetchResult.getall` does."""
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return []
    unread = result._partition_records
    unread._consumer_record = _record
    taken = list(islice(unread._records_iterator, max_records))
    result._update_position()
    if len(taken) < max_records:
        result._partition_records = None
    return taken


def _record(place: TopicPartition, read: Any) -> Record:
    return Record(
        read.value,
        read.key,
        place.topic,
        place.partition,
        read.offset,
        read.timestamp,
        tuple(read.headers),
    )


def _as_record(own: Any) -> Record:
    return Record(
        own.value, own.key, own.topic, own.partition, own.offset, own.timestamp, own.headers
    )
