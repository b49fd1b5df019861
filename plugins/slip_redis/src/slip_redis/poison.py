"""Entries that kill whoever reads them, found out and moved out of the way.

The server counts deliveries, but all that was fetched together with a killer was delivered as
often. So an entry that is delivered for the last time that is allowed is handed over alone, which
is noted before. Who survives until the next read clears it; who doesn't has found the killer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from slip_redis.ids import id_of
from slip_redis.layout import Keys
from slip_redis.scripts import POISON

if TYPE_CHECKING:
    from slip_redis.client import Client
    from slip_redis.groups import Member

logger = logging.getLogger(__name__)


class Quarantine:
    """What is suspected in the partitions of a member.

    Args:
        client: an open client.
        topic: the topic's name.
        member: who reads.
        max_deliveries: how often an entry is delivered.
    """

    def __init__(self, client: Client, topic: str, member: Member, max_deliveries: int) -> None:
        self._client = client
        self._keys = Keys(topic)
        self._member = member
        self._max_deliveries = max_deliveries
        self._noted: int | None = None

    async def sift(self, partition: int, entries: list[Any]) -> tuple[list[Any], set[bytes]]:
        """Move the killers among entries that were delivered before.

        Returns:
            the other entries, and the ids of those that are suspected.
        """
        stream, group = self._keys.stream(partition), self._member.group
        counted = await self._client.execute(
            "XPENDING", stream, group, entries[0][0], entries[-1][0], len(entries)
        )
        deliveries = {entry: count for entry, _, _, count in counted}
        suspected = {e for e, count in deliveries.items() if count >= self._max_deliveries}
        if not suspected:
            return entries, suspected
        alone = await self._client.execute("HGET", self._keys.group(group), f"alone:{partition}")
        if alone is None or alone not in suspected:
            return entries, suspected
        # This delivery is one to nobody.
        await self._move(partition, alone, deliveries[alone] - 1)
        return [each for each in entries if each[0] != alone], suspected - {alone}

    async def _move(self, partition: int, entry: bytes, deliveries: int) -> None:
        member, stream = self._member, self._keys.stream(partition)
        moved = await self._client.run(
            POISON,
            [self._keys.group(member.group), stream, self._keys.poison],
            [member.token, member.group, partition, entry, deliveries],
        )
        if moved:
            logger.error(
                "Moved the entry %s of the stream %s to %s: it was delivered %d times to the "
                "consumer group %s and never finished, the last time alone.",
                entry.decode(),
                stream,
                self._keys.poison,
                deliveries,
                member.group,
            )

    async def note(self, partition: int, offset: int) -> None:
        """Note that an entry is handed over alone."""
        key = self._keys.group(self._member.group)
        words = ("HSET", key, f"alone:{partition}", id_of(offset))
        self._noted = partition
        await self._client.persist(lambda: self._client.execute(*words), None)

    async def clear(self) -> None:
        """Forget what was noted: its reader lives."""
        if self._noted is not None:
            words = ("HDEL", self._keys.group(self._member.group), f"alone:{self._noted}")
            await self._client.persist(lambda: self._client.execute(*words), None)
            self._noted = None
