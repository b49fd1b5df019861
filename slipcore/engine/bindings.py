"""A function and its sinks, compiled to one step when the app starts.

What a handler is and what each sink takes is settled once; the loops below look at nothing but
the type of a result. A loop over a batch returns None when it is through, or what must be awaited
before it may be called again with the same iterator: where nothing is async there is no await and
no coroutine per record.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, Literal, TypeAlias

from slipcore.engine.context import Context, limited, takes_context
from slipcore.engine.policies import Policies
from slipcore.engine.sinks import RunSink, emitter_of, guarded
from slipcore.engine.threads import ThreadPool, in_threads
from slipcore.interfaces import DONE, ConfigError, ICache, ISink, Out, Record, SinkError

Handler: TypeAlias = Callable[..., Any]
"""A function, coroutine function, generator function or async generator function."""

Pipe: TypeAlias = Callable[[Any], Any]
"""AsyncIterable -> AsyncIterable: what a stream goes through before its handler."""

Sink: TypeAlias = Any
"""Any callable, sync or async; an `ISink`; a cache; a topic."""

Waiting: TypeAlias = Awaitable[Any] | None
"""What must be awaited before going on, if anything."""

Order: TypeAlias = Literal["key", "partition"]
"""What records are handled one after the other by."""

Emit: TypeAlias = Callable[[Any], Any]
"""Hands one result to the sinks. Its answer is awaited if it can be."""


NO_RESULTS: Final = (str, bytes, bytearray, tuple, Mapping, Out, Record)
"""What can be iterated over, and is one result where a batch handler owes several."""


@dataclass(frozen=True, slots=True)
class HeldPipe:
    """A pipe that holds inputs back: commits stay that many records behind."""

    function: Pipe
    holds: int

    def __call__(self, iterable: Any) -> Any:
        return self.function(iterable)


def pipe(function: Pipe, *, holds: int) -> HeldPipe:
    """Declare how many inputs a pipe holds at most, so that a crash can't lose them.

    Args:
        function: AsyncIterable -> AsyncIterable.
        holds: inputs that it may have taken and not yet answered; commits stay that far behind.
    """
    if holds < 0:
        raise ConfigError(f"holds={holds}: a pipe holds 0 or more inputs.")
    return HeldPipe(function, holds)


@dataclass(slots=True, eq=False)
class Binding:
    """One handler with its sources, pipe and sinks, as `handle` was told."""

    name: str
    handler: Handler
    sources: tuple[Any, ...]
    pipe: tuple[Pipe, ...] = ()
    sinks: tuple[Sink, ...] = ()
    delivery: str = "at-least-once"
    policies: Policies = field(default_factory=Policies)
    timeout: float | None = None
    batch: bool = False
    concurrency: int | None = None
    threads: int | None = None
    order: Order = "key"

    def __post_init__(self) -> None:
        if not (self.timeout is None or (type(self.timeout) in (int, float) and self.timeout > 0)):
            raise ConfigError(
                f"Handler {self.name}: timeout={self.timeout!r} is to be more than 0 seconds."
            )
        if self.batch and self.pipe:
            raise ConfigError(
                f"Handler {self.name}: batch=True and pipe= exclude each other, since a pipe gives "
                "one item at a time; call the pipe's function on the list in the handler."
            )

    @property
    def holds(self) -> int:
        return sum(p.holds for p in self.pipe if isinstance(p, HeldPipe))


@dataclass(frozen=True, slots=True)
class Step:
    """A compiled binding.

    Attributes:
        call: the handler as a function of the record alone.
        emit: hands a result to all sinks; what it returns is awaited if it can be.
        batch: handles items until one must be awaited (then to be called again) or none is left.
        attended: whether the handler asks for the record in hand.
        whole: whether an item is a list of records, and its result an iterable of results.
    """

    call: Callable[[Any], Any]
    emit: Emit
    batch: Callable[[Iterator[Any]], Waiting]
    attended: bool = False
    whole: bool = False
    _at_once: set[type] = field(default_factory=set, init=False, repr=False, compare=False)
    """Types of results that go to the sinks as they are."""

    def one(self, item: Any) -> Any:
        """Handle one item; what it returns is awaited if it can be."""
        result = self.call(item)
        if result is None:
            return None
        if type(result) not in self._at_once and not self.whole:
            if is_deferred(type(result)):
                return finish(result, self.emit)
            self._at_once.add(type(result))
        return self.emit(result)

    @classmethod
    def nothing(cls) -> Step:
        """The step of a lane that has no handler."""
        return cls(lambda _: None, lambda _: None, lambda _: None)


def compile_step(
    binding: Binding,
    sinks: Sequence[Sink],
    supplied: Mapping[str, Any],
    *,
    guard: bool = False,
    threads: ThreadPool | None = None,
) -> Step:
    """Settle all that can be settled about a binding before its first record.

    Args:
        sinks: the binding's sinks, with names resolved to backends.
        supplied: what `stream(**kwargs)` was given.
        guard: whether there are rules for what fails.
        threads: what the handler runs in; None: the event loop.

    Raises:
        ConfigError: a parameter that nobody supplies, a sink that can't be called, a timeout of
            what can't be interrupted.
    """
    call = compile_call(binding.handler, supplied, binding.name)
    emits = [compile_sink(sink, binding.name) for sink in sinks]
    if guard:
        emits = [guarded(emit, sink) for emit, sink in zip(emits, sinks, strict=True)]
    emit = fan_out(emits)
    function = underlying(binding.handler)
    if binding.timeout is not None:
        call = limited(call, function, binding.timeout, binding.name)
    attended = any(takes_context(p, function) for p in _parameters(binding.handler))
    if binding.batch:
        return _whole_step(call, emit, attended, binding.name)
    if threads is not None:
        return _async_step(in_threads(call, emit, threads), emit, attended)
    if inspect.iscoroutinefunction(function):
        return _async_step(call, emit, attended)
    if inspect.isgeneratorfunction(function):
        return _generator_step(call, emit, attended)
    return _plain_step(call, emit, attended)


# --- the handler's arguments --------------------------------------------------------------


def compile_call(handler: Handler, supplied: Mapping[str, Any], name: str) -> Callable[[Any], Any]:
    """Make of the handler a function of the record alone.

    The first positional parameter takes the record; others are supplied by name.
    """
    parameters = _parameters(handler)
    kinds = inspect.Parameter
    takes_record = bool(parameters) and parameters[0].kind in (
        kinds.POSITIONAL_ONLY,
        kinds.POSITIONAL_OR_KEYWORD,
        kinds.VAR_POSITIONAL,
    )
    rest = parameters[1:] if takes_record else parameters
    extra: dict[str, Any] = {}
    missing: list[str] = []
    for parameter in rest:
        if parameter.kind is kinds.VAR_KEYWORD:
            taken = parameters[0].name if takes_record else None
            extra = {**{k: v for k, v in supplied.items() if k != taken}, **extra}
        elif parameter.kind is kinds.VAR_POSITIONAL:
            continue
        elif parameter.kind is not kinds.POSITIONAL_ONLY and parameter.name in supplied:
            extra[parameter.name] = supplied[parameter.name]
        elif takes_context(parameter, underlying(handler)):
            extra[parameter.name] = Context()
        elif parameter.default is kinds.empty:
            missing.append(parameter.name)
    if missing:
        names = ", ".join(repr(n) for n in missing)
        raise ConfigError(
            f"Handler {name} has parameters that nobody supplies: {names}. A handler takes the "
            f"record first and others by name from stream({missing[0]}=...); give it a default, "
            "or pass it there."
        )
    if takes_record:
        return partial(handler, **extra) if extra else handler
    return lambda _: handler(**extra)


def _parameters(handler: Handler) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(handler).parameters.values())
    except ValueError:  # some builtins do not say what they take
        return [inspect.Parameter("record", inspect.Parameter.POSITIONAL_ONLY)]


def underlying(handler: Handler) -> Any:
    """The function that tells a handler's kind."""
    while isinstance(handler, partial):
        handler = handler.func
    if inspect.isroutine(handler) or inspect.isclass(handler):
        return handler
    return getattr(handler, "__call__", handler)  # noqa: B004  # the method tells its kind


