"""`[errors]`: what every handler does about failures that says nothing about them itself."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import msgspec

from slipcore.engine.policies import STAGES, DeadLetter, Policies, Rule, dead_letter, retry, skip
from slipcore.errors import ConfigError
from slipcore.interfaces import ICache, ISink
from slipcore.resources import Sink, Topic
from slipcore.settings import Setting, validate

if TYPE_CHECKING:
    from slipcore.app import App
    from slipcore.engine.bindings import Binding

WORDS: Final = ("raise", "retry", "skip", "dead_letter")


class ErrorOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings of `[errors]`, defaults for all handlers.

    A stage takes one of "raise", "retry", "skip" and "dead_letter", or a list of them in order.
    """

    decoding: str | list[str] = []
    """When a codec can't read a record."""
    handling: str | list[str] = []
    """When a handler raises."""
    sinking: str | list[str] = []
    """When a sink does not take an output, or the output does not become durable."""
    dead_letter: str | None = None
    """The topic that dead letters go to."""
    retries: int | None = 5
    """Tries after the first one."""
    retry_on: str | list[str] = []
    """Types of errors that are tried again, such as "OSError" or "httpx.HTTPError"; none: all."""
    backoff: float = 1.0
    """Seconds before the second try; twice as long before each one after it."""
    max_backoff: float = 60.0
    """Seconds between two tries at the most."""
    jitter: float = 0.5
    """The part of the wait that is left to chance, 0 to 1."""


def policies_of(app: App, binding: Binding) -> Policies:
    """What a handler says of failures, and `[errors]` where it says nothing.

    Raises:
        ConfigError: `[errors]` is wrong.
    """

    def with_topic(rule: Rule) -> Rule:
        if isinstance(rule, DeadLetter) and isinstance(rule.sink, str):
            return replace(rule, sink=_topic(app, rule.sink))
        return rule

    return binding.policies.over(default_policies(app.config.section("errors"))).each(with_topic)


@dataclass(slots=True)
class Settled:
    """What all handlers of an app do about failures.

    Attributes:
        policies: by name of handler.
        sinking: the rules of each topic and sink, for what is lost on its way there.
    """

    policies: dict[str, Policies]
    sinking: dict[Any, tuple[Rule, ...]]


def settle(app: App) -> Settled:
    """Take down what each handler says, and see that they agree where they have to.

    Raises:
        ConfigError: they don't, or dead letters go where they can't.
    """
    settled = Settled({}, {})
    first: dict[Any, str] = {}
    for binding in app.bindings:
        policies = settled.policies[binding.name] = policies_of(app, binding)
        for sink in binding.sinks:
            if not isinstance(sink, (Topic, Sink, ISink)):
                continue
            rules = policies.of("sinking")
            other = first.setdefault(sink, binding.name)
            if settled.sinking.setdefault(sink, rules) != rules:
                raise ConfigError(
                    f"Handlers {other} and {binding.name} both send to {sink!r}, and their "
                    "on_sink_error= differ: give both the same, since what is lost is lost of both."
                )
        for box in policies.letterboxes():
            if isinstance(box, ICache) or any(box is sink for sink in binding.sinks):
                raise ConfigError(
                    f"Handler {binding.name}: {box!r} can't take dead letters; it is a cache, or "
                    "takes the handler's outputs. Name a topic of their own: dead_letter('dead')."
                )
    for policies in settled.policies.values():
        for box in policies.letterboxes():
            if isinstance(box, (Topic, Sink, ISink)):
                settled.sinking[box] = ()  # letters that are lost could go in a circle
    return settled


def _topic(app: App, name: str) -> Topic:
    """The topic of that name as one of dead letters: bytes as they are."""
    if name not in app.dead_letters:
        app.dead_letters[name] = app.topic(name, codec="raw", key_codec="raw")
    return app.dead_letters[name]


def default_policies(settings: Mapping[str, Setting]) -> Policies:
    """The rules that `[errors]` makes.

    Args:
        settings: as configured.

    Raises:
        ConfigError: a setting is wrong.
    """
    if not settings:
        return Policies()
    options: ErrorOptions = validate(ErrorOptions, settings, "[errors]")
    made = {
        stage: tuple(
            _rule(word, options, settings[stage])
            for word in _list(getattr(options, stage))
            if word != "raise"
        )
        for stage in STAGES
        if stage in settings
    }
    return Policies(**made)


def _rule(word: str, options: ErrorOptions, setting: Setting) -> Rule:
    try:
        if word == "retry":
            kinds = tuple(map(_error_type, _list(options.retry_on))) or Exception
            return retry(
                options.retries,
                on=kinds,
                backoff=options.backoff,
                max_backoff=options.max_backoff,
                jitter=options.jitter,
            )
        if word == "skip":
            return skip()
        if word == "dead_letter" and options.dead_letter:
            return dead_letter(options.dead_letter)
    except ConfigError as error:
        raise ConfigError(f"[errors]: {error}") from error
    if word == "dead_letter":
        raise ConfigError(
            f"{setting.origin}: dead_letter needs a topic: say which under [errors], "
            'dead_letter = "dead-letters".'
        )
    raise ConfigError(f"{setting.origin}: '{word}' is no policy. There are {', '.join(WORDS)}.")


def _list(given: str | list[str]) -> list[str]:
    """One or several, in the environment with commas between."""
    if isinstance(given, str):
        return [word for part in given.split(",") if (word := part.strip())]
    return given


def _error_type(name: str) -> type[Exception]:
    module, _, own = name.rpartition(".")
    try:
        found = getattr(import_module(module) if module else builtins, own)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"retry_on: there is no error '{name}': {error}.") from error
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    raise ConfigError(f"retry_on: '{name}' is no type of Exception.")
