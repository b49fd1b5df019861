"""Records on their way out of a topic: fetched ahead by one task, handed over on demand."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from slip_redis.client import Patience
from slip_redis.errors import FAILURES, reason
from slip_redis.ids import id_of, offset_of
from slip_redis.layout import Keys, record_of
from slip_redis.scripts import ENDS
from slipcore.interfaces import Record, SourceError

if TYPE_CHECKING:
    from slip_redis.client import Client
    from slip_redis.groups import Member
    from slip_redis.poison import Quarantine

logger = logging.getLogger(__name__)

FETCH: Final = 500
"""Records of a partition that one call fetches."""

MAX_AHEAD: Final = 1_000
"""Records of a partition that may wait to be handed over before no more are fetched."""

BLOCK_SECONDS: Final = 0.25
"""How long the server waits for news in one call; what was sought meanwhile waits for its end."""


class Cursor:
    """Where a partition is read. Each time it is placed anew it has another one.

    Attributes:
        ahead: what is fetched and not handed over.
        after: the offset up to which all is fetched.
        is_fresh: whether nothing that was delivered to this member is left to be fetched.
        suspected: offsets of records that are to be handed over alone.
        error: what comes after the records ahead.
    """

    __slots__ = ("after", "ahead", "error", "is_fresh", "suspected")

    def __init__(self, after: int, error: Exception | None = None) -> None:
        self.ahead: deque[Record] = deque()
        self.after = after
        self.is_fresh = False
        self.suspected: set[int] = set()
        self.error = error


class Reader:
    """Reads the partitions of a member in the streams' consumer group.

    The call that waits at the server is never cancelled: the server counts what it would have
    brought as delivered. So does it with a lost answer: after every failure what was delivered to
    this member is fetched before anything new.

    Args:
        client: an open client.
        topic: the topic's name.
        member: who reads.
        block: seconds that a call may wait at the server.
        quarantine: for entries that kill their readers; None: there is none.
    """

    def __init__(
        self,
        client: Client,
        topic: str,
        member: Member,
        block: float,
        quarantine: Quarantine | None,
    ) -> None:
        self.cursors: dict[int, Cursor] = {}
        self.paused: frozenset[int] = frozenset()
        self._client = client
        self._topic = topic
        self._keys = Keys(topic)
        self._member = member
        self._block = max(1, round(block * 1000))
        self._quarantine = quarantine
        self._turn = 0
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self._pump = asyncio.ensure_future(self._fetch_always())

    def close(self) -> None:
        """Stop fetching; what was not handed over is delivered to the next owner."""
        self.cursors.clear()
        self._pump.cancel()
        self.changed()

    def changed(self) -> None:
        """To be called when cursors or pauses have changed."""
        self._wanted.set()
        self._news.set()

    async def closed(self) -> None:
        """Wait until nothing is under way: another owner may then have the partitions."""
        await asyncio.wait([self._pump])
        await self._client.settle()

    async def wait(self) -> None:
        """Wait until there may be something to take."""
        self._news.clear()
        await self._news.wait()

    async def take(self, max_records: int) -> list[Record]:
        """What is there, from one partition after the other, another one first each time.

        Raises:
            SourceError: nothing more can be read.
        """
        if self._quarantine is not None:
            await self._quarantine.clear()
            alone = self._suspect()
            if alone is not None:
                await self._quarantine.note(alone.partition, alone.offset)
                return self._hand_over_alone(alone)
        readable = sorted(self.cursors.keys() - self.paused)
        taken: list[Record] = []
        for _ in readable:
            self._turn = (self._turn + 1) % len(readable)
            cursor = self.cursors[readable[self._turn]]
            if cursor.ahead:
                taken += _records_of(cursor, max_records - len(taken))
                if len(taken) >= max_records:
                    break
            elif cursor.error is not None and not taken:
                raise cursor.error
        if taken:
            self._wanted.set()
        elif self._error is not None:
            raise self._error
        return taken

    def _suspect(self) -> Record | None:
        """The next record of a partition, if it is suspected."""
        for partition in self.cursors.keys() - self.paused:
            cursor = self.cursors[partition]
            if cursor.suspected and cursor.ahead and cursor.ahead[0].offset in cursor.suspected:
                return cursor.ahead[0]
        return None

    def _hand_over_alone(self, record: Record) -> list[Record]:
        """The record, if it is still the next one of a partition that may deliver."""
        cursor = self.cursors.get(record.partition)
        if cursor is None or record.partition in self.paused:
            return []
        if not cursor.ahead or cursor.ahead[0] is not record:
            return []
        cursor.suspected.discard(record.offset)
        self._wanted.set()
        return [cursor.ahead.popleft()]

    async def clear(self) -> None:
        """Say that what was handed over alone has not killed its reader."""
        if self._quarantine is not None:
            await self._quarantine.clear()

    # --- fetching -------------------------------------------------------------------------

    async def _fetch_always(self) -> None:
        patience: Patience | None = None
        while True:
            try:
                await self._fetch()
                patience = None
            except FAILURES as error:
                logger.debug("%s: a fetch failed: %s", self._topic, error)
                for cursor in self.cursors.values():
                    cursor.is_fresh = False
                patience = patience or Patience(self._client.target, None)
                pause = patience.next(error)
                if pause is None:
                    self._error = self._failure(error)
                    self._news.set()
                    return
                await asyncio.sleep(pause)

    async def _fetch(self) -> None:
        wanted = {
            self._keys.stream(partition): (partition, cursor)
            for partition, cursor in self.cursors.items()
            if partition not in self.paused
            and len(cursor.ahead) < MAX_AHEAD
            and cursor.error is None
        }
        if not wanted:
            self._wanted.clear()
            await self._wanted.wait()
            return
        starts = [b">" if cursor.is_fresh else id_of(cursor.after) for _, cursor in wanted.values()]
        member = self._member
        words: list[Any] = ["XREADGROUP", "GROUP", member.group, member.token, "COUNT", FETCH]
        words += ["BLOCK", self._block, "STREAMS", *wanted, *starts]
        answer = await self._client.execute(*words)
        fetched = {stream.decode(): entries for stream, entries in answer or ()}
        sound = await self._check(wanted)
        for stream, entries in fetched.items():
            partition, cursor = wanted[stream]
            if stream not in sound or self.cursors.get(partition) is not cursor:
                continue  # it was placed anew meanwhile, or has gone
            if not entries:
                cursor.is_fresh = True
                continue
            suspected: set[bytes] = set()
            if self._quarantine is not None and not cursor.is_fresh:
                last = entries[-1][0]
                entries, suspected = await self._quarantine.sift(partition, entries)
                cursor.suspected |= {offset_of(each, stream) for each in suspected}
                if not entries:
                    cursor.after = offset_of(last, stream)
            self._add(partition, cursor, stream, entries)
        self._news.set()

    async def _check(self, wanted: Mapping[str, tuple[int, Cursor]]) -> set[str]:
        """The streams of which what was fetched follows what was there before.

        Where records were removed before they were fetched, the partition fails. Where another
        consumer was handed some (one that does not know yet that it has lost the partition), they
        are taken over, and what was fetched comes again behind them.
        """
        after = [id_of(cursor.after) for _, cursor in wanted.values()]
        member = self._member
        keys = [self._keys.topic, *wanted]
        found = await self._client.run(ENDS, keys, [member.group, member.token, *after])
        sound = set()
        for (stream, (partition, cursor)), (first, last, is_cut, is_shared) in zip(
            wanted.items(), found, strict=True
        ):
            if is_cut:
                cursor.error = out_of_range(self._topic, partition, cursor.after, (first, last))
            elif is_shared:
                cursor.is_fresh = False
                await member.place(partition, id_of(cursor.after).decode())
            else:
                sound.add(stream)
        return sound

    def _add(self, partition: int, cursor: Cursor, stream: str, entries: Any) -> None:
        add = cursor.ahead.append
        try:
            for entry, fields in entries:
                if fields is None:  # delivered once, and removed since
                    cursor.after = offset_of(entry, stream)
                    continue
                record = record_of(entry, fields, self._topic, partition, stream)
                add(record)
                cursor.after = record.offset
        except SourceError as error:
            cursor.error = error

    def _failure(self, error: Exception) -> SourceError:
        if "NOGROUP" in str(error):
            return SourceError(
                f"the topic {self._topic} on Redis at {self._client.address} has lost the consumer "
                f"group {self._member.group}: its data was removed, or did not outlast a restart; "
                f"have the server keep it (appendonly yes) and start anew"
            )
        return SourceError(
            f"can't read the topic {self._topic} on Redis at {self._client.address}: "
            f"{reason(error)}"
        )


def _records_of(cursor: Cursor, limit: int) -> list[Record]:
    """Up to `limit` records, none of them suspected."""
    ahead = cursor.ahead
    if cursor.suspected:
        records: list[Record] = []
        while ahead and len(records) < limit and ahead[0].offset not in cursor.suspected:
            records.append(ahead.popleft())
        return records
    if len(ahead) > limit:
        return [ahead.popleft() for _ in range(limit)]
    records = list(ahead)
    ahead.clear()
    return records


def out_of_range(topic: str, partition: int, offset: int, ends: tuple[bytes, bytes]) -> SourceError:
    """The error for a position behind which records are missing, or that lies behind the end."""
    first, last = (text.decode() for text in ends)
    there = f"it has {first} to {last}" if first else f"it is empty, and ends at {last}"
    return SourceError(
        f"the topic {topic} can't go on after offset {offset} of partition {partition}, which is "
        f"the entry {id_of(offset).decode()}: {there}; what lay between is removed, or never was: "
        f"move the position there"
    )
