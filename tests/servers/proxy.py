"""A TCP proxy for the faults that real servers don't have when they are asked to."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Self

from tests.servers.process import HOST, free_ports

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes closing a reset."""


class Mode(Enum):
    """What happens to connections."""

    FORWARD = auto()
    REFUSE = auto()
    HANG = auto()


class Proxy:
    """Forwards to `target` from an address of its own, in a thread, until told otherwise.

    Args:
        target: `host:port` of the server; it may be set later.
        tls: ends TLS here: clients speak it, the server doesn't.
        delay: seconds by which each chunk of a reply is held up; it may be set later.

    Attributes:
        reset_share: of the chunks of reply, how many end their connection instead, 0 to 1.
    """

    def __init__(
        self, target: str = "", *, tls: ssl.SSLContext | None = None, delay: float = 0.0
    ) -> None:
        self.target = target
        self.delay = delay
        self.reset_share = 0.0
        (self.port,) = free_ports(1)
        self._tls = tls
        self._replies_to_drop = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._abandoned: list[asyncio.Event] = []
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.port}"

    def forward(self) -> None:
        """Let everything through again, what was held up as well."""
        self._run(self._turn(Mode.FORWARD))

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""
        self._run(self._turn(Mode.REFUSE))

    def hang(self) -> None:
        """Keep connections and accept new ones, and hold up all that comes, either way."""
        self._run(self._turn(Mode.HANG))

    def abandon(self) -> None:
        """Let nothing through any more on these connections, and say so to nobody; new ones work.

        So it is for a client whose server, or a router on the way, was switched off.
        """
        self._run(self._abandon())

    def cut(self) -> None:
        """Reset all connections; new ones are served as before."""
        self._run(self._cut())

    def drop_replies(self, number: int = 1) -> None:
        """Let requests through, drop the next `number` chunks of reply, and reset then.

        The server has done what it was asked for; the client can't know.
        """
        self._run(self._drop(number))

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self.forward()
        return self

    def close(self) -> None:
        """Reset all connections and end the thread."""
        self.refuse()
        self._run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10.0)

    async def _turn(self, mode: Mode) -> None:
        (self._flowing.clear if mode is Mode.HANG else self._flowing.set)()
        if mode is Mode.REFUSE:
            if self._server is not None:
                self._server.close()
                self._server = None
            await self._cut()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port, ssl=self._tls)

    async def _abandon(self) -> None:
        self._flowing.clear()
        self._abandoned.append(self._flowing)
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _cut(self) -> None:
        while self._open:
            _reset(self._open.pop())
        while self._abandoned:  # what waits there sees that its connection is gone
            self._abandoned.pop().set()

    async def _drop(self, number: int) -> None:
        self._replies_to_drop = number

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, requests: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        self._open.add(client)
        flowing = self._flowing
        try:
            await flowing.wait()
            if client.transport.is_closing():
                return
            replies, server = await asyncio.open_connection(host, int(port))
        except OSError:
            self._open.discard(client)
            _reset(client)
            return
        self._open.add(server)
        there = asyncio.create_task(self._pass_requests(requests, server, flowing))
        back = asyncio.create_task(self._pass_replies(replies, client, flowing))
        try:
            # Once either side has closed there is nobody to talk to, as these protocols go.
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (there, back):
                each.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            for writer in (client, server):
                self._open.discard(writer)
                writer.close()

    async def _pass_requests(
        self, requests: asyncio.StreamReader, server: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        while chunk := await requests.read(CHUNK):
            await flowing.wait()
            server.write(chunk)
            await server.drain()

    async def _pass_replies(
        self, replies: asyncio.StreamReader, client: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        while chunk := await replies.read(CHUNK):
            if self._replies_to_drop:
                self._replies_to_drop -= 1
                if not self._replies_to_drop:
                    await self._cut()
                continue
            if random.random() < self.reset_share:
                _reset(client)
                return
            await asyncio.sleep(self.delay)
            await flowing.wait()
            client.write(chunk)
            await client.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):  # the other side may have closed it just now
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
