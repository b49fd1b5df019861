"""Sinks for one run: who shares one learns of its failure, and lost outputs can be sent again."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from slipcore.engine.letters import Failure, Letterbox, letter_of_output
from slipcore.engine.policies import DeadLetter, Retry, Rule, choose
from slipcore.engine.state import in_hand
from slipcore.engine.trials import Verdict, told
from slipcore.interfaces import ISink, Out, SinkError

logger = logging.getLogger(__name__)


async def flush_all(sinks: Sequence[ISink]) -> None:
    """Flush every sink; the first failure is raised when all have answered."""
    if len(sinks) == 1:
        await sinks[0].flush()
        return
    results = await asyncio.gather(*(s.flush() for s in sinks), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


class EmittingSink(ISink):
    """A sink that takes results without an `Out` for each in between."""

    @abstractmethod
    def emitter(self, run: RunSink) -> Callable[[Any], Awaitable[None] | None]:
        """What takes one result for the sink of a run, as its `send` does."""


def emitter_of(send: Callable[[Out], Any]) -> Callable[[Any], Any]:
    """What hands one result to a sink as an output: a pair is a key and a value."""

    def emit(result: Any) -> Any:
        kind = type(result)
        if kind is tuple and len(result) == 2:
            return send(Out(result[1], result[0]))
        if kind is Out:
            return send(result)
        return send(Out(result))

    return emit


class RunSink(ISink):
    """A sink for one run: once a flush, or the wait for room, has failed, no flush succeeds.

    What failed lets go of what others have handed over too. Were their flush to succeed after
    that, on nothing, what they sent would be lost. What is handed over later is dropped: no flush
    answers for it, and it would arrive before what was lost, which comes again.

    Args:
        sink: what outputs of handlers go to.
        carrier: what is beneath it and takes outputs as they are written; its errors carry such.

    Attributes:
        failure: why nothing succeeds any more.
    """

    def __init__(self, sink: ISink, carrier: ISink | None = None) -> None:
        self.failure: Exception | None = None
        self._sink = sink
        self._carrier = sink if carrier is None else carrier
        self._hand_over = sink.send

    def __repr__(self) -> str:
        return repr(self._sink)

    def send(self, output: Out) -> Awaitable[None] | None:
        waiting = self._hand_over(output)
        return None if waiting is None else self.room(waiting)

    def emitter(self) -> Callable[[Any], Any]:
        """What takes one result of a handler, settled once."""
        sink = self._sink
        return sink.emitter(self) if isinstance(sink, EmittingSink) else emitter_of(self.send)

    def send_written(self, output: Out) -> Awaitable[None] | None:
        """Hand over what needs no codec any more."""
        waiting = None if self.failure is not None else self._carrier.send(output)
        return None if waiting is None else self.room(waiting)

    async def room(self, waiting: Awaitable[None]) -> None:
        """Wait for room, as the sink has asked for."""
        try:
            await waiting
        except Exception as error:
            self._end(error)
            raise

    def _end(self, error: Exception) -> None:
        self.failure = self.failure or error
        self._hand_over = _drop

    async def open(self) -> None:
        await self._sink.open()

    async def close(self) -> None:
        await self._sink.close()

    async def flush(self) -> None:
        if self.failure is None:
            try:
                await self._sink.flush()
            except Exception as error:
                self._end(error)
        if self.failure is not None:
            raise self.failure


def _drop(output: Out) -> None:
    pass


class MendingSink(RunSink):
    """A sink whose lost outputs are sent again, in order, before anything newer is.

    Args:
        rules: for sinking, of all bindings that send to it.
        back_off: waits so many seconds; False where a stop has cut it short.
    """

    def __init__(
        self,
        sink: ISink,
        carrier: ISink | None,
        rules: Sequence[Rule],
        back_off: Callable[[float], Awaitable[bool]],
    ) -> None:
        super().__init__(sink, carrier)
        self._rules = tuple(rules)
        self._back_off = back_off
        self._mending = asyncio.Lock()
        self._failures = 0
        self._era = 0  # grows with each failure: who flushed before it has to ask again
        self._final = False

    def emitter(self) -> Callable[[Any], Any]:
        return emitter_of(self.send)

    def send(self, output: Out) -> Awaitable[None] | None:
        if self.failure is not None:
            return self._later(output, self.send)
        return super().send(output)

    def send_written(self, output: Out) -> Awaitable[None] | None:
        if self.failure is not None:
            return self._later(output, self.send_written)
        return super().send_written(output)

    async def _later(self, output: Out, send: Callable[[Out], Awaitable[None] | None]) -> None:
        await self._mend()
        waiting = send(output)
        if waiting is not None:
            await waiting

    async def room(self, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except Exception:  # the flush says which outputs it is about
            await self.flush()

    async def flush(self) -> None:
        while True:
            era = self._era
            if self.failure is None:
                try:
                    await self._sink.flush()
                    return
                except Exception as error:
                    if era == self._era:
                        self._fail(error)
            await self._mend()

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self._era += 1

    async def _mend(self) -> None:
        """Deal with what was lost until nothing is.

        Raises:
            Exception: no rule takes it.
        """
        async with self._mending:
            while (error := self.failure) is not None:
                self._failures += 1
                outputs = error.outputs if isinstance(error, SinkError) else ()
                rule = choose(self._rules, error, self._failures, final=self._final)
                if rule is None or not outputs:  # without them nobody knows what is lost
                    raise error
                if isinstance(rule, Retry):
                    await self._wait(rule, error, len(outputs))
                    self.failure = await self._send_again(outputs)
                else:
                    await self._dispose(rule, outputs, error)
                    self.failure = None
            self._failures = 0

    async def _wait(self, rule: Retry, error: Exception, count: int) -> None:
        seconds = rule.delay(self._failures)
        logger.warning(
            "%r: %d outputs are sent again in %.3g s (retry %d%s): %s",
            self,
            count,
            seconds,
            self._failures,
            "" if rule.times is None else f" of {rule.times}",
            told(error),
        )
        # With a stop there is one more try at once, so that what is on the way may still arrive.
        self._final = not await self._back_off(seconds)

    async def _send_again(self, outputs: Sequence[Out]) -> Exception | None:
        """Send outputs in order; the error that carries those which are not durable, if any."""
        left = deque(outputs)
        failure: Exception | None = None
        lost: Sequence[Out] = ()
        try:
            while left:
                waiting = self._carrier.send(left[0])
                left.popleft()
                if waiting is not None:
                    await waiting
        except Exception as error:
            failure = error
        try:
            await self._sink.flush()
        except Exception as error:
            if not isinstance(error, SinkError):
                return error
            failure, lost = error, error.outputs
        if failure is None or not (lost or left):
            return None
        again = SinkError(str(failure), (*lost, *left))
        again.__cause__ = failure
        return again

    async def _dispose(self, rule: Rule, outputs: Sequence[Out], error: Exception) -> None:
        what = "dropped"
        if isinstance(rule, DeadLetter):
            box: Letterbox = rule.sink
            for output in outputs:
                await box.put(letter_of_output(output, Failure(error, self._failures, repr(self))))
            await box.flush()
            what = f"sent to {box.name}"
        logger.warning(
            "%r: %d outputs that did not become durable are %s, at try %d: %s",
            self,
            len(outputs),
            what,
            self._failures,
            told(error),
        )


def guarded(emit: Callable[[Any], Any], sink: Any) -> Callable[[Any], Any]:
    """What hands a result to a sink, again where a rule for sinking says so.

    The handler is not run again for it.
    """

    def hand_over(result: Any) -> Any:
        try:
            waiting = emit(result)
        except Exception as error:
            return _again(error, result, emit, sink)
        if waiting is not None and hasattr(waiting, "__await__"):
            return _awaited(waiting, result, emit, sink)
        return None

    return hand_over


async def _awaited(
    waiting: Awaitable[Any], result: Any, emit: Callable[[Any], Any], sink: Any
) -> None:
    try:
        await waiting
    except Exception as error:
        await _again(error, result, emit, sink)


async def _again(error: Exception, result: Any, emit: Callable[[Any], Any], sink: Any) -> None:
    """Try to hand a result over until it is taken, or no rule wants another try."""
    generation = in_hand()
    assert generation is not None
    lane = generation.lane
    trials = generation.trials
    assert trials is not None
    failures = 0
    while True:
        failures += 1
        broken = isinstance(sink, RunSink) and sink.failure is not None
        rules = () if broken else trials.rules.of("sinking")
        # What has no place comes no second time: a stop leaves it one more try, at once.
        rule = choose(rules, error, failures, final=lane.stopping and not lane.since)
        if not isinstance(rule, Retry):
            trials.sinking = error, (0 if broken else failures)
            raise error
        item = generation.records[generation.index()] if generation.index() >= 0 else None
        await lane.wait_in_hand(trials.again(Verdict(rule, "sinking", error, failures), rule, item))
        try:
            waiting = emit(result)
            if waiting is not None and hasattr(waiting, "__await__"):
                await waiting
            return
        except Exception as failed:
            error = failed
