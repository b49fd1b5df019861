"""What `slip` understands: commands, options, and help that teaches."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from slipcore.cli.dlq import dlq
from slipcore.cli.new import new
from slipcore.cli.reaching import pause, resume, status, stop

if TYPE_CHECKING:
    from slipcore.app import App
    from slipcore.cli.output import Report

# What a command stands on is imported when it is called: help and lists come at once.

TARGET_HELP = """TARGET is an app file or a dotted module, with :NAME where it holds several apps:
shop.py, shop.py:app, company.shop:app. Without :NAME it is the module's only App object, else the
app that the module-level handle() binds to."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88})
@click.version_option(package_name="slipcore", prog_name="slip")
def slip() -> None:
    """Run ordinary Python functions over streams.

    An app file binds sources and sinks to functions:

    \b
      from slipcore import Topic, handle
      @handle(Topic("orders"), sink=[print])
      def show(order):
          return order.value

    \b
    Run it; ask beforehand what it runs on, what a crash would cost, whether
    all of it answers, and which value comes from where:
      slip run shop.py
      slip plan shop.py
      slip doctor shop.py
      slip config shop.py

    \b
    While it runs, from elsewhere:
      slip status shop
      slip pause shop
      slip stop shop

    \b
    See to the records that could not be handled:
      slip dlq list orders-dead
      slip dlq replay orders-dead

    \b
    See what there is to choose from:
      slip plugins
      slip backends topic kafka

    Backends are chosen in slip.toml, by SLIP_... variables, or in code.
    """


@slip.command(short_help="Run an app until its sources end or a signal comes.")
@click.argument("target")
@click.option("-q", "--quiet", is_flag=True, help="Show no summary and no progress.")
@click.option("--log-json", is_flag=True, help="Write all of stderr as one JSON object a line.")
@click.option("--http", metavar="PORT", help="Serve /live, /ready, /metrics on 127.0.0.1:PORT.")
@click.option(
    "--loop",
    type=click.Choice(["asyncio", "uvloop"]),
    envvar="SLIP_LOOP",
    help="The event loop; default: uvloop where it is installed. SLIP_LOOP says the same.",
)
def run(target: str, quiet: bool, log_json: bool, http: str | None, loop: str | None) -> None:
    """Run an app until its sources end, a binding fails, or SIGINT or SIGTERM comes.

    The first signal stops in order: the record in hand completes, what is on the way becomes
    durable, positions are committed. A second one stops now.

    While it runs, `slip status`, `slip pause`, `slip resume` and `slip stop` reach it. --http takes
    HOST:PORT too, and anyone who reaches that address may ask there.

    \b
      slip run shop.py
      slip run company.shop:app -q
      slip run shop.py --log-json 2> shop.log
      slip run shop.py --http 8080

    \b
    Exit codes:
      0  ended or stopped in order
      1  a handler, source or sink failed
      2  a wrong setting, name or usage; nothing was started
      3  a deadline passed with unfinished work
    """
    from slipcore.cli.run import run_target

    report = _report(log_json, quiet)
    sys.exit(run_target(target, report, quiet=quiet, log_json=log_json, http=http, loop=loop))


@slip.command(short_help="Show what an app would run on, without running it.")
@click.argument("target")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--graph", is_flag=True, help="Print the plan as a Mermaid flowchart.")
def plan(target: str, as_json: bool, graph: bool) -> None:
    """Show sources, sinks and state of an app, on which backends, why, and with which guarantee.

    Nothing is opened or started. Secrets are masked.

    \b
      slip plan shop.py
      slip plan shop.py --json | python -m json.tool
      slip plan shop.py --graph > shop.mmd

    \b
    --json prints one object:
      app, group, config, state_dir   strings; config may be null
      bindings   name, sources, pipes, sinks, state, delivery, state_delivery,
                 reasons, weakest: name, kind, reason, or null
      sources, sinks, state           name, kind, backend, reason, owner,
                 settings, notes
    """
    if as_json and graph:
        raise click.UsageError("--json and --graph are two forms: ask for one of them.")
    from slipcore.cli.output import PlainReport, print_plan
    from slipcore.cli.run import plan_target

    code, found = plan_target(target, PlainReport())
    if found is not None:
        print_plan(found, as_json=as_json, as_graph=graph)
    sys.exit(code)


@slip.group(invoke_without_command=True, short_help="List the plugins and what each provides.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.option(
    "--check", is_flag=True, help="Exit with 1 if one is not in order or two want one name."
)
@click.pass_context
def plugins(context: click.Context, as_json: bool, check: bool) -> None:
    """List the installed plugins, what each provides, and why one could not be used.

    No client library is imported for it.

    \b
      slip plugins
      slip plugins --check && slip run shop.py

    \b
    --json prints a list of objects:
      name, distribution, version   the entry point, and who brings it
      status      "loaded", "failed" or "disabled"
      provides    kind -> names
      reason      why it is not used, or what is wrong with it, or null
      conflicts   kind, name, owners: names that another plugin has too

    \b
    Exit codes with --check:
      0  all that is not disabled is in order, and no name is wanted twice
      1  a plugin failed, registers nothing, or lacks what it requires;
         or two plugins register one name
      2  a wrong setting
    """
    if context.invoked_subcommand is not None:
        return
    from slipcore.cli.listing import list_plugins

    sys.exit(list_plugins(as_json=as_json, check=check))


