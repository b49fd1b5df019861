"""What a command says: on stderr what happens, on stdout what was asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import click

from slipcore.cli.failures import Failure
from slipcore.cli.graph import graph_text
from slipcore.cli.logs import OUTPUT
from slipcore.cli.plan import plan_text
from slipcore.cli.printing import as_builtins, print_json, say_failure
from slipcore.plan import Plan


class Report(Protocol):
    """Tells the user of a run."""

    def planned(self, plan: Plan) -> None:
        """It is about to start."""

    def ended(self, seconds: float, handled: Mapping[str, int]) -> None:
        """It ended in order, having handled so many records of each source."""

    def failed(self, failure: Failure) -> int:
        """It ended otherwise; the exit code is handed back."""
        ...


class PlainReport:
    """For people.

    Args:
        quiet: tell of failures only.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet

    def planned(self, plan: Plan) -> None:
        if not self._quiet:
            click.echo(plan_text(plan) + "\n", err=True)

    def ended(self, seconds: float, handled: Mapping[str, int]) -> None:
        if self._quiet:
            return
        counts = ", ".join(f"{name} {count:,}" for name, count in handled.items()) or "none"
        click.echo(f"Ended in order after {seconds:.1f} s; records handled: {counts}.", err=True)

    def failed(self, failure: Failure) -> int:
        say_failure(failure.sentence)
        if failure.traceback is not None:
            click.echo(failure.traceback, err=True)
        return failure.exit_code


class JsonReport:
    """For machines: lines of the log.

    Args:
        quiet: tell of failures only.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._log = logging.getLogger(OUTPUT)

    def planned(self, plan: Plan) -> None:
        if not self._quiet:
            self._log.info("planned", extra={"data": {"plan": as_builtins(plan)}})

    def ended(self, seconds: float, handled: Mapping[str, int]) -> None:
        if not self._quiet:
            data = {"seconds": round(seconds, 3), "handled": dict(handled)}
            self._log.info("ended in order", extra={"data": data})

    def failed(self, failure: Failure) -> int:
        data: dict[str, Any] = {"exit_code": failure.exit_code}
        if failure.traceback is not None:
            data["traceback"] = failure.traceback
        self._log.error("%s", failure.sentence, extra={"data": data})
        return failure.exit_code


def print_plan(plan: Plan, *, as_json: bool, as_graph: bool) -> None:
    """Print a plan."""
    if as_json:
        print_json(plan)
    elif as_graph:
        click.echo(graph_text(plan))
    else:
        click.echo(plan_text(plan))
