"""acme: counts words."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

from slipcore import Cache, Record, Topic, handle

words, counts = Topic("words"), Topic("counts", codec="json")
totals = Cache("totals")


@handle(words, sink=[counts, print])
def count(record: Record) -> tuple[str, int]:
    """Send each word on with how often it has come."""
    total: int = (totals[record.value] or 0) + 1
    totals[record.value] = total
    return record.value, total


async def send(texts: Iterable[str]) -> None:
    """Put words into the topic that the app reads."""
    for text in texts:
        await words(text)
    await words.aclose()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1:]))
