"""Ordinary Python functions over streams: sources, sinks, state and codecs by name.

Its names are imported when they are first asked for, so that who needs few, as a plugin's module
or `slip --help`, does not wait for all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipcore.app import App
    from slipcore.caching import Cache
    from slipcore.current import Conf, handle, stream
    from slipcore.engine.bindings import pipe
    from slipcore.engine.context import Context
    from slipcore.engine.policies import dead_letter, retry, skip
    from slipcore.engine.runner import Limits
    from slipcore.hookspecs import hookimpl
    from slipcore.interfaces import (
        READ_FROM_END,
        READ_FROM_START,
        ICache,
        ICodec,
        ISink,
        ISource,
        Key,
        Out,
        Record,
        Secret,
        SlipError,
    )
    from slipcore.resources import Sink, Source, Topic
    from slipcore.utils import PubSub, Signal

_PLACES = {
    name: module
    for module, names in {
        "slipcore.app": ("App",),
        "slipcore.caching": ("Cache",),
        "slipcore.current": (
            "Conf",
            "handle",
            "stream",
        ),
        "slipcore.engine.bindings": ("pipe",),
        "slipcore.engine.context": ("Context",),
        "slipcore.engine.policies": (
            "dead_letter",
            "retry",
            "skip",
        ),
        "slipcore.engine.runner": ("Limits",),
        "slipcore.hookspecs": ("hookimpl",),
        "slipcore.interfaces": (
            "READ_FROM_END",
            "READ_FROM_START",
            "ICache",
            "ICodec",
            "ISink",
            "ISource",
            "Key",
            "Out",
            "Record",
            "Secret",
            "SlipError",
        ),
        "slipcore.resources": (
            "Sink",
            "Source",
            "Topic",
        ),
        "slipcore.utils": (
            "PubSub",
            "Signal",
        ),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    module = _PLACES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(module), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "READ_FROM_END",
    "READ_FROM_START",
    "App",
    "Cache",
    "Conf",
    "Context",
    "ICache",
    "ICodec",
    "ISink",
    "ISource",
    "Key",
    "Limits",
    "Out",
    "PubSub",
    "Record",
    "Secret",
    "Signal",
    "Sink",
    "SlipError",
    "Source",
    "Topic",
    "dead_letter",
    "handle",
    "hookimpl",
    "pipe",
    "retry",
    "skip",
    "stream",
]
