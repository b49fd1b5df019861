"""Small things that streams are made of: signals, publish and subscribe, copies of a generator."""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from enum import Enum
from functools import partial
from typing import Any, Final

from slipcore.errors import SlipError

__all__ = [
    "AsyncSynchronizedGenerator",
    "Broadcast",
    "PubSub",
    "Signal",
    "Singleton",
    "awaitable",
    "get_param_names",
    "iscoroutinecallable",
]

MAX_UPDATES: Final = 1024
"""Updates that a subscription keeps for a reader that is busy."""


class Signal(Enum):
    """What may be told to a stream."""

    SENTINEL = 0
    """No value: what a generator yields while it is paused."""
    PAUSE = 1
    """Hand nothing over until another signal comes."""
    RESUME = 2
    """Go on."""
    STOP = 3
    """End."""


class Singleton(type):
    """Metaclass of classes with one instance, made by the first call.

    A class that defines `__update__` has it called with the arguments of every call, the first
    included.
    """

    _instance: Any = None

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        # Read from the class itself: a subclass is not served by its parent's instance.
        if cls.__dict__.get("_instance") is None:
            cls._instance = super().__call__(*args, **kwargs)
        instance = cls._instance
        update = getattr(instance, "__update__", None)
        if update is not None:
            update(*args, **kwargs)
        return instance


async def awaitable(x: Any) -> Any:
    """Await what can be awaited, and return anything else as it is."""
    return await x if inspect.isawaitable(x) else x


def iscoroutinecallable(o: Any) -> bool:
    """Whether calling it gives a coroutine: a coroutine function, or an object that acts as one."""
    while isinstance(o, partial):
        o = o.func
    if inspect.iscoroutinefunction(o):
        return True
    if isinstance(o, type) or not callable(o):
        return False
    return inspect.iscoroutinefunction(type(o).__call__)


def get_param_names(o: Any) -> tuple[str, ...]:
    """The names of what a callable takes, in order; none for a builtin that does not tell."""
    try:
        return tuple(inspect.signature(o).parameters)
    except ValueError:
        return ()


