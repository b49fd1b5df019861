"""What plugins register: each plugin's backends are taken together or not at all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Literal, TypeAlias

import pluggy
from msgspec import Struct

from slipcore import hookspecs
from slipcore.errors import MissingDependencyError, PluginError
from slipcore.plugins.known import remedy
from slipcore.plugins.loading import told
from slipcore.settings import nearest

KINDS: Final = ("source", "sink", "cache", "codec", "checkpoint_store")

Status: TypeAlias = Literal["loaded", "failed", "disabled"]

_HOOKS: Final = {kind: f"register_{kind}s" for kind in KINDS}
MARK: Final = f"{hookspecs.hookimpl.project_name}_impl"
"""The attribute by which pluggy knows the functions that are marked as hooks."""

_GIVEN: Final = tuple(inspect.signature(hookspecs.register_sources).parameters)
"""What a hook may ask for; all of them are of one shape."""
NO_HOOKS: Final = "it registers nothing: are its hooks marked with @hookimpl?"
NOTHING: Final = "its hooks register nothing"

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
            PluginError: what was registered is not there, or can't be imported or called.
        """
        factory: Callable[..., Any] = self._resolve(self.factory)
        if not callable(factory):
            raise PluginError(
                f"{self.owner} registers {self.factory} as the factory of the "
                f"{words(self.kind, self.name)}, and that is of type {type(factory).__name__}, "
                "which is not callable."
            )
        return factory

    def options_type(self) -> type | None:
        """The class of its settings; None: it has none.

        Raises:
            MissingDependencyError: a library that the backend stands on is not installed.
            PluginError: what was registered is not there, can't be imported, or is no Struct or
                dataclass.
        """
        options = self._resolve(self.options)
        if options is None:
            return None
        if isinstance(options, type) and (is_dataclass(options) or issubclass(options, Struct)):
            return options
        raise PluginError(
            f"{self.owner} registers {getattr(options, '__qualname__', options)} as the options of "
            f"the {words(self.kind, self.name)}, and it is no Struct and no dataclass."
        )

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
        backend = words(self.kind, self.name)
        try:
            with told(f"importing {module}"):
                return import_module(module)
        except PluginError as error:
            cause = error.__cause__
            missing = (cause.name or "") if isinstance(cause, ModuleNotFoundError) else ""
            if missing and f"{module}.".startswith(f"{missing}."):
                raise PluginError(
                    f"{self.owner} registers the {backend} in the module {module}, and there is "
                    f"no {missing}."
                ) from cause
            own = ("", "slipcore", module.partition(".")[0])
            if missing.partition(".")[0] not in own:
                owner = self.distribution or self.owner
                raise MissingDependencyError(
                    f"The {backend} of {owner} needs the module {missing}, which is not "
                    f"installed: {remedy(missing, owner)}.",
                    name=missing,
                ) from cause
            raise PluginError(f"The {backend} of {self.owner} can't be used: {error}.") from (
                cause or error
            )


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What became of one plugin.

    Attributes:
        name: of its entry point.
        provides: kind -> names.
        reason: why it is not used, or registers nothing, or may not work; None: it is in order.
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
    """Backends by kind and name, and the plugins that brought them.

    Attributes:
        lost: what a plugin had registered before it failed -> the owners of such plugins.
    """

    def __init__(self) -> None:
        self.backends: dict[tuple[str, str], list[Backend]] = {}
        self.plugins: list[PluginInfo] = []
        self.lost: dict[tuple[str, str], list[str]] = {}
        self._reserved: frozenset[tuple[str, str]] = frozenset()
        self._admitted: list[tuple[object, str]] = []

    def extended(self) -> Registry:
        """One for further plugins, in which the names that are there are taken."""
        registry = Registry()
        registry.backends = {name: list(found) for name, found in self.backends.items()}
        registry.plugins = list(self.plugins)
        registry._reserved = frozenset(self.backends)
        registry._admitted = list(self._admitted)
        return registry

    def admit(self, info: PluginInfo, load: Callable[[], object]) -> None:
        """Load one plugin and take what it registers: all of it, or nothing and it raises.

        Raises:
            PluginError: it can't be used; the text is for the end of a sentence.
        """
        brought: dict[tuple[str, str], Backend] = {}
        try:
            plugin = load()
            for owner in (owner for admitted, owner in self._admitted if admitted is plugin):
                raise PluginError(f"its entry point names what is the plugin {owner} already")
            hooks = _hooks(plugin, info)
            self._ask(hooks, info, brought)
        except PluginError:
            for name in brought:
                self.lost.setdefault(name, []).append(info.owner)
            raise
        self._admitted.append((plugin, info.owner))
        for name, backend in brought.items():
            self.backends.setdefault(name, []).append(backend)
        kinds = {kind: tuple(name for of, name in brought if of == kind) for kind in KINDS}
        provides = {kind: names for kind, names in kinds.items() if names}
        reason = info.reason if provides else NOTHING if hooks else NO_HOOKS
        self.plugins.append(replace(info, provides=provides, reason=reason))

    def _ask(
        self,
        hooks: Mapping[str, pluggy.HookCaller],
        info: PluginInfo,
        brought: dict[tuple[str, str], Backend],
    ) -> None:
        """Call all hooks, and raise only then: what the others bring is to be known as lost."""
        failed: PluginError | None = None
        for kind, hook in hooks.items():
            try:
                self._call(hook, info, kind, brought)
            except PluginError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _call(
        self,
        hook: pluggy.HookCaller,
        info: PluginInfo,
        kind: str,
        brought: dict[tuple[str, str], Backend],
    ) -> None:
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
            if (kind, name) in brought:
                raise PluginError(f"the {words(kind, name)} is registered twice")
            brought[kind, name] = Backend(
                kind, name, factory, options, summary, info.owner, info.distribution, info.version
            )

        register.__qualname__ = "register"  # as Python calls it when its arguments are wrong
        with told(f"its hook {hook.name}"):
            answers = hook(register=register)
        for answer in answers:
            if hasattr(answer, "close"):
                answer.close()  # a coroutine or generator, none of which ran
            is_async = inspect.iscoroutine(answer) or inspect.isasyncgen(answer)
            what = "not to be async, but " if is_async else ""
            raise PluginError(f"{hook.name} is {what}to call register() and return nothing")


