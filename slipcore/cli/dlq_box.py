"""What all of `slip dlq` does: find the topic, show how far it is, say what went wrong."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from slipcore.app import App
from slipcore.cli.exits import MISCONFIGURED
from slipcore.cli.failures import failed_run
from slipcore.cli.output import PlainReport
from slipcore.cli.printing import say_failure
from slipcore.cli.run import INTERRUPTED, load_target
from slipcore.config import Config
from slipcore.deadletters.box import Box
from slipcore.deadletters.survey import Watch
from slipcore.interfaces import SlipError

T = TypeVar("T")

NAME: Final = "slip-dlq"
"""What the app is called that stands for the configuration alone."""


class Desk:
    """A topic of dead letters, and an event loop for each thing that is done with it."""

    def __init__(self, app: App, topic: str) -> None:
        self.topic = topic
        self._app = app

    def run(self, work: Callable[[Box], Coroutine[Any, Any, T]]) -> T:
        """What comes of it; how far it is shows while it lasts."""
        with _progress() as watch:
            return asyncio.run(work(Box(self._app, self.topic, watch)))


def at_desk(topic: str, target: str | None, work: Callable[[Desk], int]) -> int:
    """The exit code of what is done with a topic of dead letters; what fails is said."""
    # What clients log while they try is told again, better, by what they raise.
    logging.getLogger().addHandler(logging.NullHandler())
    report = PlainReport()
    try:
        app = _app_of_configuration() if target is None else load_target(target, report)
    except SlipError as error:
        say_failure(str(error))
        return MISCONFIGURED
    if isinstance(app, int):
        return app
    try:
        return work(Desk(app, topic))
    except SlipError as error:
        return report.failed(failed_run(error, app))
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        app.close()


def _app_of_configuration() -> App:
    app = App(NAME, config=Config.load())
    app.plugins.load()
    return app


@contextmanager
def _progress() -> Iterator[Watch]:
    """Show how far it is, if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(file=sys.stderr)  # pytest puts another one in its place while tests run
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal or console.is_dumb_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda doing, done, total: bar.update(
            task, description=doing, completed=done, total=total
        )
