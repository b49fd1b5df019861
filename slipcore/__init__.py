"""Ordinary Python functions over streams: sources, sinks, state and codecs by name."""

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
