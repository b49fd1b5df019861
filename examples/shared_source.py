"""Two handlers share one source: it is read once, and each handler sees every item.
Run it: python shared_source.py
"""

from asyncio import run, sleep
from collections.abc import AsyncIterator, Iterable

from slipcore import handle, stream


async def async_iterable(it: Iterable[str]) -> AsyncIterator[str]:
    for msg in it:
        await sleep(0.01)
        yield msg


changes = async_iterable(['🏆', '📞', '🐟'])


@handle(changes, sink=[print])
def first_handler(msg: str) -> str:
    return f'first: {msg}'


@handle(changes, sink=[print])
def second_handler(msg: str) -> str:
    return f'second: {msg}'


if __name__ == '__main__':
    run(stream())
