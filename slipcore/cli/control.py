"""Behind `slip pause`, `resume` and `stop`: which app is meant, and what it is told."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from slipcore.cli.exits import MISCONFIGURED, UNFINISHED
from slipcore.cli.output import PlainReport
from slipcore.cli.printing import print_json, say_failure
from slipcore.cli.target import Target
from slipcore.config import Config
from slipcore.control.client import (
    Answer,
    Connection,
    NotAnsweringError,
    NotRunningError,
    Request,
    running,
)
from slipcore.control.places import HAS_SOCKETS, sockets
from slipcore.interfaces import ConfigError, SlipError

IN_TIME: Final = 0.8
"""Part of the deadline after which an app has to say itself why it can't."""

DONE: Final = {"pause": "paused", "resume": "resumed"}


def tell(
    target: str | None, verb: str, sources: Sequence[str], *, timeout: float, as_json: bool
) -> int:
    """Pause or resume sources of running apps, and return the exit code."""
    request = Request(verb, list(sources), timeout * IN_TIME)
    try:
        answers = list(ask(target, request, timeout))
    except SlipError as error:
        return refused(error)
    if as_json:
        print_json(answers)
    for answer in answers:
        if answer.error is not None:
            say_failure(answer.error)
        elif not as_json:
            done = ", ".join(answer.sources) or "no source"
            click.echo(f"{answer.app} (process {answer.pid}): {DONE[verb]} {done}.")
    return _code(answers)


def stop(target: str | None, *, timeout: float, as_json: bool) -> int:
    """Stop running apps in order, wait for their end, and return the exit code."""
    answers: list[Answer] = []
    try:
        with ExitStack() as stack:
            for connection, answer in _asked(stack, target, Request("stop"), timeout):
                answers.append(answer)
                connection.wait_for_end(answer.pid)
                if not as_json:
                    click.echo(f"{answer.app} (process {answer.pid}) has ended.")
    except SlipError as error:
        return refused(error)
    if as_json:
        print_json(answers)
    return 0


def ask(target: str | None, request: Request, timeout: float) -> Iterator[Answer]:
    """What the running apps of a target answer.

    Raises:
        SlipError: none runs, or one does not answer.
    """
    with ExitStack() as stack:
        for _, answer in _asked(stack, target, request, timeout):
            yield answer


def refused(error: SlipError) -> int:
    """Say why nobody could be asked, and return the exit code."""
    say_failure(str(error))
    return UNFINISHED if isinstance(error, NotAnsweringError) else MISCONFIGURED


def _code(answers: Sequence[Answer]) -> int:
    failed = [answer for answer in answers if answer.error is not None]
    if any(not answer.late for answer in failed):
        return MISCONFIGURED
    return UNFINISHED if failed else 0


def _asked(
    stack: ExitStack, target: str | None, request: Request, timeout: float
) -> Iterator[tuple[Connection, Answer]]:
    """Running apps and what they answer, all having been asked before the first is waited for.

    A name may be written otherwise in the name of a socket, and so may another one.
    """
    if not HAS_SOCKETS:
        raise ConfigError("This platform has no Unix sockets, by which a running app is reached.")
    state_dir, app = _place(target)
    found = running(state_dir, app, request, timeout)
    for connection in found:
        stack.enter_context(connection)
    answers = [
        (connection, answer)
        for connection in found
        if (answer := connection.answer()).app == app or app is None
    ]
    if not answers:
        raise _none(state_dir, app)
    yield from answers


def _none(state_dir: Path, app: str | None) -> NotRunningError:
    if app is None:
        return NotRunningError(f"No app is running with its state in {state_dir}.")
    there = running(state_dir, None, Request("status"), 1.0)
    names = []
    for connection in there:
        with connection:
            names.append(connection.answer().app)
    also = f"; {', '.join(dict.fromkeys(names))} is running there" if names else ""
    return NotRunningError(f"No app '{app}' is running with its state in {state_dir}{also}.")


def _place(target: str | None) -> tuple[Path, str | None]:
    """The state directory and the name of what is meant.

    Raises:
        ConfigError: an app file or module that can't be used; the configuration is wrong.
    """
    if target is None:
        return Config.load().state_dir, None
    wanted = Target.parse(target)
    if wanted.is_file or wanted.app is not None or _is_module(target):
        from slipcore.cli.run import load_target

        app = load_target(target, PlainReport(quiet=True))
        if isinstance(app, int):
            raise click.exceptions.Exit(app)
        try:
            return app.config.state_dir, app.name
        finally:
            app.close()
    return Config.load().state_dir, target


def _is_module(text: str) -> bool:
    """Whether a name with dots in it is a module, and not that of a running app."""
    if "." not in text or sockets(Config.load().state_dir, text):
        return False
    try:
        return importlib.util.find_spec(text) is not None
    except (ImportError, ValueError):
        return False
