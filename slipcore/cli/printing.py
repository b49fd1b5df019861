"""How commands print: JSON, tables and sentences, 80 columns and plain where they are piped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

PIPED_WIDTH: Final = 80


def say_failure(sentence: str) -> None:
    """Say on stderr why a command ends otherwise than in order."""
    click.echo(f"Error: {sentence}", err=True)


def as_builtins(thing: Any) -> Any:
    """A plan or report as dicts and lists; a setting that JSON does not know as its repr."""
    return msgspec.to_builtins(thing, enc_hook=repr)


def shown(value: Any) -> str:
    """A setting's value in a cell of a table: as TOML has it, where it has it."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(as_builtins(value)).decode()


def near(path: str) -> str:
    """The path as seen from here, where it lies below."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def print_json(thing: Any) -> None:
    """Print JSON: on a terminal indented, else one line."""
    data = msgspec.json.encode(as_builtins(thing))
    click.echo(msgspec.json.format(data, indent=2) if sys.stdout.isatty() else data)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    whole: Sequence[str] = (),
) -> None:
    """Print rows under the heads of their columns; cells are folded where they are too long.

    Args:
        whole: the columns that are never folded.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*map(Text, row))
    _print(table)


def print_text(*lines: str) -> None:
    """Print sentences, wrapped."""
    from rich.text import Text

    for line in lines:
        _print(Text(line))


def _print(thing: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_WIDTH)
    with console.capture() as printed:
        console.print(thing)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())