@plugins.command(short_help="Hold an installed backend to the contracts.")
@click.argument("name")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of it.")
@click.option("--value", "values", multiple=True, metavar="JSON", help="What a codec is to write.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="Seconds that anything which is to happen may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
def verify(
    name: str, settings: tuple[str, ...], values: tuple[str, ...], patience: float, as_json: bool
) -> None:
    """Run the contract suites over all that is registered as NAME, on its real server.

    Its settings are those of [backends.NAME] in slip.toml and of the environment, and over them
    those of --set. Topics, groups and keys have names that nobody else uses, and some stay on the
    server; files go to a temporary directory, whatever is configured.

    \b
      slip plugins verify sqlite
      slip plugins verify redis --set url=redis://localhost:6379/5
      slip plugins verify avro --set schema='"string"'

    \b
    --json prints a list of objects, one for each kind:
      kind, name, owner
      capabilities  what a source says that it can do
      promises      promise, says, outcome, tests, detail; an outcome is
                    "held", "failed" or "not offered"
      note          why it was not verified, or null

    \b
    Exit codes:
      0  every promise that is offered is held
      1  one failed, or a kind of NAME can't even be opened
      2  NAME is not known, wrongly set, or can't be reached; or nothing
         of it could be verified
    """
    from slipcore.cli.verify import verify_backend

    sys.exit(
        verify_backend(name, settings=settings, values=values, patience=patience, as_json=as_json)
    )


@slip.command(short_help="List the backends, or show how one is set and what it can do.")
@click.argument("kind", required=False)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def backends(kind: str | None, name: str | None, as_json: bool) -> None:
    """List the backends; with NAME show its options and capabilities.

    KIND is topic, source, sink, cache, codec or checkpoint_store; a backend's name alone shows
    all that is registered under it.

    \b
      slip backends
      slip backends cache
      slip backends topic kafka

    \b
    --json prints a list of objects:
      kind, name                    as above
      distribution, version         who brings it
      summary                       one line
    \b
    and with NAME:
      capabilities  commit, seek, partitions, transactions; durable, one store
      options       name, type, default, unit, help, secret, required
      note          why the capabilities are not known, or null
    """
    from slipcore.cli.backends import list_backends

    sys.exit(list_backends(kind, name, as_json=as_json))


for _ready_made in (new, status, pause, resume, stop, dlq):
    slip.add_command(_ready_made)


@slip.command(short_help="Show the configuration in force, and where each value is from.")
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--check", is_flag=True, help="Print only what is wrong.")
def config(target: str | None, as_json: bool, check: bool) -> None:
    """Show every setting in force and where it was written; secrets are masked.

    Without TARGET, what the file and the environment say; with it, also what the app's resources
    are given in code, and what they have by default. Nothing is opened or started.

    \b
      slip config
      slip config shop.py
      slip config --check && slip run shop.py

    \b
    --json prints one object:
      app, file, state_dir      strings, or null
      sections      section, settings, problem
      resources     kind, name, backend, reason, settings, problem, note
      settings      name, value, origin: "slip.toml:12", "environment SLIP_...",
                    "code" or "default"

    \b
    Exit codes:
      0  all is as it may be
      2  something is wrong, each in a sentence on stderr
    """
    from slipcore.cli.config import show_config

    sys.exit(_with_app(target, lambda app: show_config(app, as_json=as_json, check=check)))


@slip.command(short_help="See whether everything that is configured answers.")
@click.argument("target", required=False)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds for all of it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def doctor(target: str | None, timeout: float, as_json: bool) -> None:
    """Connect to every backend at once, and say who answered and what is missing there.

    Without TARGET, to all that the file and the environment configure, and to the defaults; with
    it, to what the app's resources are on. No topic or file is made, no group joined.

    \b
      slip doctor
      slip doctor shop.py --timeout 3

    \b
    --json prints a list of objects:
      backend      a name, or null
      resources    what stands on it, as "topic words"
      status       "answered", "failed", "misconfigured" or "not checked"
      answered     who did, or null
      version      of the server or library, or null
      missing      what is not there yet, a sentence each
      seconds      how long it took
      problem      why there was no answer, or what is set wrong

    \b
    Exit codes:
      0  all that can be asked answered
      1  one did not answer within the timeout, or refused
      2  something is set wrong
    """
    from slipcore.cli.doctor import examine

    sys.exit(_with_app(target, lambda app: examine(app, timeout=timeout, as_json=as_json)))


def _with_app(target: str | None, show: Callable[[App | None], int]) -> int:
    """The exit code of what is done with the app of a target, if one is given."""
    if target is None:
        return show(None)
    from slipcore.cli.output import PlainReport
    from slipcore.cli.run import load_target

    app = load_target(target, PlainReport())
    if isinstance(app, int):
        return app
    try:
        return show(app)
    finally:
        app.close()


def _report(log_json: bool, quiet: bool) -> Report:
    from slipcore.cli.output import JsonReport, PlainReport

    return JsonReport(quiet) if log_json else PlainReport(quiet)


for _command in (run, plan, config, doctor, *dlq.commands.values()):
    _command.help = f"{inspect.cleandoc(_command.help or '')}\n\n{TARGET_HELP}"
