"""Pipes transform the stream itself, before the handler sees it (needs asyncstdlib).
Run it: python pipes.py [pairwise] [accumulate]
"""

import sys
from asyncio import run, sleep
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asyncstdlib import accumulate, pairwise

from slipcore import handle, stream

pipes: dict[str, Any] = {'pairwise': pairwise, 'accumulate': accumulate}


async def numbers(n: int = 5) -> AsyncIterator[int]:
    for i in range(n):
        await sleep(0.1)
        yield i


@handle(numbers(), pipe=[pipes[name] for name in sys.argv[1:] or ['pairwise']], sink=[print])
def handler(item: Any) -> Iterator[Any]:
    yield item


if __name__ == '__main__':
    run(stream())
