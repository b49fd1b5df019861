"""Plugins: found by entry point, loaded one by one, each at its own risk; names become backends."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pluggy

from slipcore import hookspecs
from slipcore.errors import (
    BackendConflictError,
    MissingDependencyError,
    PluginLoadError,
    UnknownBackendError,
)

if sys.version_info >= (3, 12):
    from importlib.metadata import EntryPoint, entry_points
else:
    from importlib_metadata import EntryPoint, entry_points

logger = logging.getLogger(__name__)

GROUP: Final = "slipcore"
KINDS: Final = ("source", "sink", "cache", "codec", "checkpoint_store")
_BUILTIN: Final = "slipcore:builtin"

_KAFKA_SETTINGS: Final = frozenset(
    {
        "acks", "api_version", "bootstrap_servers", "client_id", "compression_type",
        "connections_max_idle_ms", "enable_idempotence", "fetch_max_bytes", "fetch_max_wait_ms",
        "fetch_min_bytes", "heartbeat_interval_ms", "isolation_level", "linger_ms",
        "max_batch_size", "max_partition_fetch_bytes", "max_poll_interval_ms", "max_request_size",
        "metadata_max_age_ms", "rebalance_timeout_ms", "request_timeout_ms", "retry_backoff_ms",
        "sasl_kerberos_domain_name", "sasl_kerberos_service_name", "sasl_mechanism",
        "sasl_oauth_token_provider", "sasl_plain_password", "sasl_plain_username",
        "security_protocol", "session_timeout_ms", "ssl_context", "transactional_id",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Known:
    """A backend of a distribution that may not be installed."""

    distribution: str
    source_tree: str
    settings: frozenset[str] = frozenset()


_KNOWN: Final = {
    "kafka": _Known("slip-kafka", "plugins/slip_kafka", _KAFKA_SETTINGS),
    "rocks": _Known("slip-rocks", "plugins/slip_rocks"),
    "redis": _Known("slip-redis", "plugins/slip_redis"),
    "avro": _Known("slip-avro", "plugins/slip_avro"),
}
"""What brings the names that are not built in, and which settings only they have."""


def backend_of_setting(setting: str) -> str | None:
    """The one backend that has a setting of this name, if it is known."""
    return next((name for name, known in _KNOWN.items() if setting in known.settings), None)


def claimant(settings: Iterable[str]) -> str | None:
    """The backend that claims a topic with these settings, if one does."""
    return next((name for s in settings if (name := backend_of_setting(s))), None)


@dataclass(frozen=True, slots=True)
class Backend:
    """One registered name.

    Attributes:
        owner: distribution and entry point, "slip-kafka:kafka".
        summary: one line for listings.
    """

    kind: str
    name: str
    factory: Callable[..., Any] | str
    options: type | str | None
    summary: str
    owner: str
    distribution: str
    version: str

    def load(self) -> Callable[..., Any]:
        """The factory, imported if it has not been yet.

        Raises:
            MissingDependencyError: a library that the backend stands on is not installed.
            PluginLoadError: the plugin names something that is not there.
        """
        factory: Callable[..., Any] = self._import(self.factory)
        return factory

    def options_type(self) -> type | None:
        """The class of its settings; None where it has none. Raises as `load`."""
        if self.options is None:
            return None
        options: type = self._import(self.options)
        return options

    def _import(self, what: Any) -> Any:
        if not isinstance(what, str):
            return what
        module, _, attribute = what.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            own = module.partition(".")[0]
            if error.name is None or error.name.partition(".")[0] == own:
                raise PluginLoadError(
                    f"Backend {self.name} of {self.owner} names {what}, which can't be imported: "
                    f"{error}. Report it to the authors of {self.distribution}."
                ) from error
            raise MissingDependencyError(
                f"Backend {self.name} needs the library {error.name.partition('.')[0]}, which is "
                f"not installed; {self.distribution} depends on it: install that again."
            ) from error
        except AttributeError as error:
            raise PluginLoadError(
                f"Backend {self.name} of {self.owner} names {what}, but {module} has no "
                f"{attribute}. Report it to the authors of {self.distribution}."
            ) from error


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What became of one plugin.

    Attributes:
        name: the entry point's name.
        status: "loaded", "failed" or "disabled".
        provides: kind -> names.
        reason: why it failed or is disabled.
    """

    name: str
    distribution: str
    version: str
    status: str
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reason: str = ""


