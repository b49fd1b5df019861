"""`slip status`: what a running app does."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import click

from slipcore.cli.control import ask, refused
from slipcore.cli.printing import print_json, print_table, print_text
from slipcore.control.client import Request
from slipcore.control.report import AppStatus, BindingStatus
from slipcore.interfaces import SlipError

HANDLERS = ("handler", "source", "state", "rate/s", "handled", "lag", "in flight", "retries")
PARTITIONS = ("handler", "source", "partition", "position", "end", "lag")


def show_status(target: str | None, *, timeout: float, as_json: bool, watch: float | None) -> int:
    """Print the status of running apps, again and again where asked for; the exit code.

    Args:
        watch: seconds between two looks; None: look once.
    """
    while True:
        try:
            found = [
                answer.status
                for answer in ask(target, Request("status"), timeout)
                if answer.status is not None
            ]
        except SlipError as error:
            return refused(error)
        if watch is not None and not as_json and sys.stdout.isatty():
            click.clear()
        if as_json:
            print_json(found)
        else:
            for number, status in enumerate(found):
                _print(status, apart=number > 0)
        if watch is None:
            return 0
        try:
            time.sleep(watch)
        except KeyboardInterrupt:
            return 0


def _print(status: AppStatus, *, apart: bool) -> None:
    if apart:
        print_text("")
    fit = "not ready" if status.problems else "ready"
    print_text(
        f"{status.app}: {status.state} for {_duration(status.seconds)}, {fit}, process {status.pid}"
    )
    print_table(HANDLERS, map(_handler, status.bindings), whole=HANDLERS[2:])
    if rows := [row for binding in status.bindings for row in _partitions(binding)]:
        print_text("")
        print_table(PARTITIONS, rows, whole=PARTITIONS[2:])
    for binding in status.bindings:
        if binding.why is not None:
            print_text(f"{binding.name} is {binding.state}: {binding.why}.")
    print_text(*(f"Not ready: {problem}." for problem in status.problems))
    for hung in status.hung:
        print_text(f"{hung.binding or 'The event loop'} stands at:")
        click.echo(hung.stack)


def _handler(binding: BindingStatus) -> Sequence[str]:
    return (
        binding.name,
        binding.source,
        binding.state,
        f"{binding.rate:,.0f}",
        f"{binding.handled:,}",
        _number(binding.lag),
        f"{binding.in_flight:,}",
        f"{binding.retries:,}",
    )


def _partitions(binding: BindingStatus) -> Iterator[Sequence[str]]:
    for number, place in enumerate(binding.partitions):
        names = (binding.name, binding.source) if number == 0 else ("", "")
        yield (*names, str(place.partition), *map(_number, (place.position, place.end, place.lag)))


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
