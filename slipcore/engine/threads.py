"""Threads for handlers that block, and the way back from them into the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread, get_ident
from types import GeneratorType
from typing import Any, Final, TypeVar

from slipcore.engine.generations import Generation
from slipcore.engine.state import in_hand
from slipcore.interfaces import StateError

T = TypeVar("T")

LOOPS: Final[dict[int, asyncio.AbstractEventLoop]] = {}
"""Thread of a handler -> the loop that runs its app; empty where no handler has threads."""

LOOK_SECONDS: Final = 1.0
"""Between two looks at whether the loop that is to answer is still there."""


class ThreadPool(Executor):
    """Threads of one binding, begun when they are first needed.

    They are daemons: one that hangs does not keep the process from ending.

    Args:
        size: threads.
        name: of the binding.
        users: lanes that share it; it ends when each has released it.
    """

    def __init__(self, size: int, name: str, users: int) -> None:
        self._size = size
        self._name = name
        self._users = users
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._waiting = 0
        self._at_work: dict[int, Generation | None] = {}

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have one of the threads call a function. Only the event loop submits."""
        future: Future[T] = Future()
        generation = in_hand()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            self._at_work[get_ident()] = generation
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            finally:
                del self._at_work[get_ident()]

        self._waiting += 1
        future.add_done_callback(self._done)
        self._work.put(work)
        if self._waiting > len(self._threads) < self._size:
            self._begin()
        return future

    def _done(self, future: Future[Any]) -> None:
        self._waiting -= 1

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        name = f"slip-{self._name}-{len(self._threads)}"
        thread = Thread(target=self._run, args=(loop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        ident = get_ident()
        LOOPS[ident] = loop
        try:
            while (work := self._work.get()) is not None:
                work()
                del work  # what it holds is not to wait for the next one
        finally:
            del LOOPS[ident]

    def thread_of(self, generation: Generation) -> int | None:
        """The thread that has a generation's record in hand."""
        at_work = self._at_work.copy().items()
        return next((ident for ident, other in at_work if other is generation), None)

    def release(self) -> None:
        """One of the lanes is at its end. Threads that are at work end with what they do."""
        self._users -= 1
        if self._users:
            return
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            if thread.ident not in self._at_work:
                thread.join(LOOK_SECONDS)


def in_threads(
    call: Callable[[Any], Any], emit: Callable[[Any], Any], pool: ThreadPool
) -> Callable[[Any], Any]:
    """A blocking handler as an async one.

    What it returns goes to the sinks in the loop; what a generator yields does before it resumes.
    """

    def handle(item: Any) -> Any:
        result = call(item)
        if type(result) is not GeneratorType:
            return result
        for each in result:
            _emit_on_loop(emit, each)
        return None

    async def handled(item: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, copy_context().run, handle, item)

    return handled


def is_away() -> bool:
    """Whether this is a thread that a handler runs in, and not its app's event loop."""
    return get_ident() in LOOPS


def on_loop(call: Callable[..., T], *args: Any) -> T:
    """Call a function in the app's event loop, from the thread of a handler, for its record.

    Raises:
        StateError: the record is not in hand any more.
        Exception: what the function raised.
    """

    def begin(answer: Future[T]) -> None:
        answer.set_result(call(*args))

    return _answered(begin)


def _emit_on_loop(emit: Callable[[Any], Any], result: Any) -> None:
    """Hand a result to the sinks, and wait until they have taken it."""
    tasks: list[asyncio.Task[None]] = []

    async def finished(waiting: Awaitable[Any], answer: Future[None]) -> None:
        try:
            await waiting
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)

    def begin(answer: Future[None]) -> None:
        waiting = emit(result)
        if waiting is not None and hasattr(waiting, "__await__"):
            tasks.append(asyncio.ensure_future(finished(waiting, answer)))
        else:
            answer.set_result(None)

    _answered(begin)


def _answered(begin: Callable[[Future[T]], None]) -> T:
    """What the loop answers to something that is begun there in this thread's context."""
    loop = LOOPS[get_ident()]
    generation = in_hand()
    answer: Future[T] = Future()

    def called() -> None:
        try:
            if generation is None or generation.dead:
                raise StateError(
                    "The record is not this handler's any more: it took so long that it was given "
                    "up. It comes again, where its source can replay."
                )
            begin(answer)
        except BaseException as error:
            answer.set_exception(error)

    loop.call_soon_threadsafe(called, context=copy_context())
    while True:
        try:
            return answer.result(LOOK_SECONDS)
        except TimeoutError:
            if answer.done() or loop.is_closed():
                raise
