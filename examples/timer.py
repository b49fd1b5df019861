"""An async generator as a timer: it carries no data, it only triggers the handler.
Run it: python timer.py
"""

from asyncio import run, sleep
from collections.abc import AsyncIterator
from time import localtime, strftime

from slipcore import handle, stream


async def timer(interval: float = 1.0, ticks: int = 3) -> AsyncIterator[None]:
    for _ in range(ticks):
        await sleep(interval)
        yield


@handle(timer())
def handler() -> None:
    print(strftime('%H:%M:%S', localtime()))


if __name__ == '__main__':
    run(stream())
