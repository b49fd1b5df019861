"""`slip config`: what is in force, and where each value was written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

from slipcore.cli.configured import Configured, in_code, in_file_and_environment, sections
from slipcore.cli.exits import MISCONFIGURED
from slipcore.cli.printing import (
    PIPED_WIDTH,
    as_builtins,
    near,
    print_json,
    print_text,
    say_failure,
)
from slipcore.config import SINGLES, Config
from slipcore.interfaces import SlipError
from slipcore.optiondocs import describe_options
from slipcore.plugins import Plugins
from slipcore.settings import Setting, mask

if TYPE_CHECKING:
    from slipcore.app import App

INDENT = "  "


class SettingRow(msgspec.Struct, frozen=True):
    """One setting.

    Attributes:
        value: masked where it is a secret.
        origin: "slip.toml:12", "environment SLIP_...", "code" or "default".
    """

    name: str
    value: Any
    origin: str


class SectionRow(msgspec.Struct, frozen=True):
    """One section of the configuration that is no resource, e.g. "app" or "backends.kafka"."""

    section: str
    settings: list[SettingRow]
    problem: str | None


class ResourceRow(msgspec.Struct, frozen=True):
    """One resource.

    Attributes:
        backend: None where none could be chosen.
        reason: what decided on it.
        problem: what is wrong with it; None: nothing.
        note: what else is worth knowing; "" if nothing.
    """

    kind: str
    name: str
    backend: str | None
    reason: str | None
    settings: list[SettingRow]
    problem: str | None
    note: str


class ConfigReport(msgspec.Struct, frozen=True):
    """The effective configuration. Field names are stable: `slip config --json` prints them.

    Attributes:
        app: the app's name; None where no app was given and none is configured.
        file: the configuration file; None: there is none.
        state_dir: where embedded state lives.
    """

    app: str | None
    file: str | None
    state_dir: str
    sections: list[SectionRow]
    resources: list[ResourceRow]


def show_config(app: App | None, *, as_json: bool, check: bool) -> int:
    """Print the configuration, or only what is wrong with it, and return the exit code.

    Args:
        app: whose resources are shown too; None: nobody's.
    """
    try:
        report = config_report(app)
    except SlipError as error:
        say_failure(str(error))
        return MISCONFIGURED
    wrong = [section.problem for section in report.sections]
    problems = [it for it in (*wrong, *(row.problem for row in report.resources)) if it]
    if as_json:
        print_json(report)
    elif not check:
        click.echo("\n".join(_lines(report)))
    elif not problems:
        number = len(report.resources)
        where = "The environment and " + (near(report.file) if report.file else "no file")
        click.echo(f"{where} are in order: {number} resource{'' if number == 1 else 's'}.")
        for row in report.resources:
            if row.note:
                print_text("", f"{row.kind} {row.name}: {row.note}")
    for problem in dict.fromkeys(problems):
        say_failure(problem)
    return MISCONFIGURED if problems else 0


def config_report(app: App | None) -> ConfigReport:
    """The configuration in force.

    Raises:
        ConfigError: the file or a variable is wrong.
        PluginError: a plugin failed, where plugins are strict.
    """
    config = app.config if app is not None else Config.load()
    plugins = app.plugins if app is not None else Plugins.of(config)
    plugins.load()
    own = in_code(app) if app is not None else []
    named = {(resource.kind, resource.name) for resource in own}
    others = [
        resource
        for resource in in_file_and_environment(config, plugins)
        if (resource.kind, resource.name) not in named
    ]
    unused = "" if app is None else "the app makes nothing of this name when it is imported"
    name = config.app_name
    configured = str(name.value) if name is not None else None
    return ConfigReport(
        app=app.name if app is not None else configured,
        file=str(config.path) if config.path is not None else None,
        state_dir=str(config.state_dir),
        sections=list(_sections(config, plugins)),
        resources=[
            *map(_resource, own),
            *(_resource(it, "" if it.kind == "codec" else unused) for it in others),
        ],
    )


def _sections(config: Config, plugins: Plugins) -> Iterator[SectionRow]:
    problems = dict(sections(config, plugins))
    entries = {section: config.section(section) for section in SINGLES}
    entries |= {f"backends.{name}": it for name, it in config.entries("backends").items()}
    for section, settings in entries.items():
        if settings:
            yield SectionRow(section, _settings(settings, None), problems.get(section))


def _resource(resource: Configured, note: str = "") -> ResourceRow:
    choice = resource.choice
    settings = _settings(resource.core, None)
    if choice is not None:
        options_type = choice.backend.options_type()
        settings += _settings(choice.settings, options_type)
        settings += [
            SettingRow(option.name, option.default, "default")
            for option in describe_options(options_type)
            if option.name not in choice.settings and not option.required
        ]
    return ResourceRow(
        kind=resource.kind,
        name=resource.name,
        backend=choice.backend.name if choice is not None else None,
        reason=choice.reason if choice is not None else None,
        settings=settings,
        problem=resource.problem,
        note="; ".join(filter(None, (resource.note, note))),
    )


def _settings(settings: Mapping[str, Setting], options_type: type | None) -> list[SettingRow]:
    masked = mask(settings, options_type)
    return [SettingRow(name, masked[name], it.origin) for name, it in settings.items()]


def _lines(report: ConfigReport) -> Iterator[str]:
    yield f"file    {near(report.file) if report.file else 'no slip.toml found'}"
    yield f"state   {near(report.state_dir)}"
    if report.app is not None:
        yield f"app     {report.app}"
    for section in report.sections:
        yield ""
        yield click.style(f"[{section.section}]", bold=True)
        yield from _rows(section.settings)
    for resource in report.resources:
        yield ""
        title = f"{resource.kind.replace('_', ' ')} {resource.name}"
        on = f" on {resource.backend} ({resource.reason})" if resource.backend else ""
        yield click.style(title, bold=True) + on
        if resource.note:
            yield from _wrapped(resource.note)
        yield from _rows(resource.settings)


def _rows(settings: list[SettingRow]) -> Iterator[str]:
    """Settings in columns; defaults of nothing are left out."""
    rows = [row for row in settings if row.value is not None or row.origin != "default"]
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        value, origin = _as_toml(row.value), f"# {row.origin}"
        line = f"{INDENT}{row.name:<{width}} = {value}"
        if len(line) + len(origin) + 2 <= PIPED_WIDTH:
            yield f"{line}  {origin}"
        else:  # a long value is worth more whole than the margin is
            yield line
            yield f"{INDENT}{'':<{width}}   {origin}"


def _as_toml(value: Any) -> str:
    return msgspec.json.encode(as_builtins(value)).decode()


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, PIPED_WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_long_words=False
    )
