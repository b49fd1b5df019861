"""`Plugins`: what is installed, plugin by plugin; a name becomes a backend."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from slipcore.errors import BackendConflictError, PluginError, PluginLoadError, UnknownBackendError
from slipcore.plugins.discovery import (
    CORE,
    Distribution,
    EntryPoint,
    core_version,
    described,
    installed,
    is_installed,
    owns,
)
from slipcore.plugins.known import KNOWN, brought, remedy
from slipcore.plugins.loading import load
from slipcore.plugins.missing import missing
from slipcore.plugins.registry import Backend, PluginInfo, Registry, words
from slipcore.plugins.selection import (
    ALLOW,
    DISABLE,
    STRICT,
    Selection,
    canonical,
    from_environment,
)
from slipcore.plugins.versions import required
from slipcore.settings import Setting, nearest

if TYPE_CHECKING:
    from slipcore.config import Config

logger = logging.getLogger(__name__)

BUILTIN: Final = "builtin"


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
        settings = {
            ALLOW: Setting(allow, "allow= in code"),
            DISABLE: Setting(deny, "deny= in code"),
            STRICT: Setting(strict, "strict= in code"),
        }
        self._entry_points = None if entry_points is None else list(entry_points)
        self._selection = Selection.of(settings)
        self._builtin: Registry | None = None
        self._all: Registry | None = None

    @classmethod
    def of(cls, config: Config, *, strict: bool | None = None) -> Plugins:
        """What is installed, as far as the configuration lets it be used.

        `[plugins]` of slip.toml has `allow` and `disable`, lists of names, and `strict`; over
        them stand SLIP_PLUGINS, SLIP_DISABLE_PLUGINS and SLIP_STRICT_PLUGINS.

        Args:
            strict: whatever the configuration says of it, as one does who lists what failed.
        """
        given = {} if strict is None else {STRICT: Setting(strict, "strict= in code")}
        return cls._selected({**config.plugins, **given})

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Plugins:
        """What the environment says, without any file.

        SLIP_PLUGINS and SLIP_DISABLE_PLUGINS are names with commas between; SLIP_STRICT_PLUGINS=1
        makes a plugin that fails an error.

        Raises:
            ConfigError: SLIP_STRICT_PLUGINS is neither yes nor no.
        """
        return cls._selected(from_environment(environ))

    @classmethod
    def _selected(cls, settings: Mapping[str, Setting]) -> Plugins:
        plugins = cls()
        plugins._selection = Selection.of(settings)
        return plugins

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
            raise UnknownBackendError(self.missing(name, kind))
        return found[0]

    def report(self) -> list[PluginInfo]:
        """All plugins, the built-in one first, the others by name."""
        return list(self._loaded().plugins)

    def may_be(self, name: str) -> bool:
        """Whether a name is a backend's, as far as can be told.

        A plugin that failed at import has not told what it brings: then any name may be, but one
        that is almost another's.
        """
        if name in KNOWN or self.of_name(name) or self.unused(name):
            return True
        failed = any(info.status == "failed" for info in self.report())
        return failed and nearest(name, self.names()) is None

    # --- loading --------------------------------------------------------------------------

    def _core(self) -> Registry:
        if self._builtin is None:
            from slipcore.backends import plugin

            self._builtin = Registry()
            self._builtin.admit(PluginInfo(BUILTIN, CORE, core_version(), "loaded"), lambda: plugin)
        return self._builtin

    def _loaded(self) -> Registry:
        if self._all is None:
            self._all = self._load()
        return self._all

    def _load(self) -> Registry:
        registry = self._core().extended()
        version = registry.plugins[0].version
        given = self._entry_points
        found = installed() if given is None else [(e, described(e.dist)) for e in given]
        plugins = [(PluginInfo(e.name, d.name, d.version, "loaded"), e, d) for e, d in found]
        # Of two that name one module, the one whose it is comes first.
        plugins.sort(key=lambda it: (not owns(it[2], it[1].value), it[0].name, it[0].distribution))
        lacks = _Lacking()
        self._selection.check(name for info, *_ in plugins for name in _names(info))
        for info, entry_point, dist in plugins:
            against = self._selection.against(_names(info))
            if against is not None:
                registry.plugins.append(replace(info, status="disabled", reason=against))
                continue
            try:
                lacking = replace(info, reason=lacks.told(dist))
                registry.admit(lacking, partial(load, entry_point, dist, version))
            except PluginError as error:
                self._failed(info, error)
                registry.plugins.append(replace(info, status="failed", reason=str(error)))
            except KeyboardInterrupt:
                logger.warning("Interrupted while the plugin %s was loaded", info.owner)
                raise
        registry.plugins[1:] = sorted(
            registry.plugins[1:], key=lambda info: (info.name, info.distribution)
        )
        return registry

    def _failed(self, info: PluginInfo, error: PluginError) -> None:
        if self._selection.strict:
            by = self._selection.origins[STRICT]
            raise PluginLoadError(
                f"Plugin {info.owner} failed, and plugins are strict ({by}): {error}."
            ) from (error.__cause__ or error)
        logger.warning("Plugin %s failed and is not used: %s", info.owner, error)
        logger.debug("Plugin %s failed here:", info.owner, exc_info=error)

    # --- unknown names --------------------------------------------------------------------

    def missing(self, name: str, kind: str | None = None) -> str:
        """What to tell whoever asks for a name that nobody registered.

        What there is, what was probably meant, who would have brought it and why not, and how to
        install what brings it.

        Args:
            kind: None: of any kind.
        """
        return missing(self, name, kind)

    def lost(self, kind: str | None = None) -> dict[str, list[str]]:
        """Names that plugins had registered before they failed -> the owners of these."""
        lost: dict[str, list[str]] = {}
        for (of, name), owners in self._loaded().lost.items():
            if kind in (of, None):
                lost[name] = list(dict.fromkeys((*lost.get(name, ()), *owners)))
        return lost

    def unused(self, name: str, kind: str | None = None) -> list[PluginInfo]:
        """Plugins that bring nothing here and may be where a backend of that name comes from.

        One that failed in a hook has told what it brings; of others the name has to be the
        backend's, or that of the distribution behind "slip-".

        Args:
            kind: None: of any kind.
        """
        lost = self.lost(kind).get(name, ())
        called = {canonical(name), canonical(f"slip-{name}")}
        if name in KNOWN and not brought(name, kind):
            called = set()
        return [
            info
            for info in self.all_unused()
            if info.owner in lost or called & set(map(canonical, _names(info)))
        ]

    def all_unused(self) -> list[PluginInfo]:
        """Plugins that bring nothing here: they failed, are disabled, or register nothing."""
        return [info for info in self.report() if not info.provides]


class _Lacking:
    """What distributions require and is not installed; each is looked for once."""

    def __init__(self) -> None:
        self._there: dict[str, bool] = {CORE: True}

    def told(self, dist: Distribution) -> str | None:
        """What a distribution lacks, to be told beside what it provides; None: nothing.

        It may have its modules from elsewhere, and then works: this is no failure.
        """
        for name in map(canonical, required(dist.requires)):
            if name not in self._there:
                self._there[name] = is_installed(name)
            if not self._there[name]:
                return f"it requires {name}, which is not installed: {remedy(name, dist.name)}"
        return None


def _names(info: PluginInfo) -> list[str]:
    """What a plugin may be called by whoever allows or disables it."""
    return [name for name in (info.name, info.distribution, info.owner) if name]