# --- sinks --------------------------------------------------------------------------------


def check_sinks(sinks: Any, name: str, also: tuple[type, ...] = ()) -> tuple[Sink, ...]:
    """The sinks as a tuple.

    Args:
        also: types that stand for a sink by name.

    Raises:
        ConfigError: not a list, or one of them is nothing that takes a result.
    """
    if callable(sinks) or isinstance(sinks, (str, bytes)) or not isinstance(sinks, Iterable):
        raise ConfigError(
            f"Handler {name}: sink= takes a list of sinks, not {sinks!r}; write sink=[...]."
        )
    found: tuple[Sink, ...] = tuple(sinks)
    for sink in found:
        if not callable(sink) and not isinstance(sink, (ISink, *also)):
            raise ConfigError(
                f"Handler {name}: {sink!r} is no sink, because it can't be called; a sink is a "
                "function, a topic, a cache or an ISink."
            )
    return found


def compile_sink(sink: Sink, name: str) -> Emit:
    """What hands a result to one sink."""
    if isinstance(sink, ICache):
        return partial(_emit_to_cache, sink, name)
    if isinstance(sink, ISink):
        return sink.emitter() if isinstance(sink, RunSink) else emitter_of(sink.send)
    emit: Emit = sink
    return emit


def _emit_to_cache(cache: ICache, name: str, result: Any) -> Any:
    if type(result) is tuple and len(result) == 2:
        answer = cache(result[0], result[1])
    elif type(result) is Out and result.key is not None:
        answer = cache(result.key, result.value)
    else:
        raise _no_pair(cache, name, result)
    return None if answer is DONE else answer