class Broadcast:
    """Hands what is published on a topic to those that listen at that moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Tuples are replaced, never changed: who leaves during a publish disturbs nobody.
        self._listeners: dict[str, tuple[Callable[..., Any], ...]] = {}

    def subscribe(self, topic: str, listener: Callable[..., Any]) -> None:
        """Have a callable called with all that is published from now on."""
        with self._lock:
            self._listeners[topic] = (*self._listeners.get(topic, ()), listener)

    def unsubscribe(self, topic: str, listener: Callable[..., Any]) -> None:
        """End a subscription; one that is not there is ignored."""
        with self._lock:
            listeners = list(self._listeners.get(topic, ()))
            if listener not in listeners:
                return
            listeners.remove(listener)
            if listeners:
                self._listeners[topic] = tuple(listeners)
            else:
                del self._listeners[topic]

    def publish(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Call every listener of the topic.

        Raises:
            SlipError: a listener is async; nobody was called. `apublish` awaits such listeners.
            Exception: what a listener raised, after all have been called; an ExceptionGroup if
                several did.
        """
        listeners = self._listeners.get(topic, ())
        for listener in listeners:
            if iscoroutinecallable(listener):
                raise SlipError(
                    f"Listener {listener!r} of {topic!r} is async and publish() can't await it; "
                    "use `await pubsub.apublish(...)`."
                )
        errors: list[Exception] = []
        for listener in listeners:
            try:
                listener(*args, **kwargs)
            except Exception as error:
                errors.append(error)
        _raise_all(topic, errors)

    async def apublish(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Call every listener of the topic in turn, awaiting those that are async.

        Raises:
            Exception: what a listener raised, after all have been called; an ExceptionGroup if
                several did.
        """
        errors: list[Exception] = []
        for listener in self._listeners.get(topic, ()):
            try:
                await awaitable(listener(*args, **kwargs))
            except Exception as error:
                errors.append(error)
        _raise_all(topic, errors)

    def iter_topic(self, topic: str, maxsize: int = MAX_UPDATES) -> AsyncIterator[Any]:
        """Iterate over what is published from this call on.

        An update of one argument is that argument, of several a tuple. The publisher never waits:
        a reader that falls behind gets the updates that were kept, then a SlipError, and ends. A
        reader that was let go of is unsubscribed by the next update, `aclose()` does it at once.

        Args:
            maxsize: updates that are kept while the reader is busy.
        """
        mailbox = _Mailbox(self, topic, maxsize)
        reader = _Reader(mailbox)
        self.subscribe(topic, mailbox)
        return reader


class PubSub(Broadcast, metaclass=Singleton):
    """The one `Broadcast` of the process: every `PubSub()` is the same."""


def _raise_all(topic: str, errors: list[Exception]) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} listeners of {topic!r} failed", errors)


class _Mailbox:
    """Updates for one reader, put there by any thread."""

    def __init__(self, pubsub: Broadcast, topic: str, maxsize: int) -> None:
        self.topic = topic
        self.maxsize = maxsize
        self.updates: deque[Any] = deque()
        self.fell_behind = False
        self.closed = False
        # Weak: `break` in `async for` closes nothing, the reader is only let go of.
        self.reader: weakref.ref[_Reader] | None = None
        self._pubsub = pubsub
        self._lock = threading.Lock()
        self._waiting: asyncio.Future[None] | None = None

    def __call__(self, *args: Any) -> None:
        if self.reader is None or self.reader() is None:
            self.close()
            return
        with self._lock:
            if self.closed or self.fell_behind:
                return
            if len(self.updates) < self.maxsize:
                self.updates.append(args[0] if len(args) == 1 else args)
            else:
                self.fell_behind = True
        if self.fell_behind:
            self._pubsub.unsubscribe(self.topic, self)
        self._wake()

    async def wait(self) -> None:
        """Return once there may be something to take."""
        with self._lock:
            if self.updates or self.fell_behind or self.closed:
                return
            if self._waiting is not None:
                raise SlipError(
                    f"Another task waits for the next update of {self.topic!r}; give each task an "
                    "iterator of its own."
                )
            self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def close(self) -> None:
        self._pubsub.unsubscribe(self.topic, self)
        with self._lock:
            self.closed = True
            self.updates.clear()
        self._wake()

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        loop = waiting.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, waiting)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Reader(AsyncIterator[Any]):
    def __init__(self, mailbox: _Mailbox) -> None:
        self._mailbox = mailbox
        mailbox.reader = weakref.ref(self)

    async def __anext__(self) -> Any:
        mailbox = self._mailbox
        while not mailbox.updates:
            if mailbox.closed:
                raise StopAsyncIteration
            if mailbox.fell_behind:
                mailbox.close()
                raise SlipError(
                    f"A reader of {mailbox.topic!r} fell behind by more than {mailbox.maxsize} "
                    "updates and was ended; read faster, or iterate again to go on from now."
                )
            await mailbox.wait()
        return mailbox.updates.popleft()

    async def aclose(self) -> None:
        """End the iteration, for a task that waits in it too."""
        self._mailbox.close()


class AsyncSynchronizedGenerator(AsyncIterable[Any]):
    """One source read by several copies that advance together.

    The next value is pulled when every copy has asked for it, and one value is held at a time. A
    copy gets the values that are pulled after it was made. One that is closed, or let go of, leaves
    the others running; a cancelled wait loses no value. An error of the source reaches every copy.
    """

    def __init__(self, gen: AsyncIterable[Any]) -> None:
        self._source = gen
        self._iterator: AsyncIterator[Any] | None = None
        self._value: Any = Signal.SENTINEL
        self._round = 0
        self._ended = False
        self._error: Exception | None = None
        self._places: set[_Place] = set()
        self._pull: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def value(self) -> Any:
        """The value last pulled; `Signal.SENTINEL` before the first."""
        return self._value

    def copy(self) -> _GeneratorCopy:
        """Another reader, from the next value on."""
        place = _Place(self._round)
        self._places.add(place)
        return _GeneratorCopy(self, place)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.copy()

    async def aclose(self) -> None:
        """End all copies and close the source."""
        self._places.clear()
        self._ended = True
        self._wake()
        if self._pull is not None:
            self._pull.cancel()
            await asyncio.wait([self._pull])
        close = getattr(self._iterator or self._source, "aclose", None)
        if close is not None:
            await close()

    async def take(self, place: _Place) -> Any:
        """The next value for the copy that stands at `place`."""
        place.asking = True
        try:
            while place in self._places and place.round == self._round and not self._ended:
                changed = self._changed
                self._pull_if_all_ask()
                await changed.wait()
        finally:
            place.asking = False
        if place not in self._places:
            raise StopAsyncIteration
        if place.round < self._round:
            place.round += 1
            return self._value
        self._places.discard(place)
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    def leave(self, place: _Place) -> None:
        """Go on without the copy that stands at `place`."""
        self._places.discard(place)
        self._wake()

    def _pull_if_all_ask(self) -> None:
        if self._pull is None and all(p.asking and p.round == self._round for p in self._places):
            self._pull = asyncio.ensure_future(self._advance())

    async def _advance(self) -> None:
        try:
            if self._iterator is None:
                self._iterator = aiter(self._source)
            self._value = await anext(self._iterator)
            self._round += 1
        except StopAsyncIteration:
            self._ended = True
        except Exception as error:
            self._error, self._ended = error, True
        except asyncio.CancelledError:
            self._ended = True
            raise
        finally:
            self._pull = None
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class _Place:
    """Where a copy stands: the rounds it has taken, and whether it asks for the next."""

    __slots__ = ("asking", "loop", "round")

    def __init__(self, round: int) -> None:
        self.round = round
        self.asking = False
        self.loop: asyncio.AbstractEventLoop | None = None


class _GeneratorCopy(AsyncIterator[Any]):
    def __init__(self, origin: AsyncSynchronizedGenerator, place: _Place) -> None:
        self._origin = origin
        self._place = place

    async def __anext__(self) -> Any:
        self._place.loop = asyncio.get_running_loop()
        return await self._origin.take(self._place)

    async def aclose(self) -> None:
        """Leave; a task that waits for the next value ends."""
        self._origin.leave(self._place)

    def __del__(self) -> None:
        loop = self._place.loop
        if loop is None or loop.is_closed():
            self._origin._places.discard(self._place)
        else:
            loop.call_soon_threadsafe(self._origin.leave, self._place)
