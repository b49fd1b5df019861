"""Run the job until its flights are counted; start it again to go on where it was stopped.

python -m examples.flights [--flights 20000] [--directory .demo] [--state .demo/state] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from time import monotonic

from rich.console import Console

from slipcore import SlipError

from .data import FLIGHTS
from .job import Job
from .table import shown, summary

DIRECTORY = Path(__file__).parents[2] / ".demo"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.flights", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--flights", type=int, default=FLIGHTS, help="how many of the year")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="for files")
    parser.add_argument("--state", type=Path, help="for state; default: state/ in the directory")
    parser.add_argument("--json", action="store_true", help="print the totals for machines")
    arguments = parser.parse_args()
    state = arguments.state or arguments.directory / "state"
    wanted = min(max(1, arguments.flights), FLIGHTS)
    console = Console(stderr=arguments.json)
    try:
        job = Job(arguments.directory, state, wanted)
        return run(job, console, as_json=arguments.json)
    except SlipError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the start
        return 130


def run(job: Job, console: Console, *, as_json: bool) -> int:
    """Run the job, say how it ended, and return the exit code."""
    say = partial(console.print, highlight=False, soft_wrap=True)
    wanted = job.wanted
    began, before = monotonic(), job.done
    try:
        if before >= wanted:
            say(f"Counted {before:,} flights already; `make demo-clean` to start over.")
        else:
            if before:
                say(f"Going on after {before:,} of {wanted:,} flights.")
            else:
                say(f"Counting {wanted:,} flights; Ctrl-C stops, the next start goes on.")
            asyncio.run(_stream(job, console))
            say(_ending(job, before, monotonic() - began))
        if as_json:
            print(json.dumps([[*key, *total] for key, total in job.totals.items()]))
        elif job.done >= wanted:
            console.print(summary(job))
    finally:
        job.app.close()
    return 0


async def _stream(job: Job, console: Console) -> None:
    async with shown(job, console):
        await job.app.stream()


def _ending(job: Job, before: int, seconds: float) -> str:
    counted = job.done - before
    pace = f"{counted:,} flights in {seconds:.1f} s, {counted / seconds:,.0f} a second"
    if job.done >= job.wanted:
        return f"Counted {pace}."
    return f"Stopped after {pace}; {job.wanted - job.done:,} are left for the next start."


if __name__ == "__main__":
    sys.exit(main())
