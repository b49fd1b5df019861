"""`slip backends`: what there is to choose from, what it can do, and how it is set."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import click
import msgspec

from slipcore.cli.exits import MISCONFIGURED
from slipcore.cli.printing import (
    PIPED_WIDTH,
    print_json,
    print_table,
    print_text,
    say_failure,
    shown,
)
from slipcore.config import Config
from slipcore.interfaces import ConfigError, SlipError
from slipcore.optiondocs import OptionInfo, describe_options
from slipcore.plugins import KINDS, Backend, Plugins
from slipcore.plugins.known import KNOWN
from slipcore.settings import hint

TOPIC: Final = "topic"
"""The kind of what is registered as a source and as a sink."""

WORDS: Final = (TOPIC, *KINDS)

HANG: Final = " " * 4
"""What stands before an option's help."""

_REGISTERED: Final = {TOPIC: "source"}


class BackendRow(msgspec.Struct, frozen=True):
    """One backend. Field names are stable: `slip backends --json` prints them."""

    kind: str
    name: str
    distribution: str
    version: str
    summary: str


class BackendSheet(BackendRow, frozen=True):
    """One backend and all about it. Field names are stable.

    Attributes:
        capabilities: of sources "commit", "seek", "partitions", "transactions"; of topics and
            caches "durable" where what they hold outlives the process, of caches "one store"
            where all of an app are written together.
        options: as `OptionInfo`.
        note: why the capabilities are not all known; None: they are.
    """

    capabilities: list[str]
    options: list[OptionInfo]
    note: str | None


def list_backends(kind: str | None, name: str | None, *, as_json: bool) -> int:
    """Print backends and return the exit code.

    Args:
        kind: only of this kind; where it is none and `name` is None, the name of a backend.
        name: all about this one.
    """
    try:
        found = _found(Plugins.of(Config.load()), kind, name)
    except SlipError as error:
        say_failure(str(error))
        return MISCONFIGURED
    if as_json:
        print_json(found)
    elif found and isinstance(found[0], BackendSheet):
        for number, sheet in enumerate(found):
            if number:
                print_text("")
            assert isinstance(sheet, BackendSheet)
            _print_sheet(sheet)
    else:
        print_table(
            ("KIND", "NAME", "DISTRIBUTION", "SUMMARY"),
            [(_said(r.kind), r.name, f"{r.distribution} {r.version}", r.summary) for r in found],
            whole=("KIND", "NAME"),
        )
    return 0


def _found(plugins: Plugins, kind: str | None, name: str | None) -> list[BackendRow]:
    if kind is not None:
        word = kind.replace("-", "_").replace(" ", "_").lower()
        word = word if word in WORDS else word.removesuffix("s")  # "caches"
        kind = word if word in WORDS else kind
    backends = list(listed(plugins))
    if kind is not None and kind not in WORDS:
        if name is not None:
            raise ConfigError(f"There is no kind '{kind}'. {hint(kind, WORDS)}")
        return _of_name(plugins, backends, kind)
    of_kind = [backend for backend in backends if kind is None or _is_a(backend, kind)]
    if kind is None or name is None:
        return [_row(backend) for backend in of_kind]
    asked = plugins.get(_REGISTERED.get(kind, kind), name)
    if not any(b.name == name for b in of_kind):
        there = ", ".join(sorted(b.kind for b in backends if b.name == name))
        raise ConfigError(f"'{name}' of {asked.owner} is no {kind}: it is registered as {there}.")
    return [_sheet(b) for b in of_kind if b.name == name]


def _of_name(plugins: Plugins, backends: list[Backend], word: str) -> list[BackendRow]:
    """All about the backends of a name, whatever their kind."""
    named = [backend for backend in backends if backend.name == word]
    if not named and (word in KNOWN or plugins.unused(word)):
        raise ConfigError(plugins.missing(word))
    if not named:
        known = {*WORDS, *plugins.names()}
        raise ConfigError(f"There is no kind and no backend '{word}'. {hint(word, known)}")
    for backend in named:
        plugins.get(_REGISTERED.get(backend.kind, backend.kind), word)  # a conflict is an error
    return [_sheet(backend) for backend in named]


