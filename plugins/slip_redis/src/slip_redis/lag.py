"""How far a member is behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from slip_redis.errors import FAILURES
from slip_redis.layout import Keys
from slip_redis.scripts import LAG

if TYPE_CHECKING:
    from slip_redis.client import Client
    from slip_redis.reading import Cursor


async def lag_of(
    client: Client, topic: str, group: str, cursors: Mapping[int, Cursor]
) -> dict[int, int]:
    """Partition -> records that are not handed over; without those where it is not known."""
    read = {partition: cursor for partition, cursor in cursors.items() if cursor.is_fresh}
    if not read:
        return {}
    streams = [Keys(topic).stream(partition) for partition in read]
    try:
        found = await client.run(LAG, streams, [group])
    except FAILURES:
        return {}
    return {
        partition: undelivered + len(cursor.ahead)
        for (partition, cursor), undelivered in zip(read.items(), found, strict=True)
        if undelivered >= 0
    }
