"""A streaming endpoint that sends every update of a cache to whoever listens (fastapi, uvicorn).
Run it: python endpoint.py [port], then: curl -N http://127.0.0.1:8000/updates
"""

import sys
from asyncio import gather, run, sleep
from collections.abc import AsyncIterator, Iterator
from time import strftime

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from uvicorn import Config, Server

from slipcore import Cache, handle, stream

app, cache = FastAPI(), Cache('db')


async def timer(interval: float = 1.0) -> AsyncIterator[None]:
    while True:
        yield
        await sleep(interval)


@handle(timer(), sink=[cache, print])
def tick_tock() -> Iterator[tuple[str, str]]:
    yield 'time', strftime('%H:%M:%S')


async def cache_value_updates() -> AsyncIterator[str]:
    async for _, v in cache:
        yield v + '\n'


@app.get('/updates')
async def updates() -> StreamingResponse:
    return StreamingResponse(cache_value_updates(), media_type='text/event-stream')


async def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    # Whoever still listens at a stop is let go of after a second.
    config = Config(app=app, host='127.0.0.1', port=port, timeout_graceful_shutdown=1)
    server = Server(config)
    await gather(stream(), server.serve())


if __name__ == '__main__':
    run(main())
