"""What a handler can ask about the record in hand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from slipcore.engine.state import in_hand
from slipcore.interfaces import ConfigError, SlipError

if TYPE_CHECKING:
    from slipcore.engine.generations import Generation


class Context:
    """The record in hand, for a handler that has a parameter annotated `Context`.

    It always speaks of the record in hand, so that it costs nothing where nobody asks.

    >>> from slipcore import Context, Topic, handle
    >>> @handle(Topic("orders", backend="memory"))
    ... def order(record, context: Context):
    ...     if context.attempt > 1:
    ...         print("again:", record.key)
    """

    __slots__ = ()

    @property
    def record(self) -> Any:
        """The record; with `batch=True` the list of them.

        What came from a plain iterable is the item itself.
        """
        generation = _current()
        return generation.lane.given(generation)

    @property
    def attempt(self) -> int:
        """The number of the try that this is; 1: the first one since the record was read."""
        return _current().attempt()

    @property
    def deadline(self) -> float | None:
        """When `timeout=` is over, as `asyncio.timeout_at` takes it; None: there is none."""
        return _current().deadline


def _current() -> Generation:
    generation = in_hand()
    if generation is None or generation.index() < 0:
        raise SlipError("A Context speaks of the record in hand; no handler has one here.")
    return generation


def takes_context(parameter: inspect.Parameter, function: Any) -> bool:
    """Whether a parameter is annotated `Context`, as the class or, unresolved, as its name."""
    told = parameter.annotation
    if not isinstance(told, str):
        return told is Context
    if told not in ("Context", "slipcore.Context"):
        return False
    names = getattr(function, "__globals__", {})
    return told != "Context" or names.get("Context", Context) is Context


def limited(call: Callable[[Any], Any], function: Any, timeout: float, name: str) -> Any:
    """A handler that is cancelled after a time, with a TimeoutError that says so.

    Args:
        call: the handler as a function of the record alone.
        function: the handler as it was given, which tells its kind.
        timeout: seconds.

    Raises:
        ConfigError: it is nothing that could be cancelled.
    """

    def over(error: TimeoutError, limit: asyncio.Timeout) -> TimeoutError:
        return TimeoutError(f"{name} took more than {timeout:g} s") if limit.expired() else error

    async def answer(item: Any) -> Any:
        generation = _begin(timeout)
        limit = asyncio.timeout_at(generation.deadline)
        try:
            async with limit:
                return await call(item)
        except TimeoutError as error:
            raise over(error, limit) from error
        finally:
            generation.deadline = None

    async def answers(item: Any) -> AsyncIterator[Any]:
        generation = _begin(timeout)
        results = call(item)
        try:
            while True:
                limit = asyncio.timeout_at(generation.deadline)
                try:
                    async with limit:
                        result = await anext(results)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise over(error, limit) from error
                yield result
        finally:
            generation.deadline = None
            await results.aclose()

    if inspect.iscoroutinefunction(function):
        return answer
    if inspect.isasyncgenfunction(function):
        return answers
    raise ConfigError(
        f"Handler {name} has timeout={timeout:g}, but is not async: only `async def` can be "
        "interrupted."
    )


def _begin(timeout: float) -> Generation:
    generation = in_hand()
    assert generation is not None
    generation.deadline = asyncio.get_running_loop().time() + timeout
    return generation
