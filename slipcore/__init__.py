"""Ordinary Python functions over streams: sources, sinks, state and codecs by name."""

from pluggy import HookimplMarker

hookimpl = HookimplMarker("slipcore")
"""Marks the functions of a plugin module that register its backends."""

from slipcore.app import App, Conf, handle, stream  # noqa: E402  # plugins need hookimpl first
from slipcore.caching import Cache  # noqa: E402
from slipcore.engine.bindings import pipe  # noqa: E402
from slipcore.engine.runner import Limits  # noqa: E402
from slipcore.interfaces import (  # noqa: E402
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
from slipcore.resources import Sink, Source, Topic  # noqa: E402
from slipcore.utils import PubSub, Signal  # noqa: E402

__all__ = [
    "READ_FROM_END",
    "READ_FROM_START",
    "App",
    "Cache",
    "Conf",
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
    "handle",
    "hookimpl",
    "pipe",
    "stream",
]
