"""What is configured, resource by resource: the backend, where it was chosen, every setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from slipcore.choice import CODEC_SETTINGS, EMBEDDED, Choice, choose
from slipcore.config import Config
from slipcore.interfaces import ConfigError, SlipError
from slipcore.plugins import Plugins
from slipcore.settings import Setting, hint, setting_names, validate

if TYPE_CHECKING:
    from slipcore.app import App

RESOURCES: Final = {
    "topics": "topic",
    "sources": "source",
    "sinks": "sink",
    "caches": "cache",
    "codecs": "codec",
    "checkpoint_stores": "checkpoint_store",
}
"""The tables of resources, and the kind of each."""

UNNAMED: Final = "*"
"""Stands for any resource that is not configured by its name: no resource is called so."""


@dataclass(frozen=True, slots=True)
class Configured:
    """One resource.

    Attributes:
        choice: None where none could be made.
        problem: what is wrong with it, in a sentence; None: nothing.
        core: settings that no backend sees, e.g. `codec`.
        note: what else is worth knowing; "" if nothing.
    """

    kind: str
    name: str
    choice: Choice | None
    problem: str | None
    core: dict[str, Setting]
    note: str = ""


def in_file_and_environment(config: Config, plugins: Plugins) -> list[Configured]:
    """The resources that have an entry."""
    return [
        _configured(
            kind,
            name,
            _choosing(kind, name, config, plugins, entry),
            _core(config, table, name),
        )
        for table, kind in RESOURCES.items()
        for name, entry in config.entries(table).items()
    ]


def in_code(app: App) -> list[Configured]:
    """The resources that an app has made, and its checkpoint store."""
    from slipcore.errorpolicies import settle
    from slipcore.resources import Sink, Source, Topic

    with suppress(ConfigError):  # it makes the topics that are only named for dead letters
        settle(app)
    things: dict[int, Any] = {}
    for binding in app.bindings:
        for thing in (*binding.sources, *binding.sinks):
            if isinstance(thing, (Topic, Source, Sink)):
                things[id(thing)] = thing
    made: tuple[Any, ...] = (*app.topics, *app.caches)
    things.update({id(thing): thing for thing in sorted(made, key=lambda it: it.name)})
    found = [_of_thing(thing, app.config) for thing in things.values()]
    store = _choosing("checkpoint_store", app.name, app.config, app.plugins, {})
    return [*found, _configured("checkpoint_store", app.name, store, {})]


def by_default(config: Config, plugins: Plugins) -> list[Configured]:
    """What a topic, a cache and a checkpoint store get that have no entry."""
    return [
        _configured(kind, UNNAMED, _choosing(kind, UNNAMED, config, plugins, {}), {})
        for kind in EMBEDDED
        if kind != "codec"
    ]


def of_backends(
    config: Config, plugins: Plugins, used: Iterable[Configured]
) -> Iterator[Configured]:
    """What stands for backends that have settings and that no resource is on, one each."""
    taken = {resource.choice.backend.name for resource in used if resource.choice is not None}
    known = {backend.lower(): backend for backend in plugins.names()}
    for given in config.entries("backends"):
        name = known.get(given.lower(), given)
        for kind in ("topic", "cache", "checkpoint_store"):
            registered = "source" if kind == "topic" else kind
            if name not in taken and any(b.kind == registered for b in plugins.of_name(name)):
                taken.add(name)
                yield _configured(
                    kind, UNNAMED, partial(_on, kind, config=config, plugins=plugins, on=name), {}
                )


def _on(kind: str, *, config: Config, plugins: Plugins, on: str) -> Choice:
    return choose(kind, UNNAMED, plugins=plugins, config=config, backend=on)


def sections(config: Config, plugins: Plugins) -> Iterator[tuple[str, str]]:
    """What is wrong with sections that are no resources: the section and a sentence each."""
    for kind in EMBEDDED:
        named = config.default(kind)
        if named is None:
            continue
        try:
            plugins.get("source" if kind == "topic" else kind, str(named.value))
        except SlipError as error:
            yield "defaults", f"{error} It was asked for by [defaults] in {named.origin}."
    from slipcore.errorpolicies import default_policies

    try:
        default_policies(config.section("errors"))
    except SlipError as error:
        yield "errors", str(error)
    for name, settings in config.entries("backends").items():
        try:
            _check_backend(config, plugins, name, settings)
        except SlipError as error:
            yield f"backends.{name}", str(error)


def _check_backend(
    config: Config, plugins: Plugins, name: str, settings: dict[str, Setting]
) -> None:
    """As far as it can be without the settings that each resource has of its own."""
    known = {backend.lower(): backend for backend in plugins.names()}
    backends = plugins.of_name(known.get(name.lower(), name))
    if not backends:
        if plugins.may_be(name):
            return
        origin = next((setting.origin for setting in settings.values()), str(config.path))
        raise ConfigError(f"{origin}: [backends.{name}] is of no backend. {hint(name, known)}")
    kinds = [backend.options_type() for backend in backends]
    anywhere = frozenset[str]().union(*map(setting_names, kinds))
    for key, setting in settings.items():
        if key not in anywhere:
            raise ConfigError(
                f"{setting.origin}: [backends.{name}] has no setting '{key}'. "
                f"{hint(key, anywhere, 'It takes')}"
            )
    for options_type in kinds:
        understood = setting_names(options_type)
        own = {key: setting for key, setting in settings.items() if key in understood}
        if own and len(own) == len(settings):
            _check_whole(options_type, own, name)


def _check_whole(options_type: type | None, settings: dict[str, Setting], name: str) -> None:
    try:
        validate(options_type, settings, f"[backends.{name}]")
    except ConfigError as error:
        if "needs the setting" not in str(error):  # each resource may have it of its own
            raise


def _of_thing(thing: Any, config: Config) -> Configured:
    kind = type(thing).__name__.lower()
    table = next(table for table, of in RESOURCES.items() if of == kind)

    def choosing() -> Choice:
        choice: Choice = thing.choice()
        if kind == "topic":
            thing.codecs()
        return choice

    return _configured(kind, thing.name, choosing, _core(config, table, thing.name))


def _choosing(
    kind: str, name: str, config: Config, plugins: Plugins, entry: dict[str, Setting]
) -> Callable[[], Choice]:
    # A codec's entry without a backend sets the codec of that name.
    backend = name if kind == "codec" and "backend" not in entry else None
    return lambda: choose(kind, name, plugins=plugins, config=config, backend=backend)


def _configured(
    kind: str, name: str, choosing: Callable[[], Choice], core: dict[str, Setting]
) -> Configured:
    choice = None
    try:
        choice = choosing()
        choice.options()
    except SlipError as error:
        return Configured(kind, name, choice, str(error), core)
    aside = ", ".join(choice.set_aside)
    note = f"{aside}: of another backend, not used" if aside else ""
    return Configured(kind, name, choice, None, core, note)


def _core(config: Config, table: str, name: str) -> dict[str, Setting]:
    entry = config.entry(table, name)
    return {key: entry[key] for key in CODEC_SETTINGS if key in entry}
