"""What a test calls by name: topics, sources, sinks and caches of an app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipcore.app import App
from slipcore.backends.memory.broker import Log
from slipcore.caching import Cache
from slipcore.engine.decoding import BatchDecoder
from slipcore.interfaces import ConfigError, Record
from slipcore.resources import Sink, Source, Topic
from slipcore.settings import hint
from slipcore.testing.app_world import WorldScope, log_name
from slipcore.wiring import caches_of

Logged = Topic | Source | Sink


def fed(app: App, wanted: str | Topic | Source) -> Topic | Source:
    """The topic or source to send to: one that is read, else any.

    Raises:
        ConfigError: there is none.
    """
    read = [s for b in app.bindings for s in b.sources if isinstance(s, Topic | Source)]
    there = [*read, *_sinks(app, Topic), *app.topics]
    found: Topic | Source = _named(app, wanted, there, "topic or source")
    return found


def looked_at(app: App, wanted: str | Logged) -> Logged:
    """The topic, sink or source to look at: one that is sent to, else any.

    Raises:
        ConfigError: there is none.
    """
    read = [s for b in app.bindings for s in b.sources if isinstance(s, Topic | Source)]
    there = [*_sinks(app, Topic | Sink), *read, *app.topics]
    found: Logged = _named(app, wanted, there, "topic, sink or source")
    return found


def cache_of(app: App, wanted: str) -> Cache:
    """The cache of that name.

    Raises:
        ConfigError: there is none.
    """
    used = [cache for binding in app.bindings for cache in caches_of(binding)]
    found: Cache = _named(app, wanted, [*app.caches, *used], "cache")
    return found


def _sinks(app: App, kind: Any) -> list[Any]:
    return [s for binding in app.bindings for s in binding.sinks if isinstance(s, kind)]


def _named(app: App, wanted: Any, there: Sequence[Any], kind: str) -> Any:
    """One of those that are there: the very object, else the first of its name and type."""
    if isinstance(wanted, str):
        found = [thing for thing in there if thing.name == wanted]
    elif not isinstance(wanted, Topic | Source | Sink):
        raise ConfigError(f"{wanted!r} is no {kind} and no name of one.")
    elif any(thing is wanted for thing in there):
        return wanted
    else:  # of a file that was loaded anew since
        found = [t for t in there if type(t) is type(wanted) and t.name == wanted.name]
        wanted = wanted.name
    if found:
        return found[0]
    known = {thing.name for thing in there}
    raise ConfigError(f"{app!r} has no {kind} '{wanted}'. {hint(wanted, known)}")


def log_of(scope: WorldScope, resource: Logged) -> Log:
    """The log that stands for it, made if it is not there."""
    kind = type(resource).__name__.lower()
    partitions = resource.choice().options().partitions
    return scope.broker().log(log_name(kind, resource.name), partitions)


async def decoded(topic: Topic, records: Sequence[Record]) -> list[Record]:
    """Records as handlers would get them.

    Raises:
        DecodeError: one of them can't be read.
    """
    found, poison = await BatchDecoder(*topic.codecs()).decoded(records)
    if poison is not None:
        raise poison
    return list(found)
