"""Plugins: found, isolated from each other, and listed; a name becomes a backend."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from slipcore.errors import (
    BackendConflictError,
    ConfigError,
    PluginLoadError,
    UnknownBackendError,
)
from slipcore.known import KNOWN, Known, backend_of_setting, claimant
from slipcore.registry import KINDS, Backend, PluginInfo, Registry, words
from slipcore.settings import hint, nearest

__all__ = [
    "KINDS",
    "Backend",
    "PluginInfo",
    "Plugins",
    "backend_of_setting",
    "claimant",
]

logger = logging.getLogger(__name__)

GROUP: Final = "slipcore"
CORE: Final = "slipcore"
BUILTIN: Final = "builtin"
EVERY: Final = "*"


class EntryPoint(Protocol):
    """What announces a plugin: `importlib.metadata.EntryPoint`, of any version of it."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def dist(self) -> Any:
        """The distribution, with `name` and `version`; None where it is not known."""

    def load(self) -> Any: ...


class Plugins:
    """The backends of everything that is installed. Nothing is loaded before it is asked for.

    Args:
        entry_points: the plugins; None: those of the installed distributions.
        allow: names of the plugins or distributions to use; None: all, empty: none.
        deny: names of the plugins or distributions not to use; "*": none is used.
        strict: a plugin that fails is an error instead of a warning.
    """

    def __init__(
        self,
        entry_points: Iterable[EntryPoint] | None = None,
        allow: Collection[str] | None = None,
        deny: Collection[str] = (),
        strict: bool = False,
    ) -> None:
        self._entry_points = None if entry_points is None else list(entry_points)
        self._allow = None if allow is None else {_canonical(name) for name in allow}
        self._deny = {_canonical(name) for name in deny}
        self._strict = strict
        self._builtin: Registry | None = None
        self._all: Registry | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Plugins:
        """What the environment says.

        SLIP_PLUGINS and SLIP_DISABLE_PLUGINS are names with commas between; SLIP_STRICT_PLUGINS=1
        makes a plugin that fails an error.
        """
        allow = environ.get("SLIP_PLUGINS")
        return cls(
            allow=None if allow is None else _split(allow),
            deny=_split(environ.get("SLIP_DISABLE_PLUGINS", "")),
            strict=environ.get("SLIP_STRICT_PLUGINS", "") not in ("", "0"),
        )

    def load(self) -> None:
        """Load all plugins, once; those that fail are warned of and left out.

        Raises:
            PluginLoadError: one failed, where plugins are strict.
            ConfigError: a plugin that is allowed by name is not installed.
        """
        self._loaded()

    def names(self, kind: str | None = None) -> list[str]:
        """The names of a kind; None: of all of them."""
        return sorted({name for of, name in self._loaded().backends if kind in (of, None)})

    def of_name(self, name: str) -> list[Backend]:
        """The backends of a name, of any kind."""
        backends = self._loaded().backends
        return [it for (_, of), found in backends.items() if of == name for it in found]

    def get(self, kind: str, name: str) -> Backend:
        """The backend of that name; the built-in ones without loading anybody else's.

        Raises:
            UnknownBackendError: nobody registered it.
            BackendConflictError: two plugins did.
        """
        found = self._core().backends.get((kind, name))
        if found is None:
            found = self._loaded().backends.get((kind, name), [])
        if len(found) > 1:
            owners = sorted(backend.owner for backend in found)
            raise BackendConflictError(
                f"The {words(kind, name)} is registered by {' and by '.join(owners)}: disable one "
                f"of them, e.g. with SLIP_DISABLE_PLUGINS={owners[-1]}."
            )
        if not found:
            raise UnknownBackendError(self._unknown(kind, name))
        return found[0]

    def report(self) -> list[PluginInfo]:
        """All plugins, the built-in one first, the others by name."""
        return list(self._loaded().plugins)

    # --- loading --------------------------------------------------------------------------

    def _core(self) -> Registry:
        if self._builtin is None:
            from slipcore.backends import plugin

            self._builtin = Registry()
            self._builtin.admit(
                PluginInfo(BUILTIN, CORE, _core_version(), "loaded"), lambda: plugin
            )
        return self._builtin

    def _loaded(self) -> Registry:
        if self._all is None:
            self._all = self._load()
        return self._all

    def _load(self) -> Registry:
        registry = self._core().extended()
        entry_points = _installed() if self._entry_points is None else self._entry_points
        plugins = [(_described(entry_point), entry_point) for entry_point in entry_points]
        plugins.sort(key=lambda plugin: (plugin[0].name, plugin[0].distribution))
        self._check_allowed([info for info, _ in plugins])
        for info, entry_point in plugins:
            reason = self._disabled(info)
            if reason is not None:
                registry.plugins.append(replace(info, status="disabled", reason=reason))
                continue
            try:
                registry.admit(info, entry_point.load)
            except (Exception, SystemExit) as error:
                reason = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
                if self._strict:
                    raise PluginLoadError(f"Plugin {info.owner} failed: {reason}") from error
                logger.warning("Plugin %s failed and is not used: %s", info.owner, reason)
                logger.debug("Plugin %s failed here:", info.owner, exc_info=error)
                registry.plugins.append(replace(info, status="failed", reason=reason))
        return registry

    def _disabled(self, info: PluginInfo) -> str | None:
        names = _names(info)
        if EVERY in self._deny or names & self._deny:
            return "it is among those not to be used (SLIP_DISABLE_PLUGINS)"
        if self._allow is not None and not names & self._allow:
            return "it is not among those to be used (SLIP_PLUGINS)"
        return None

    def _check_allowed(self, plugins: Iterable[PluginInfo]) -> None:
        installed = {name for info in plugins for name in _names(info)}
        for name in sorted((self._allow or set()) - installed):
            raise ConfigError(
                f"SLIP_PLUGINS names the plugin '{name}', which is not installed. "
                f"{hint(name, (one for one in installed if ':' not in one))}"
            )

    # --- unknown names --------------------------------------------------------------------

    def _unknown(self, kind: str, name: str) -> str:
        names = self.names(kind)
        said = [f"There is no {words(kind, name)}: there are {', '.join(names)}."]
        near = nearest(name, {*names, *KNOWN} - {name})
        if near is not None and name not in KNOWN:
            said.append(f"Did you mean '{near}'?")
        known = KNOWN.get(name if name in KNOWN else near or "")
        if known is not None:
            said.append(self._brought_by(known))
        unused = (info for info in self.report() if info.status != "loaded")
        said += (f"Plugin {info.owner} ({info.status}): {info.reason}." for info in unused)
        return " ".join(said)

    def _brought_by(self, known: Known) -> str:
        for info in self.report():
            if _canonical(info.distribution) == known.distribution:
                does = "does not register it" if info.status == "loaded" else "is not used"
                return f"It belongs to {info.distribution}; the installed {info.version} {does}."
        return f"It comes with {known.distribution}: {known.install}."


def _installed() -> Iterable[EntryPoint]:
    if sys.version_info >= (3, 12):
        from importlib.metadata import entry_points
    else:  # that of 3.11 reads the entry points of every distribution before it selects
        from importlib_metadata import entry_points
    return entry_points(group=GROUP)


def _core_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(CORE)
    except PackageNotFoundError:  # on the path, and not installed
        return ""


def _described(entry_point: EntryPoint) -> PluginInfo:
    dist = entry_point.dist
    if dist is None:
        return PluginInfo(entry_point.name, "", "", "loaded")
    metadata = dist.metadata  # read anew at each look
    return PluginInfo(
        entry_point.name, metadata.get("Name", ""), metadata.get("Version", ""), "loaded"
    )


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _names(info: PluginInfo) -> set[str]:
    """What a plugin may be called by whoever allows or disables it."""
    names = (info.name, info.distribution, info.owner)
    return {_canonical(name) for name in names if name}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
