"""Keyed state of one's own making: what a handler may use as it uses a `Cache`."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Generator
from typing import Any, Final

from slipcore.utils import Broadcast


class SourceSinkMeta(ABCMeta):
    """The type of classes that are a source and a sink: to iterate over and to call."""


class _Done:
    """What a call has to be awaited for that was through at once."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield

    def __repr__(self) -> str:
        return "<done>"


DONE: Final = _Done()


class ICache(metaclass=SourceSinkMeta):
    """Keyed state of one's own making; what `Cache` is over a registered backend.

    >>> class MyCache(ICache):
    ...     def __init__(self):
    ...         self.db = {}
    ...     def __contains__(self, key):
    ...         return key in self.db
    ...     def __delitem__(self, key):
    ...         del self.db[key]
    ...     def __getitem__(self, key):
    ...         return self.db.get(key, None)
    ...     def __setitem__(self, key, val):
    ...         self.db[key] = val
    >>> cache = MyCache()
    >>> cache['prize'] = '🏆'
    >>> cache['prize']
    '🏆'
    >>> del cache['prize']
    >>> 'prize' in cache
    False
    """

    @abstractmethod
    def __contains__(self, key: Any) -> bool: ...

    @abstractmethod
    def __delitem__(self, key: Any) -> None: ...

    @abstractmethod
    def __getitem__(self, key: Any) -> Any:
        """The value, or None for a key that is not there."""

    @abstractmethod
    def __setitem__(self, key: Any, val: Any) -> None: ...

    def __call__(self, key: Any, val: Any) -> Awaitable[None]:
        """Store a value and tell those who iterate over the cache; `cache[key] = val` does not.

        It is stored at once; what comes back may be awaited, and need not be.
        """
        self[key] = val
        watchers: Broadcast | None = self.__dict__.get("_watchers")
        if watchers is not None:
            watchers.publish(self.__dict__["_name"], key, val)
        return DONE

    def __aiter__(self) -> AsyncIterator[tuple[Any, Any]]:
        """The key and value of every call from now on.

        A reader that falls behind by more than a bounded number is told so by a SlipError.
        """
        watchers: Broadcast = self.__dict__.setdefault("_watchers", Broadcast())
        return watchers.iter_topic(self.__dict__.setdefault("_name", repr(self)))
