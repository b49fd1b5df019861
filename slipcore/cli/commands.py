"""What `slip` understands: commands, options, and help that teaches."""

from __future__ import annotations

import inspect
import sys

import click

from slipcore.cli.listing import list_plugins
from slipcore.cli.output import JsonReport, PlainReport, Report, print_plan
from slipcore.cli.run import plan_target, run_target

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
    Run it, ask beforehand what it runs on and what a crash would cost, and
    see which backends are installed:
      slip run shop.py
      slip plan shop.py
      slip plugins

    Backends are chosen in slip.toml, by SLIP_... variables, or in code.
    """


@slip.command(short_help="Run an app until its sources end or a signal comes.")
@click.argument("target")
@click.option("-q", "--quiet", is_flag=True, help="Show no summary and no progress.")
@click.option("--log-json", is_flag=True, help="Write all of stderr as one JSON object a line.")
def run(target: str, quiet: bool, log_json: bool) -> None:
    """Run an app until its sources end, a binding fails, or SIGINT or SIGTERM comes.

    The first signal stops in order: the record in hand completes, what is on the way becomes
    durable, positions are committed. A second one stops now.

    \b
      slip run shop.py
      slip run company.shop:app -q
      slip run shop.py --log-json 2> shop.log

    \b
    Exit codes:
      0  ended or stopped in order
      1  a handler, source or sink failed
      2  a wrong setting, name or usage; nothing was started
      3  a deadline passed with unfinished work
    """
    sys.exit(run_target(target, _report(log_json, quiet), quiet=quiet, log_json=log_json))


@slip.command(short_help="Show what an app would run on, without running it.")
@click.argument("target")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(target: str, as_json: bool) -> None:
    """Show sources, sinks and state of an app, on which backends, why, and with which guarantee.

    Nothing is opened or started. Secrets are masked.

    \b
      slip plan shop.py
      slip plan shop.py --json | python -m json.tool
    """
    code, found = plan_target(target, PlainReport())
    if found is not None:
        print_plan(found, as_json)
    sys.exit(code)


@slip.command(short_help="List the installed plugins and what each provides.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.option("--check", is_flag=True, help="Exit with 1 if a plugin failed to load.")
def plugins(as_json: bool, check: bool) -> None:
    """List the installed plugins, what each provides, and why one could not be used.

    No client library is imported for it.

    \b
      slip plugins
      slip plugins --check && slip run shop.py
    """
    sys.exit(list_plugins(as_json=as_json, check=check))


def _report(log_json: bool, quiet: bool) -> Report:
    return JsonReport(quiet) if log_json else PlainReport(quiet)


for _command in (run, plan):
    _command.help = f"{inspect.cleandoc(_command.help or '')}\n\n{TARGET_HELP}"
