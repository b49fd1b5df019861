"""The line that says how a run is going: rate and lag of each source, and the time."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.text import Text

from slipcore.app import App
from slipcore.engine.streams import PausableStream

INTERVAL = 1.0
"""Seconds between two looks at the streams."""


@dataclass(slots=True)
class Progress:
    """Turns counts into rates between one look and the next."""

    began: float
    _before: dict[str, tuple[float, int]] = field(default_factory=dict)

    def line(
        self, streams: Sequence[PausableStream], lags: Sequence[int | None], now: float
    ) -> str:
        """What to show at a moment.

        Args:
            lags: records still to be read, per stream; None where nobody knows.
            now: seconds on the clock of `began`.
        """
        parts = [_clock(now - self.began)]
        for stream, lag in zip(streams, lags, strict=True):
            count = max((lane.handled_records for lane in stream.lanes), default=0)
            then, before = self._before.get(stream.name, (self.began, 0))
            self._before[stream.name] = now, count
            rate = (count - before) / max(now - then, 1e-9)
            state = " paused" if stream.paused else ""
            behind = f", lag {lag:,}" if lag is not None else ""
            parts.append(f"{stream.name}{state} {rate:,.0f}/s{behind}")
        if any(stream.stopping for stream in streams):
            parts.append("stopping (again to stop now)")
        return "  ".join(parts)


@asynccontextmanager
async def watched(app: App) -> AsyncIterator[None]:
    """Show the progress of an app's run while the block lasts, if stderr is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    # Output that is piped elsewhere must not be led to the terminal by the live line.
    redirect = sys.stdout.isatty()
    with Live(
        console=console, auto_refresh=False, transient=True, redirect_stdout=redirect
    ) as live:
        showing = asyncio.ensure_future(_show(app, live))
        try:
            yield
        finally:
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing


async def _show(app: App, live: Live) -> None:
    progress = Progress(time.monotonic())
    while True:
        await asyncio.sleep(INTERVAL)
        streams = app.streams
        lags = [await _lag(stream) for stream in streams]
        line = progress.line(streams, lags, time.monotonic())
        live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)


async def _lag(stream: PausableStream) -> int | None:
    try:
        async with asyncio.timeout(INTERVAL):
            lag = await stream.lag()
    except Exception:  # a run must not end because nobody could say how far behind it is
        return None
    return sum(lag.values()) if lag else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
