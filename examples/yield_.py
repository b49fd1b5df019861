"""A handler that yields: zero, one or more results for each record.
Run it: python yield_.py
"""

from asyncio import run
from collections.abc import AsyncIterator, Iterator

from slipcore import handle, stream


async def numbers() -> AsyncIterator[int]:
    for x in range(5):
        yield x


@handle(numbers(), sink=[print])
def handler(n: int) -> Iterator[str]:
    if n == 0:
        yield f'zero: {n}'
    if n % 2 == 0:
        yield f'even: {n}'


if __name__ == '__main__':
    run(stream())
