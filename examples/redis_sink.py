"""Any callable is a sink, such as a function that sets a key of Redis.
Run it beside an empty Redis: python redis_sink.py [6379]
"""

from asyncio import run
from collections.abc import AsyncIterator, Iterator
from sys import argv
from typing import Any

from redis import Redis

from slipcore import handle, stream


async def messages() -> AsyncIterator[str]:
    for _ in range(2):
        for emoji in '🏆📞🐟👌':
            yield emoji


r: Any = Redis(
    host='localhost', port=int(argv[1]) if len(argv) > 1 else 6379, decode_responses=True
)


def cache(pair: tuple[str, int]) -> None:
    r.set(*pair)


@handle(messages(), sink=[cache])
def handler(msg: str) -> Iterator[tuple[str, int]]:
    count = int(r.get(msg)) + 1 if msg in r else 1
    yield msg, count


if __name__ == '__main__':
    run(stream())

    print({k: int(r[k]) for k in sorted(r.keys('*'))})
