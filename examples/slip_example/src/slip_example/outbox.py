"""Outputs on their way into files: gathered, then written together in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from slipcore.interfaces import Out, SinkError


class _Run:
    """Everything that is handed over between two failures.

    Attributes:
        handed: how many outputs were handed over.
        durable: how many of them are written; they are the first ones.
        error: why the next ones were not.
        lost: the outputs from there on that are not durable.
    """

    def __init__(self) -> None:
        self.handed = 0
        self.durable = 0
        self.error: SinkError | None = None
        self.lost: list[Out] = []


class Outbox:
    """Takes outputs at once and writes what has gathered whenever somebody flushes.

    One write is under way at a time, in a thread. What is flushed meanwhile goes with the next.

    Args:
        name: of the sink, for messages.
        write: makes outputs durable, or raises a SinkError with those that are not.
    """

    def __init__(self, name: str, write: Callable[[Sequence[Out]], None]) -> None:
        self.pending: list[Out] = []
        self._name = name
        self._write = write
        self._run = _Run()
        self._writing: asyncio.Task[None] | None = None

    def add(self, output: Out) -> None:
        self.pending.append(output)
        self._run.handed += 1

    async def flush(self) -> None:
        """Return when all that was added before the call is written.

        A cancelled flush leaves its write going; the next one tells of its failure.

        Raises:
            SinkError: with what is not written. The outbox has let go of it.
        """
        run = self._run
        wanted = run.handed
        while run.durable < wanted:
            if run.error is not None:
                raise self._failure(run, run.error)
            if self._writing is None:
                self._writing = asyncio.ensure_future(self._write_pending(run))
            await asyncio.wait([self._writing])

    async def close(self) -> None:
        """Drop what is pending, and wait for the write under way."""
        self.pending.clear()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._run.error is None:
            self._run.error = SinkError("it was closed")
        self._run = _Run()

    async def _write_pending(self, run: _Run) -> None:
        outputs, self.pending = self.pending, []
        try:
            await asyncio.to_thread(self._write, outputs)
            run.durable += len(outputs)
        except SinkError as error:
            run.error, run.lost = error, list(error.outputs)
        except BaseException as error:  # what was cancelled may be written or not
            run.error, run.lost = SinkError(str(error) or "the write was cancelled"), outputs
            raise
        finally:
            self._writing = None

    def _failure(self, run: _Run, error: SinkError) -> SinkError:
        if run is self._run:
            run.lost += self.pending
            self.pending = []
            self._run = _Run()
        return SinkError(
            f"{len(run.lost)} row(s) of the sink {self._name} are not durable: {error}", run.lost
        )