def _no_pair(cache: ICache, name: str, result: Any) -> SinkError:
    return SinkError(
        f"Handler {name} gave {cache!r} a {type(result).__name__}; a cache takes a pair: "
        "return key, value."
    )


def fan_out(emits: Sequence[Emit]) -> Emit:
    """One function that hands a result to every sink in order."""
    if not emits:
        return lambda _: None
    if len(emits) == 1:
        return emits[0]
    following = tuple(enumerate(emits, 1))

    def emit(result: Any) -> Any:
        for place, hand_over in following:
            waiting = hand_over(result)
            if waiting is not None and hasattr(waiting, "__await__"):
                return _emit_rest(waiting, emits[place:], result)
        return None

    return emit


async def _emit_rest(waiting: Awaitable[Any], emits: Sequence[Emit], result: Any) -> None:
    await waiting
    for emit in emits:
        answer = emit(result)
        if answer is not None and hasattr(answer, "__await__"):
            await answer


# --- the loops ----------------------------------------------------------------------------

# Each loop, here and for iterables and workers, looks itself at what a result is: a function for it
# would be one more call for each record.


def is_deferred(kind: type) -> bool:
    """Whether a result of this type stands for results that are still to come."""
    return hasattr(kind, "__await__") or kind in (GeneratorType, AsyncGeneratorType)


def _plain_step(call: Callable[[Any], Any], emit: Emit, attended: bool) -> Step:
    """For functions that return. What they return may still be awaitable or a generator."""

    def batch(
        items: Iterator[Any],
        call: Callable[[Any], Any] = call,  # locals of the loop are read faster than its closure
        emit: Emit = emit,
    ) -> Waiting:
        usual: type | None = None  # of results that go to the sinks as they are
        for item in items:
            result = call(item)
            if result is None:
                continue
            if type(result) is not usual:
                if is_deferred(type(result)):
                    if (waiting := finish(result, emit)) is not None:
                        return waiting
                    continue
                usual = type(result)
            waiting = emit(result)
            if waiting is not None and hasattr(waiting, "__await__"):
                return waiting  # type: ignore[no-any-return]  # it has __await__
        return None

    return Step(call, emit, batch, attended)


