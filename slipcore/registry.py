"""What plugins register: each plugin's backends are taken together or not at all."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Literal, TypeAlias

import pluggy
from msgspec import Struct

from slipcore import hookspecs
from slipcore.errors import MissingDependencyError, PluginError
from slipcore.known import KNOWN
from slipcore.settings import nearest

KINDS: Final = ("source", "sink", "cache", "codec", "checkpoint_store")

Status: TypeAlias = Literal["loaded", "failed", "disabled"]

_HOOKS: Final = {kind: f"register_{kind}s" for kind in KINDS}
_WORDS: Final = {"source": "source or topic", "checkpoint_store": "checkpoint store"}


@dataclass(frozen=True, slots=True)
class Backend:
    """One registered backend.

    Attributes:
        factory: what makes an instance, or where to import it from.
        options: the class of its settings, or where to import it from; None: it has none.
        owner: "distribution:plugin".
    """

    kind: str
    name: str
    factory: Callable[..., Any] | str
    options: type | str | None = None
    summary: str = ""
    owner: str = ""
    distribution: str = ""
    version: str = ""

    def load(self) -> Callable[..., Any]:
        """The factory.

        Raises:
            MissingDependencyError: a library that the backend stands on is not installed.
            PluginError: what was registered is not there.
        """
        factory: Callable[..., Any] = self._resolve(self.factory)
        return factory

    def options_type(self) -> type | None:
        """The class of its settings; None: it has none.

        Raises:
            MissingDependencyError: a library that the backend stands on is not installed.
            PluginError: what was registered is not there, or is no Struct or dataclass.
        """
        options: type | None = self._resolve(self.options)
        if options is not None and not (is_dataclass(options) or issubclass(options, Struct)):
            raise PluginError(
                f"{self.owner} registers {options.__qualname__} as the options of the "
                f"{words(self.kind, self.name)}, and it is no Struct and no dataclass."
            )
        return options

    def _resolve(self, thing: Any) -> Any:
        if not isinstance(thing, str):
            return thing
        module, _, attribute = thing.partition(":")
        imported = self._import(module)
        try:
            return getattr(imported, attribute)
        except AttributeError:
            raise PluginError(
                f"{self.owner} registers the {words(self.kind, self.name)} as {thing}, and "
                f"{module} has no {attribute}."
            ) from None

    def _import(self, module: str) -> ModuleType:
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            own = module.partition(".")[0]
            if missing.partition(".")[0] in ("", own, "slipcore"):
                raise  # a mistake of the plugin's own, which only its traceback explains
            raise MissingDependencyError(
                f"The {words(self.kind, self.name)} of {self.distribution or self.owner} needs the "
                f"module {missing}, which is not installed: {self._remedy(missing)}.",
                name=missing,
            ) from error

    def _remedy(self, missing: str) -> str:
        if missing in sys.stdlib_module_names:
            return "this Python was built without it"
        for known in KNOWN.values():
            if known.distribution == self.distribution:
                return known.install
        return f"install {self.distribution or self.owner} again, with its dependencies"


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What became of one plugin.

    Attributes:
        name: of its entry point.
        provides: kind -> names.
        reason: why it is not used.
    """

    name: str
    distribution: str
    version: str
    status: Status
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reason: str | None = None

    @property
    def owner(self) -> str:
        return f"{self.distribution}:{self.name}" if self.distribution else self.name


class Registry:
    """Backends by kind and name, and the plugins that brought them."""

    def __init__(self) -> None:
        self.backends: dict[tuple[str, str], list[Backend]] = {}
        self.plugins: list[PluginInfo] = []
        self._reserved: frozenset[tuple[str, str]] = frozenset()
        self._hooks = pluggy.PluginManager("slipcore")
        self._hooks.add_hookspecs(hookspecs)

    def extended(self) -> Registry:
        """One for further plugins, in which the names that are there are taken."""
        registry = Registry()
        registry.backends = {name: list(found) for name, found in self.backends.items()}
        registry.plugins = list(self.plugins)
        registry._reserved = frozenset(self.backends)
        return registry

    def admit(self, info: PluginInfo, load: Callable[[], object]) -> None:
        """Load one plugin and take what it registers: all of it, or nothing and it raises."""
        plugin = load()
        try:
            self._hooks.register(plugin, info.owner)
            self._check_hooks(plugin)
            brought = [b for kind in KINDS for b in self._call(plugin, info, kind)]
        except BaseException:
            if self._hooks.get_plugin(info.owner) is plugin:
                self._hooks.unregister(plugin)
            raise
        for backend in brought:
            self.backends.setdefault((backend.kind, backend.name), []).append(backend)
        kinds = {kind: tuple(b.name for b in brought if b.kind == kind) for kind in KINDS}
        provides = {kind: names for kind, names in kinds.items() if names}
        self.plugins.append(replace(info, provides=provides))

    def _check_hooks(self, plugin: object) -> None:
        """Refuse hooks that nobody calls: pluggy takes a misspelled one without a word."""
        for hook in self._hooks.get_hookcallers(plugin) or ():
            if not hook.has_spec():
                near = nearest(hook.name, _HOOKS.values())
                meant = f", did you mean {near}" if near else ""
                raise PluginError(f"there is no hook {hook.name}{meant}")

    def _call(self, plugin: object, info: PluginInfo, kind: str) -> list[Backend]:
        """Call a hook of this plugin alone, so that what raises is known and stops nobody else."""
        brought: dict[str, Backend] = {}

        def register(
            name: str,
            factory: Callable[..., Any] | str,
            *,
            options: type | str | None = None,
            summary: str = "",
        ) -> None:
            _check_registration(kind, name, factory, options)
            if (kind, name) in self._reserved:
                raise PluginError(
                    f"the {words(kind, name)} is built in: register it as another name"
                )
            if name in brought:
                raise PluginError(f"the {words(kind, name)} is registered twice")
            brought[name] = Backend(
                kind, name, factory, options, summary, info.owner, info.distribution, info.version
            )

        others = [other for other in self._hooks.get_plugins() if other is not plugin]
        answers = self._hooks.subset_hook_caller(_HOOKS[kind], others)(register=register)
        for answer in answers:
            if hasattr(answer, "close"):
                answer.close()  # a coroutine or generator, none of which ran
            raise PluginError(f"{_HOOKS[kind]} is to call register() and return nothing")
        return list(brought.values())


def _check_registration(kind: str, name: object, factory: object, options: object) -> None:
    if not isinstance(name, str) or not name or name != name.strip():
        raise PluginError(f"{name!r} is no name for a {_WORDS.get(kind, kind)}")
    if isinstance(factory, str):
        _check_place(factory)
    elif not callable(factory):
        raise PluginError(f'{words(kind, name)}: its factory is callable or "module:attribute"')
    if isinstance(options, str):
        _check_place(options)
    elif options is not None and not isinstance(options, type):
        raise PluginError(f'{words(kind, name)}: options is a class or "module:attribute"')


def _check_place(place: str) -> None:
    if not re.fullmatch(r"\w+(\.\w+)*:\w+", place):
        raise PluginError(f'{place!r} is no place to import from: write "module:attribute"')


def words(kind: str, name: str) -> str:
    """A backend as sentences call it."""
    return f"{_WORDS.get(kind, kind)} backend '{name}'"
