"""`slip new`: a plugin or an app to start from, that works as it is written."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NoReturn

import click

from slipcore.cli.exits import MISCONFIGURED

_WIDEST = 50
"""Columns that commands may have for what they do to stand behind them."""


@click.group(short_help="Write a new plugin or a new app to start from.")
def new() -> None:
    """Write a project to start from. It works, and its tests pass, as it is written.

    \b
      slip new app shop
      slip new plugin slip-nats
    """


@new.command(short_help="Write a distribution that brings a backend.")
@click.argument("name")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Default: ./NAME")
def plugin(name: str, directory: Path | None) -> None:
    """Write a distribution that brings a topic and a cache under a name of their own.

    \b
      slip new plugin slip-nats
      slip new plugin slip-nats --dir plugins/nats

    NAME is the distribution's: slip-nats has the package slip_nats and brings the backend nats.
    Its topic and its cache work in memory at once, and the contract tests of slipcore.testing
    pass. Put your client in their place piece by piece, and keep the tests green.

    \b
    Exit codes:
      0  written
      2  the name can't be had, or the directory is not empty; nothing was written
    """
    from slipcore.cli.templates import Names, write
    from slipcore.errors import ConfigError

    try:
        names = Names.of_plugin(name)
        directory = directory if directory is not None else Path(name)
        written = write("plugin", names, directory)
    except ConfigError as error:
        _refuse(error)
    _tell(
        written,
        [
            (f"{_pip()} -e {_local(directory, '[testing]')}", "beside this slipcore"),
            (f"{_python()} -m pytest {_local(directory)}", "the contract tests"),
            (f"{_slip()} plugins", f"lists {names.backend}"),
        ],
    )


@new.command(short_help="Write an app with its configuration and a test.")
@click.argument("name")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Default: ./NAME")
def app(name: str, directory: Path | None) -> None:
    """Write an app that counts words, with slip.toml and a test without a server.

    \b
      slip new app shop
      slip new app shop --dir apps/shop

    \b
    Exit codes:
      0  written
      2  the name can't be had, or the directory is not empty; nothing was written
    """
    from slipcore.cli.templates import Names, write
    from slipcore.errors import ConfigError

    try:
        names = Names.of_app(name)
        directory = directory if directory is not None else Path(name)
        written = write("app", names, directory)
    except ConfigError as error:
        _refuse(error)
    _tell(
        written,
        [
            (f"cd {shlex.quote(str(directory))}", ""),
            (f"{_python()} {names.module}.py to be or not to be", "sends six words"),
            (f"{_slip()} run {names.module}.py", "counts them, until Ctrl-C"),
            (f"{_python()} -m pytest", "needs slipcore[testing]"),
        ],
    )


def _refuse(error: Exception) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    sys.exit(MISCONFIGURED)


def _local(directory: Path, extra: str = "") -> str:
    """A directory as an installer takes it: without ./ it could be a name on an index."""
    place = str(directory) if directory.is_absolute() else f"./{directory}"
    return shlex.quote(place + extra)


def _python() -> str:
    """What a shell calls the Python that slipcore is installed for."""
    return "python" if _is_on_path("python") else shlex.quote(sys.executable)


def _slip() -> str:
    return "slip" if _is_on_path("slip") else f"{_python()} -m slipcore.cli"


def _is_on_path(command: str) -> bool:
    """Whether a shell finds this environment's command by its name."""
    found = shutil.which(command)
    return found is not None and Path(found).parent == Path(sys.executable).parent


def _pip() -> str:
    """What installs for it: an environment made by uv has no pip."""
    python = _python()
    # Not importlib's find_spec(): setuptools' finder fails on "pip" where a frame has no file.
    if PathFinder.find_spec("pip") is not None or shutil.which("uv") is None:
        return f"{python} -m pip install"
    return "uv pip install" if python == "python" else f"uv pip install --python {python}"


def _tell(written: Sequence[Path], commands: Sequence[tuple[str, str]]) -> None:
    click.echo("Written:")
    for path in written:
        click.echo(f"  {path}")
    click.echo("\nNext:")
    wide = max(len(command) for command, _ in commands)
    for command, why in commands:
        click.echo(f"  {command:<{wide}}  # {why}" if wide <= _WIDEST and why else f"  {command}")
