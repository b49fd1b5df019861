"""A sink over a directory of Parquet files: each output is a row."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final

from slipcore.interfaces import ISink, Out, Scope, SinkError

from slip_example.options import ParquetSinkOptions
from slip_example.origin import origin_of
from slip_example.outbox import Outbox
from slip_example.writer import Writer

MAX_PENDING: Final = 50_000
"""Rows that may wait for a flush before `send` asks to be awaited."""


class ParquetSink(ISink):
    """Rows into files that are there whole or not at all.

    A row whose output has the headers that `origin(record)` gives is in the directory once, however
    often it is written. Rows without go to a new file with each flush, and those that come again
    after a crash are there again. Keys, other headers and timestamps are not written.
    """

    def __init__(self, name: str, options: ParquetSinkOptions, scope: Scope) -> None:
        self.name = name
        self._writer = Writer(options)
        self._outbox = Outbox(name, self._writer.write)

    def __repr__(self) -> str:
        return f"<ParquetSink {self.name} in {self._writer.directory}>"

    async def open(self) -> None:
        await asyncio.to_thread(self._writer.open)

    async def close(self) -> None:
        await self._outbox.close()

    def send(self, output: Out) -> Awaitable[None] | None:
        row = output.value
        if not isinstance(row, Mapping) or not row or not all(type(name) is str for name in row):
            raise SinkError(
                f"the sink {self.name} takes rows, dicts of column and value, not "
                f"{type(row).__name__}: return {{'column': value, ...}}",
                (output,),
            )
        try:
            origin_of(output)
        except ValueError as reason:
            raise SinkError(f"the sink {self.name} can't take a row: {reason}", (output,)) from None
        self._outbox.add(output)
        return self._outbox.flush() if len(self._outbox.pending) > MAX_PENDING else None

    async def flush(self) -> None:
        await self._outbox.flush()
