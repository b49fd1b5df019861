"""The data flow in one screen: a source that triggers, a handler that yields, a sink that prints.
Run it: python demo.py
"""

from asyncio import run, sleep
from collections.abc import AsyncIterator, Iterator

from slipcore import handle, stream


async def timer(interval: float = 1.0, ticks: int = 3) -> AsyncIterator[None]:
    for _ in range(ticks):
        yield
        await sleep(interval)


@handle(timer(), sink=[print])
def handler() -> Iterator[str]:
    yield '🐟 - blub'


if __name__ == '__main__':
    run(stream())
