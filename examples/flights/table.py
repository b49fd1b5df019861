"""What a person sees: a live table of the streams, and the totals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from slipcore.engine.streams import PausableStream

from .job import Job

INTERVAL = 0.5
"""Seconds between two looks at the streams."""

KINDS = ("clear", "windy", "precipitation", "low visibility", "unknown")


@asynccontextmanager
async def shown(job: Job, console: Console) -> AsyncIterator[None]:
    """Show how the streams come along while the block lasts: a table, or lines if piped."""
    keep_showing = _table if console.is_terminal else _lines
    showing = asyncio.ensure_future(keep_showing(job, console))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _lines(job: Job, console: Console) -> None:
    while True:
        await asyncio.sleep(INTERVAL)
        console.print(_progress(job), highlight=False, soft_wrap=True)


async def _table(job: Job, console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        await _keep_up(job, live)


async def _keep_up(job: Job, live: Live) -> None:
    began = then = monotonic()
    before: dict[str, int] = {}
    while True:
        await asyncio.sleep(INTERVAL)
        now = monotonic()
        table = Table("stream", title=f"{now - began:.0f} s", title_justify="right")
        for column in ("handled", "per second", "lag"):
            table.add_column(column, justify="right", min_width=10)
        for stream in job.app.streams:
            handled = _handled(stream)
            rate = (handled - before.get(stream.name, 0)) / (now - then)
            lag = sum((await stream.lag()).values())
            table.add_row(stream.name, f"{handled:,}", f"{rate:,.0f}", f"{lag:,}")
            before[stream.name] = handled
        then = now
        live.update(Group(table, _progress(job)), refresh=True)


def _progress(job: Job) -> str:
    return f"{job.done:,} of {job.wanted:,} flights counted"


def _handled(stream: PausableStream) -> int:
    return sum(lane.handled_records for lane in stream.lanes)


def summary(job: Job) -> Table:
    """Each carrier's flights and mean delay, by kind of weather."""
    totals = dict(job.totals.items())
    table = Table(
        "",
        *KINDS,
        title="Flights, and the minutes that they left late on average",
        box=SIMPLE,
        pad_edge=False,
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for carrier in sorted({carrier for carrier, _ in totals}):
        cells = [_cell(*totals.get((carrier, kind), (0, 0))) for kind in KINDS]
        table.add_row(carrier, *cells)
    table.add_section()
    together = [[t for (_, k), t in totals.items() if k == kind] for kind in KINDS]
    table.add_row("all", *(_cell(sum(f for f, _ in t), sum(m for _, m in t)) for t in together))
    return table


def _cell(flights: int, minutes: int) -> str:
    return f"{flights:,} {minutes / flights:+5.1f}" if flights else ""
