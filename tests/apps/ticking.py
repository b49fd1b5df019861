"""Prints until it is stopped."""

from asyncio import sleep
from collections.abc import AsyncIterator

from slipcore import handle


async def ticks() -> AsyncIterator[str]:
    while True:
        yield "tick"
        await sleep(0.05)


@handle(ticks(), sink=[print])
def pass_on(tick: str) -> str:
    return tick
