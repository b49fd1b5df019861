"""The commands that reach a running app: `slip status`, `pause`, `resume` and `stop`."""

from __future__ import annotations

import sys

import click

_timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="Seconds for an app to answer.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")


@click.command(short_help="Show what a running app does.")
@click.argument("app", required=False)
@click.option("--watch", is_flag=True, help="Look again each second, until Ctrl-C.")
@_timeout
@_json
def status(app: str | None, watch: bool, timeout: float, as_json: bool) -> None:
    """Show how far each handler of a running app is, how fast, and what holds it back.

    APP is an app's name, or its file or module; without it, all that run with their state in the
    directory of this configuration. An app started by `slip run` answers, and one that has called
    `app.observe()`.

    \b
      slip status
      slip status shop --watch
      slip status shop.py --json | python -m json.tool

    \b
    --json prints a list of objects, one for each process:
      app, pid, seconds     since when it runs
      state                 "starting", "running" or "stopping"
      unanswered_seconds    how long its event loop has not answered, or null;
                            all else is as of then
      problems              why it is not ready, a sentence each
      bindings    name, source, why, rate, handled, in_flight, retries,
                  oldest_seconds, lag; partitions: partition, position, end,
                  lag; and a state:
                  "starting", "running", "catching up", "paused",
                  "held back", "hung", "ended" or "failed"
      sources     name, paused, last_commit, uncommitted_seconds
      hung        binding, record, seconds, stack
    \b
    What is not known is null.

    \b
    Exit codes:
      0  all that run have answered
      2  no such app is running, or it is another user's
      3  one did not answer in time
    """
    from slipcore.cli.status import show_status

    watching = 1.0 if watch else None
    sys.exit(show_status(app, timeout=timeout, as_json=as_json, watch=watching))


@click.command(short_help="Let a running app handle nothing more for now.")
@click.argument("app", required=False)
@click.option("--source", "sources", multiple=True, help="Pause this one alone; may be repeated.")
@_timeout
@_json
def pause(app: str | None, sources: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Hand nothing more of its sources to the handlers of a running app, at once.

    The record in hand completes. The app stays a member of its consumer groups, and nothing is
    lost. APP is as for `slip status`.

    \b
      slip pause shop
      slip pause shop --source orders

    \b
    --json prints a list of objects:
      app, pid, sources     what was paused

    \b
    Exit codes:
      0  paused
      2  no such app or source
      3  it did not answer in time
    """
    from slipcore.cli.control import tell

    sys.exit(tell(app, "pause", sources, timeout=timeout, as_json=as_json))


@click.command(short_help="Let a running app go on after a pause.")
@click.argument("app", required=False)
@click.option("--source", "sources", multiple=True, help="Resume this one alone; may be repeated.")
@_timeout
@_json
def resume(app: str | None, sources: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Undo `slip pause`, and a pause of the app's own or of a checkpoint too.

    \b
      slip resume shop

    \b
    --json prints a list of objects:
      app, pid, sources     what was resumed

    \b
    Exit codes:
      0  resumed
      2  no such app or source
      3  it did not answer in time
    """
    from slipcore.cli.control import tell

    sys.exit(tell(app, "resume", sources, timeout=timeout, as_json=as_json))


@click.command(short_help="Stop a running app in order, and wait for its end.")
@click.argument("app", required=False)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="Seconds for it to end.",
)
@_json
def stop(app: str | None, timeout: float, as_json: bool) -> None:
    """Stop a running app as the first SIGTERM does, and wait until it has ended.

    \b
      slip stop shop

    \b
    --json prints a list of objects:
      app, pid, sources     what was stopped

    \b
    Exit codes:
      0  it has ended; how, its own exit code says
      2  no such app is running
      3  it did not end in time
    """
    from slipcore.cli.control import stop as stop_app

    sys.exit(stop_app(app, timeout=timeout, as_json=as_json))
