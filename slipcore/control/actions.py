"""The socket of a running app: a line of JSON asks, a line of JSON answers."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec

from slipcore.control.client import Answer, Request
from slipcore.control.places import HAS_SOCKETS, claim
from slipcore.engine.streams import PausableStream
from slipcore.interfaces import ConfigError, SlipError

if TYPE_CHECKING:
    from slipcore.control.attendant import Attendant

logger = logging.getLogger(__name__)

REQUEST_BYTES: Final = 64 * 1024
REQUEST_SECONDS: Final = 10.0
"""For a client to say what it wants."""


@asynccontextmanager
async def serve_requests(attendant: Attendant) -> AsyncIterator[None]:
    """Take requests at a socket in the app's state directory, where the platform has such."""
    app = attendant.app
    if not HAS_SOCKETS:
        logger.info("This platform has no Unix sockets: slip status can't ask %r.", app)
        yield
        return
    try:
        listening, path = claim(app.scope.state_dir, app.name)
    except OSError as error:
        logger.warning("slip status and slip stop can't reach %r: %s", app, error)
        yield
        return
    connected: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add(writer)
        try:
            await _converse(attendant, reader, writer)
        except (TimeoutError, ConnectionError, ValueError, asyncio.CancelledError):
            pass  # a client that goes away, or says too much or nothing, is no matter of the app
        finally:
            connected.discard(writer)
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=listening, limit=REQUEST_BYTES)
    try:
        yield
    finally:
        # Before it is dead: an app that starts would take a dead socket's place, and lose it here.
        with suppress(FileNotFoundError):
            path.unlink()
        server.close()
        for writer in list(connected):
            writer.close()


async def _converse(
    attendant: Attendant, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    async with asyncio.timeout(REQUEST_SECONDS):
        line = await reader.readline()
    if not line:
        return
    answer = await _answer(attendant, line)
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()
    await reader.read()  # until the client goes, or the app: who has asked for a stop waits for it


async def _answer(attendant: Attendant, line: bytes) -> Answer:
    app = attendant.app
    answer = Answer(app.name, os.getpid())
    try:
        request = msgspec.json.decode(line, type=Request)
        if request.do == "status":
            return msgspec.structs.replace(answer, status=await attendant.status())
        sources = await attendant.in_app(lambda: _act(attendant, request), request.timeout)
    except (SlipError, msgspec.MsgspecError) as error:
        return msgspec.structs.replace(answer, error=str(error))
    except TimeoutError:
        return msgspec.structs.replace(
            answer,
            late=True,
            error=f"The event loop of {app.name} is busy with something else; it will "
            f"{request.do} when that is over.",
        )
    return msgspec.structs.replace(answer, sources=sources)


def _act(attendant: Attendant, request: Request) -> list[str]:
    """Do what was asked for, in the app's event loop; the sources that it was done to."""
    runner = attendant.monitor.runner
    if request.do == "stop":
        runner.stop()
        return [stream.name for stream in runner.streams]
    if request.do not in ("pause", "resume"):
        raise ConfigError(f"A running app can't {request.do!r}: it is of another version.")
    streams = _named(runner.streams, request.sources)
    for stream in streams:
        if request.do == "pause":
            stream.pause()
        else:
            stream.resume()
    return [stream.name for stream in streams]


def _named(streams: tuple[PausableStream, ...], names: list[str]) -> tuple[PausableStream, ...]:
    """The streams of these names, with the backend or without it.

    Raises:
        ConfigError: there is none.
    """
    found: list[PausableStream] = []
    for name in names:
        same = [s for s in streams if name in (s.name, s.name.partition(":")[2])]
        if not same:
            known = ", ".join(dict.fromkeys(s.name for s in streams))
            raise ConfigError(f"No source is named {name!r}: there are {known}.")
        found += same
    return tuple(found) if names else streams
