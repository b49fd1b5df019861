"""Counts words: an iterable, a topic, a cache. Runs until it is stopped."""

from asyncio import run
from collections.abc import AsyncIterator, Iterator

from slipcore import Cache, Record, Topic, handle, stream

words, counts = Topic("words"), Cache("counts")


async def lines() -> AsyncIterator[str]:
    yield "to be or not to be"


@handle(lines(), sink=[words])
def split(line: str) -> Iterator[tuple[str, str]]:
    yield from ((word, word) for word in line.split())


@handle(words, sink=[counts, print])
def count(word: Record) -> tuple[str, int]:
    return word.key, (counts[word.key] or 0) + 1


if __name__ == "__main__":
    run(stream())