def _generator_step(call: Callable[[Any], Any], emit: Emit, attended: bool) -> Step:
    """For generator functions: each result reaches the sinks before the generator resumes."""

    def batch(items: Iterator[Any]) -> Waiting:
        for item in items:
            results = call(item)
            for result in results:
                waiting = emit(result)
                if waiting is not None and hasattr(waiting, "__await__"):
                    return _resume(waiting, results, emit)
        return None

    return Step(call, emit, batch, attended)


def _async_step(call: Callable[[Any], Any], emit: Emit, attended: bool) -> Step:
    """For coroutine functions."""

    async def run(items: Iterator[Any]) -> None:
        usual: type | None = None
        for item in items:
            result = await call(item)
            if result is None:
                continue
            if type(result) is usual:
                waiting = emit(result)
            elif is_deferred(type(result)):
                waiting = finish(result, emit)
            else:
                usual = type(result)
                waiting = emit(result)
            if waiting is not None and (
                type(waiting) is CoroutineType or hasattr(waiting, "__await__")
            ):
                await waiting

    return Step(call, emit, run, attended)


def _whole_step(call: Callable[[Any], Any], emit: Emit, attended: bool, name: str) -> Step:
    """For functions of any kind that take a list of records and give several results."""

    def emit_each(results: Any) -> Waiting:
        kind = type(results)
        if hasattr(kind, "__await__"):
            return emit_awaited(results)
        if kind is AsyncGeneratorType:
            return _drain(results, emit)
        if not isinstance(results, Iterable) or isinstance(results, NO_RESULTS):
            raise TypeError(
                f"Handler {name} with batch=True returned a {kind.__name__}; it returns a list of "
                "results, or None: write [result] for one of them."
            )
        return _hand_over(iter(results), emit)

    async def emit_awaited(results: Awaitable[Any]) -> None:
        waiting = None if (answer := await results) is None else emit_each(answer)
        if waiting is not None:
            await waiting

    def batch(lists: Iterator[Any]) -> Waiting:
        for records in lists:
            results = call(records)
            if results is not None and (waiting := emit_each(results)) is not None:
                return waiting
        return None

    return Step(call, emit_each, batch, attended, whole=True)


def finish(result: Any, emit: Emit) -> Waiting:
    """Take a deferred result as what it is: hand over what it yields, or await it."""
    if type(result) is GeneratorType:
        return _hand_over(result, emit)
    return _await_result(result, emit)


def _hand_over(results: Iterator[Any], emit: Emit) -> Waiting:
    for result in results:
        waiting = emit(result)
        if waiting is not None and hasattr(waiting, "__await__"):
            return _resume(waiting, results, emit)
    return None


async def _resume(waiting: Awaitable[Any], results: Iterator[Any], emit: Emit) -> None:
    await waiting
    for result in results:
        answer = emit(result)
        if answer is not None and hasattr(answer, "__await__"):
            await answer


async def _await_result(result: Any, emit: Emit) -> None:
    if type(result) is AsyncGeneratorType:
        await _drain(result, emit)
        return
    answer = await result
    if answer is None:
        return
    waiting = finish(answer, emit) if is_deferred(type(answer)) else emit(answer)
    if waiting is not None and hasattr(waiting, "__await__"):
        await waiting


async def _drain(results: AsyncIterator[Any], emit: Emit) -> None:
    try:
        async for result in results:
            answer = emit(result)
            if answer is not None and hasattr(answer, "__await__"):
                await answer
    finally:
        close = getattr(results, "aclose", None)
        if close is not None:
            await close()