def listed(plugins: Plugins) -> Iterator[Backend]:
    """By kind and name; what is source and sink is a topic."""
    found = [backend for name in plugins.names() for backend in plugins.of_name(name)]
    both = {(b.name, b.owner, b.factory) for b in found if b.kind == "source"} & {
        (b.name, b.owner, b.factory) for b in found if b.kind == "sink"
    }
    for kind in WORDS:
        for backend in found:
            is_topic = (backend.name, backend.owner, backend.factory) in both
            if kind == TOPIC and is_topic and backend.kind == "source":
                yield dataclasses.replace(backend, kind=TOPIC)
            elif backend.kind == kind and not (is_topic and kind in ("source", "sink")):
                yield backend


def _is_a(backend: Backend, kind: str) -> bool:
    return backend.kind == kind or (backend.kind == TOPIC and kind in ("source", "sink"))


def _row(backend: Backend) -> BackendRow:
    return BackendRow(
        backend.kind, backend.name, backend.distribution, backend.version, backend.summary
    )


def _sheet(backend: Backend) -> BackendSheet:
    options_type = backend.options_type()
    capabilities, note = _capabilities(backend, options_type)
    row = _row(backend)
    return BackendSheet(
        **msgspec.structs.asdict(row),
        capabilities=capabilities,
        options=describe_options(options_type),
        note=note,
    )


def _capabilities(backend: Backend, options_type: type | None) -> tuple[list[str], str | None]:
    said: list[str] = []
    note = None
    try:
        offered = getattr(backend.load(), "capabilities", ())
        said += sorted(capability.value for capability in offered)
    except Exception as error:  # a plugin's own mistake is its own, and the rest is to be seen
        note = str(error) if isinstance(error, SlipError) else f"{type(error).__name__}: {error}"
    if backend.kind in (TOPIC, "cache") and getattr(options_type, "outlives_process", True):
        said.append("durable")
    if getattr(options_type, "one_store", False):
        said.append("one store")
    return said, note


def _print_sheet(sheet: BackendSheet) -> None:
    print_text(
        f"{_said(sheet.kind)} {sheet.name}, of {sheet.distribution} {sheet.version}: "
        f"{sheet.summary}",
        f"capabilities: {', '.join(sheet.capabilities) or 'none'}",
    )
    if sheet.note:
        print_text(f"Its capabilities can't be told: {sheet.note}")
    if not sheet.options:
        print_text("It takes no settings.")
        return
    for line in _lines(sheet.options):
        click.echo(line)


def _lines(options: list[OptionInfo]) -> Iterator[str]:
    """Name, type, unit and default in columns, and the help below, which needs the width."""
    name_width = max(map(len, ("OPTION", *(option.name for option in options))))
    type_width = max(map(len, ("TYPE", *map(_typed, options))))
    yield ""
    yield click.style(f"{'OPTION':<{name_width}}  {'TYPE':<{type_width}}  DEFAULT", bold=True)
    for option in options:
        line = f"{option.name:<{name_width}}  {_typed(option):<{type_width}}  {_default(option)}"
        yield from textwrap.wrap(line, PIPED_WIDTH, subsequent_indent=HANG, drop_whitespace=True)
        yield from textwrap.wrap(
            option.help, PIPED_WIDTH, initial_indent=HANG, subsequent_indent=HANG
        )


def _typed(option: OptionInfo) -> str:
    return f"{option.type} ({option.unit})" if option.unit else option.type


def _default(option: OptionInfo) -> str:
    if option.required:
        return "required"
    return "none" if option.default is None else shown(option.default)


def _said(kind: Any) -> str:
    return str(kind).replace("_", " ")
