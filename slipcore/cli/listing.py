"""`slip plugins`: what is installed, what it provides, and why something can't be used."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from slipcore.cli.failures import FAILED, MISCONFIGURED
from slipcore.cli.output import print_json
from slipcore.interfaces import SlipError
from slipcore.plugins import PluginInfo, Plugins

PIPED_WIDTH = 80


def list_plugins(*, as_json: bool, check: bool) -> int:
    """Print the plugins and return the exit code."""
    try:
        plugins = Plugins.from_env().report()
    except SlipError as error:
        click.echo(f"Error: {error}", err=True)
        return MISCONFIGURED
    if as_json:
        print_json(plugins)
    else:
        _print_table(plugins)
    return FAILED if check and any(p.status == "failed" for p in plugins) else 0


def _print_table(plugins: Sequence[PluginInfo]) -> None:
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("PLUGIN", "DISTRIBUTION", "VERSION", "STATUS", "PROVIDES"):
        table.add_column(column, overflow="fold")
    for plugin in plugins:
        table.add_row(
            plugin.name, plugin.distribution, plugin.version, plugin.status, _provided(plugin)
        )
    console.print(table)
    for plugin in plugins:
        if plugin.reason:
            console.print(f"\n{plugin.name}: {plugin.reason}", markup=False)


def _provided(plugin: PluginInfo) -> str:
    kinds = (
        f"{kind.replace('_', ' ')}: {', '.join(names)}" for kind, names in plugin.provides.items()
    )
    return "\n".join(kinds)
