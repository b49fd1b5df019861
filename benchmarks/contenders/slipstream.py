"""slipstream-async from topic to topic, as documented: see `jobs` for how it is started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from slipstream import Cache, Conf, Topic, handle, stream
from slipstream.interfaces import ICodec

from benchmarks.contenders.jobs import Task, change_of, task


class Change(ICodec):  # type: ignore[misc]  # the peer has no types
    """A codec that leaves values bytes."""

    def encode(self, obj: Any) -> bytes:
        return bytes(obj)

    def decode(self, s: bytes) -> bytes:
        return s


def bind(given: Task) -> None:
    """Bind the job's handler."""
    Conf(
        {
            "bootstrap_servers": given.bootstrap,
            "group_id": given.group,
            "auto_offset_reset": "earliest",
            "acks": "all",
        }
    )
    source = Topic(given.source, codec=Change())
    sink = Topic(given.sink, codec=Change())
    if given.job == "count":
        cache = Cache(str(given.folder / "counts"))

        def do(key: str, value: bytes) -> bytes:
            number = (cache[key] or 0) + 1
            cache[key] = number
            return b"%d" % number
    else:
        change = change_of(given.job)

        def do(key: str, value: bytes) -> bytes:
            return change(value)

    work: Callable[[str, bytes], bytes] = do

    @handle(source, sink=[sink])  # type: ignore[untyped-decorator]  # the peer has no types
    def on(message: Any) -> tuple[str, bytes]:
        return message.key, work(message.key, message.value)


if __name__ == "__main__":
    bind(task())
    asyncio.run(stream())