class _Marked(pluggy.PluginManager):
    """Looks at marked attributes only; pluggy's own look at each of a module takes as long as
    importing it did.
    """

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        if isinstance(plugin, ModuleType):
            return getattr(vars(plugin).get(name), MARK, None)
        return super().parse_hookimpl_opts(plugin, name)


def _hooks(plugin: object, info: PluginInfo) -> dict[str, pluggy.HookCaller]:
    """Kind -> what calls the hook of this plugin alone, so that what raises stops nobody else.

    Raises:
        PluginError: a function that is a hook by its name and is not marked, a hook that nobody
            calls, or one that asks for what it is not given. Without specifications pluggy takes
            all of them, and with them says the latter two in a paragraph.
    """
    manager = _Marked(hookspecs.hookimpl.project_name)
    manager.register(plugin, info.owner)
    callers = {hook.name: hook for hook in manager.get_hookcallers(plugin) or ()}
    for name in _unmarked(plugin, callers):
        raise PluginError(f"its function {name} is not marked with @hookimpl")
    if isinstance(plugin, type) or not (callers or isinstance(plugin, ModuleType)):
        what = plugin.__name__ if isinstance(plugin, type) else f"a {type(plugin).__name__}"
        raise PluginError(f"its entry point is to name a module with hooks, and names {what}")
    for name, hook in callers.items():
        if name not in _HOOKS.values():
            near = nearest(name, _HOOKS.values())
            raise PluginError(f"there is no hook {name}{f', did you mean {near}' if near else ''}")
        for implementation in hook.get_hookimpls():
            unknown = [arg for arg in implementation.argnames if arg not in _GIVEN]
            if unknown:
                raise PluginError(
                    f"its hook {name} asks for {', '.join(unknown)}, and is given "
                    f"{', '.join(_GIVEN)}"
                )
    return {kind: callers[name] for kind, name in _HOOKS.items() if name in callers}


def _unmarked(plugin: object, marked: Collection[str]) -> Iterator[str]:
    """Functions that were probably meant as hooks.

    Where nothing is marked that is all which begin like one; else these may be what hooks share.
    """
    names = vars(plugin if isinstance(plugin, (ModuleType, type)) else type(plugin))
    hooks = _HOOKS.values()
    for name in hooks if marked else [n for n in names if n in hooks or n.startswith("register_")]:
        if name not in marked and inspect.isfunction(names.get(name)):
            yield name


def _check_registration(kind: str, name: object, factory: object, options: object) -> None:
    if not isinstance(name, str) or not name or name != name.strip():
        raise PluginError(f"{name!r} is no name for a {kind_words(kind)}")
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
    return f"{kind_words(kind)} backend '{name}'"


def kind_words(kind: str) -> str:
    """A kind as sentences call it; a topic is registered as source and as sink."""
    return _WORDS.get(kind, kind)
