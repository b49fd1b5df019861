"""Never comes to the end of its one record."""

from asyncio import sleep
from collections.abc import AsyncIterator

from slipcore import App, Limits

app = App("waiting", limits=Limits())


async def once() -> AsyncIterator[int]:
    yield 1


@app.handle(once())
async def wait(number: int) -> None:
    print("waiting", flush=True)
    await sleep(60)
