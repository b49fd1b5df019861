"""`slip run` and `slip plan`: load an app, say what it runs on, run it, say how it ended."""

from __future__ import annotations

import time

from slipcore.app import App
from slipcore.cli.failures import failed_import, failed_run
from slipcore.cli.logs import log_as_json, log_as_text
from slipcore.cli.loops import loop_factory, run
from slipcore.cli.output import Report
from slipcore.cli.progress import watched
from slipcore.cli.target import Target
from slipcore.engine.streams import PausableStream
from slipcore.plan import Plan

INTERRUPTED = 130
"""What a shell reports of a process that SIGINT ended; here only before the start."""


def run_target(
    target: str,
    report: Report,
    *,
    quiet: bool,
    log_json: bool,
    http: str | None = None,
    loop: str | None = None,
) -> int:
    """Run an app and return the exit code.

    Args:
        http: where to serve its health and metrics, a port or HOST:PORT; None: nowhere.
        loop: "asyncio" or "uvloop"; None: uvloop where it is installed.
    """
    if log_json:
        log_as_json()
    try:
        app = load_target(target, report)
        if isinstance(app, int):
            return app
        if not log_json:
            log_as_text()
        try:
            return _run(app, report, progress=not (quiet or log_json), http=http, loop=loop)
        finally:
            app.close()
    except KeyboardInterrupt:
        return INTERRUPTED


def plan_target(target: str, report: Report) -> tuple[int, Plan | None]:
    """Plan an app without running it; the exit code and, where it is 0, the plan."""
    app = load_target(target, report)
    if isinstance(app, int):
        return app, None
    try:
        return 0, _planned(app)
    except Exception as error:
        return report.failed(failed_run(error, app)), None
    finally:
        app.close()


def load_target(target: str, report: Report) -> App | int:
    """The app of a target; the exit code where it can't be had, which the report has told of."""
    wanted = Target.parse(target)
    try:
        return wanted.find(wanted.load())
    except (Exception, SystemExit) as error:
        return report.failed(failed_import(error, wanted.place))


def _run(app: App, report: Report, *, progress: bool, http: str | None, loop: str | None) -> int:
    streams: list[PausableStream] = []
    began = time.monotonic()
    try:
        factory = loop_factory(loop)
        report.planned(_planned(app))
        # A run's streams are gone when it has ended; their counts are wanted then.
        app.on_start(lambda: streams.extend(app.streams))
        app.observe(http=http)
        run(_watch(app) if progress else app.stream(), factory)
    except Exception as error:
        return report.failed(failed_run(error, app))
    report.ended(time.monotonic() - began, handled(streams))
    return 0


def _planned(app: App) -> Plan:
    # Built-in names would do without the plugins, and a wrong SLIP_PLUGINS would go unnoticed.
    app.plugins.load()
    return app.plan()


async def _watch(app: App) -> None:
    async with watched(app):
        await app.stream()


def handled(streams: list[PausableStream]) -> dict[str, int]:
    """How many records of each source its bindings have handled."""
    return {
        stream.name: max((lane.handled_records for lane in stream.lanes), default=0)
        for stream in streams
    }
