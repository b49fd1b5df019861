"""Which backend a resource gets, with which settings, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipcore.config import Config
from slipcore.interfaces import ConfigError, UnknownBackendError
from slipcore.plugins import Backend, Plugins, backend_of_setting, claimant
from slipcore.settings import Setting, hint, mask, merge, setting_names, validate

EMBEDDED = {"topic": "sqlite", "cache": "sqlite", "checkpoint_store": "sqlite", "codec": "text"}
"""What a resource is on where nobody has chosen."""

CODEC_SETTINGS = ("codec", "key_codec")
"""Settings of a resource that are the core's and no backend's."""

_TABLES = {
    "topic": "topics",
    "source": "sources",
    "sink": "sinks",
    "cache": "caches",
    "codec": "codecs",
    "checkpoint_store": "checkpoint_stores",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which backend a resource has, with which settings, and why.

    Attributes:
        reason: what decided, e.g. "slip.toml:4".
        set_aside: settings in code that belong to another backend.
    """

    resource: str
    backend: Backend
    settings: Mapping[str, Setting]
    reason: str
    set_aside: tuple[str, ...] = ()

    @property
    def outlives_process(self) -> bool:
        """Whether what it holds is there after a crash of the process."""
        return getattr(self.backend.options_type(), "outlives_process", True)

    def options(self) -> Any:
        """The validated options.

        Raises:
            ConfigError: an unknown, missing or mistyped setting.
        """
        return validate(self.backend.options_type(), self.settings, self.resource)

    def shown(self) -> dict[str, Any]:
        """The settings as they may be printed."""
        return mask(self.settings, self.backend.options_type())


def choose(
    kind: str,
    name: str,
    *,
    plugins: Plugins,
    config: Config,
    backend: str | None = None,
    conf: Mapping[str, Any] | None = None,
    asked_by: str | None = None,
) -> Choice:
    """Find the backend of a resource.

    `backend=` in code decides; else its entry in the configuration; else the defaults; else, for a
    topic, the backend that claims a setting that was given; else the embedded one. Its settings
    are those of `[backends.NAME]`, over them those of its own entry, over them those in code.
    What a test forces upon the configuration goes before all of that.

    Args:
        asked_by: who asks, for messages; default the resource and the reason of the choice.

    Raises:
        UnknownBackendError: the name that was chosen is not registered.
        BackendConflictError: two plugins registered it.
    """
    resource = f"{kind.replace('_', ' ')} '{name}'"
    given = {key: Setting(value, "code") for key, value in (conf or {}).items()}
    entry = dict(config.entry(_TABLES[kind], name))
    forced = config.forced.get(kind)
    if forced is not None:
        return _forced(resource, forced, {**entry, **given})
    chosen, reason = _named(kind, backend, entry.pop("backend", None), config)
    for key in CODEC_SETTINGS:
        entry.pop(key, None)
    if chosen is None and kind == "topic":
        settings = {**entry, **given}
        chosen = claimant(settings)
        if chosen is not None:
            key = next(k for k in settings if backend_of_setting(k) == chosen)
            reason = f"{key} was given, which is a setting of {chosen}"
    if chosen is None:
        chosen = EMBEDDED.get(kind)
        reason = "the embedded default"
    if chosen is None:
        raise ConfigError(
            f"{resource} has no backend: write backend=... where it is made, or backend = ... "
            f"under [{_TABLES[kind]}.{name}] in slip.toml."
        )
    try:
        found = plugins.get("source" if kind == "topic" else kind, chosen)
    except UnknownBackendError as error:
        asked = asked_by if asked_by is not None else f"{resource}: {reason}"
        raise UnknownBackendError(f"{error} It was asked for by {asked}.") from error
    if kind == "topic":
        _check_both(resource, found, plugins)
    understood = setting_names(found.options_type())
    aside = tuple(
        key
        for key in given
        if key not in understood and backend_of_setting(key) not in (None, found.name)
    )
    own = {key: setting for key, setting in given.items() if key not in aside}
    shared = _shared(found, config, plugins)
    return Choice(resource, found, merge(shared, entry, own), reason, aside)


def _check_both(resource: str, source: Backend, plugins: Plugins) -> None:
    """Refuse a source that is no sink of the same making."""
    sinks = [each for each in plugins.of_name(source.name) if each.kind == "sink"]
    if all(each.factory != source.factory for each in sinks):
        raise ConfigError(
            f"{resource}: '{source.name}' of {source.owner} is a source and no topic: read it with "
            f"Source(), or name a backend that is both."
        )


def _forced(resource: str, backend: Backend, settings: Mapping[str, Setting]) -> Choice:
    """What a test has put in the place of the backend, with the settings that it understands."""
    understood = setting_names(backend.options_type())
    own = {key: setting for key, setting in settings.items() if key in understood}
    aside = tuple(key for key in settings if key not in own)
    return Choice(resource, backend, own, "the test", aside)


def _shared(backend: Backend, config: Config, plugins: Plugins) -> dict[str, Setting]:
    """What `[backends.NAME]` says, as far as resources of this kind understand it.

    Raises:
        ConfigError: a table is of no backend, or a setting is of no kind of resource.
    """
    for name in config.names("backends"):
        if not plugins.may_be(name):
            raise ConfigError(
                f"{config.path}: [backends.{name}] is of no backend. {hint(name, plugins.names())}"
            )
    settings = config.entry("backends", backend.name)
    if not settings:
        return {}
    understood = setting_names(backend.options_type())
    kinds = [of.options_type() for of in plugins.of_name(backend.name)]
    anywhere = frozenset[str]().union(*map(setting_names, kinds))
    for key, setting in settings.items():
        if key not in anywhere:
            raise ConfigError(
                f"{setting.origin}: [backends.{backend.name}] has no setting '{key}'. "
                f"{hint(key, anywhere, 'It takes')}"
            )
    return {key: setting for key, setting in settings.items() if key in understood}


def _named(
    kind: str, backend: str | None, entry: Setting | None, config: Config
) -> tuple[str | None, str]:
    if backend is not None:
        return backend, "backend= in code"
    if entry is not None:
        return str(entry.value), entry.origin
    default = config.default(kind)
    if default is not None:
        return str(default.value), f"[defaults] in {default.origin}"
    return None, ""