class Plugins:
    """The plugins of one app: what they register, and what became of each.

    Built-in names resolve without loading anything else.

    Args:
        found: entry points to load in place of those that are installed.
        allow: names of entry points or distributions; None: all.
        deny: names that are not loaded; "*": all.
        strict: a plugin that fails raises.
    """

    def __init__(
        self,
        entry_points: Sequence[EntryPoint] | None = None,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] = (),
        strict: bool = False,
    ) -> None:
        self._found = entry_points
        self._allow = None if allow is None else {_canonical(name) for name in allow}
        self._deny = {_canonical(name) for name in deny}
        self._strict = strict
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._hooks = {f"register_{kind}s": kind for kind in KINDS}
        self._backends: dict[tuple[str, str], list[Backend]] = {}
        self._infos: list[PluginInfo] = []
        self._loaded = False
        self._load_builtin()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Plugins:
        """As SLIP_PLUGINS, SLIP_DISABLE_PLUGINS (lists) and SLIP_STRICT_PLUGINS=1 say."""
        allow = environ.get("SLIP_PLUGINS")
        return cls(
            allow=None if allow is None else _names_in(allow),
            deny=_names_in(environ.get("SLIP_DISABLE_PLUGINS", "")),
            strict=environ.get("SLIP_STRICT_PLUGINS") == "1",
        )

    def names(self, kind: str) -> list[str]:
        """The names registered for a kind."""
        self.load()
        return sorted(name for k, name in self._backends if k == kind)

    def get(self, kind: str, name: str) -> Backend:
        """The backend of that name.

        Raises:
            UnknownBackendError: nothing registers it; says what there is and what brings it.
            BackendConflictError: two plugins register it.
        """
        found = self._backends.get((kind, name))
        if found is None or found[0].owner != _BUILTIN:
            self.load()
            found = self._backends.get((kind, name))
        if not found:
            raise UnknownBackendError(self._unknown(kind, name))
        if len(found) > 1:
            owners = " and ".join(backend.owner for backend in found)
            raise BackendConflictError(
                f"Two plugins register the {_words(kind)} {name}: {owners}. Disable one: "
                f"SLIP_DISABLE_PLUGINS={found[-1].distribution}."
            )
        return found[0]

    def report(self) -> list[PluginInfo]:
        """What became of every plugin, the built-in one first."""
        self.load()
        return list(self._infos)

    def load(self) -> None:
        """Load what is installed; a second call does nothing.

        Raises:
            PluginLoadError: a plugin failed, and plugins are strict.
        """
        if self._loaded:
            return
        self._loaded = True
        found = self._found if self._found is not None else entry_points(group=GROUP)
        for point in sorted(found, key=lambda p: (p.name, _distribution(p)[0])):
            self._load_one(point)

    # --- one plugin -----------------------------------------------------------------------

    def _load_builtin(self) -> None:
        builtin = importlib.import_module("slipcore.backends.plugin")
        staged = self._stage(builtin, "builtin", GROUP, _version_of_core())
        self._accept("builtin", GROUP, _version_of_core(), staged)

    def _load_one(self, point: EntryPoint) -> None:
        distribution, version = _distribution(point)
        disabled = self._disabled(point.name, distribution)
        if disabled:
            info = PluginInfo(point.name, distribution, version, "disabled", reason=disabled)
            self._infos.append(info)
            return
        try:
            staged = self._stage(point.load(), point.name, distribution, version)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            self._infos.append(
                PluginInfo(point.name, distribution, version, "failed", reason=reason)
            )
            message = f"Plugin {distribution}:{point.name} failed to load: {reason}"
            if self._strict:
                raise PluginLoadError(message) from error
            logger.warning("%s. The others go on without it.", message)
            logger.debug("Plugin %s:%s", distribution, point.name, exc_info=error)
            return
        self._accept(point.name, distribution, version, staged)

    def _disabled(self, name: str, distribution: str) -> str:
        names = {_canonical(name), _canonical(distribution)}
        if names & self._deny or "*" in self._deny:
            return "disabled by SLIP_DISABLE_PLUGINS"
        if self._allow is not None and not names & self._allow:
            return "not among SLIP_PLUGINS"
        return ""

    def _stage(
        self, plugin: Any, name: str, distribution: str, version: str
    ) -> list[Backend]:
        """All that a plugin registers, or nothing: what it raises leaves no trace."""
        owner = f"{distribution}:{name}"
        staged: list[Backend] = []
        self._manager.register(plugin, name=owner)
        try:
            self._refuse_unknown_hooks(plugin)
            others = [p for p in self._manager.get_plugins() if p is not plugin]
            for hook, kind in self._hooks.items():
                register = self._registrar(kind, owner, distribution, version, staged)
                self._manager.subset_hook_caller(hook, others)(register=register)
        except BaseException:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise
        return staged

    def _refuse_unknown_hooks(self, plugin: Any) -> None:
        for caller in self._manager.get_hookcallers(plugin) or []:
            if not caller.has_spec():
                near = difflib.get_close_matches(caller.name, self._hooks, n=1)
                hint = f"; did you mean {near[0]}?" if near else "."
                raise PluginLoadError(f"slipcore has no hook {caller.name}{hint}")

    def _registrar(
        self, kind: str, owner: str, distribution: str, version: str, staged: list[Backend]
    ) -> hookspecs.Register:
        def register(
            name: str,
            factory: Callable[..., Any] | str,
            *,
            options: type | str | None = None,
            summary: str = "",
        ) -> None:
            if any((b.kind, b.name) == (kind, name) for b in staged):
                raise PluginLoadError(f"it registers the {_words(kind)} {name} twice.")
            reserved = self._backends.get((kind, name))
            if reserved and reserved[0].owner == _BUILTIN:
                raise PluginLoadError(f"{name} is the name of a built-in {_words(kind)}.")
            staged.append(
                Backend(kind, name, factory, options, summary, owner, distribution, version)
            )

        return register

    def _accept(self, name: str, distribution: str, version: str, staged: list[Backend]) -> None:
        provides: dict[str, tuple[str, ...]] = {}
        for backend in staged:
            self._backends.setdefault((backend.kind, backend.name), []).append(backend)
            provides[backend.kind] = (*provides.get(backend.kind, ()), backend.name)
        self._infos.append(PluginInfo(name, distribution, version, "loaded", provides))

    # --- messages -------------------------------------------------------------------------

    def _unknown(self, kind: str, name: str) -> str:
        names = self.names(kind)
        parts = [f"There is no {_words(kind)} backend {name!r}; there are {', '.join(names)}."]
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            parts.append(f"Did you mean {near[0]}?")
        known = _KNOWN.get(name)
        if known is not None:
            state = self._state_of(known.distribution)
            parts.append(
                f"{name} is brought by {known.distribution}, which {state}: "
                f"pip install -e {known.source_tree}"
            )
        for info in self._infos:
            if info.status != "loaded":
                parts.append(
                    f"Plugin {info.distribution}:{info.name} is {info.status}: {info.reason}."
                )
        return " ".join(parts)

    def _state_of(self, distribution: str) -> str:
        infos = [info for info in self._infos if _canonical(info.distribution) == distribution]
        if not infos:
            return "is not installed"
        if infos[0].status != "loaded":
            return f"is {infos[0].status}"
        return f"is installed as {infos[0].version} and does not register it"


def _names_in(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _canonical(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").lower()


def _words(kind: str) -> str:
    return "topic or source" if kind == "source" else kind.replace("_", " ")


def _distribution(point: EntryPoint) -> tuple[str, str]:
    found = getattr(point, "dist", None)
    return (found.name, found.version) if found is not None else ("unknown", "0")


def _version_of_core() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(GROUP)
    except PackageNotFoundError:
        return "0"


