"""Topics that are wrong in one thing each that a sink promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from slipcore.interfaces import Out, SinkError
from tests.kit.wrong.marks import breaks
from tests.kit.wrong.right import RightTopic


@breaks("sink.order")
class SendsTheLastFirst(RightTopic):
    """Of more than thirty outputs with keys that wait for a flush, the last goes out first."""

    async def flush(self) -> None:
        if len(self._pending) > 30 and self._pending[-1].key is not None:
            self._pending.insert(0, self._pending.pop())
        await super().flush()


@breaks("sink.what-is-sent-arrives")
class SendsTwice(RightTopic):
    """The first of ten outputs with keys that begin a topic goes out twice."""

    async def flush(self) -> None:
        begins = not any(self._opened().partitions)
        if begins and len(self._pending) == 10 and self._pending[0].key is not None:
            self._pending.insert(0, self._pending[0])
        await super().flush()


@breaks("sink.room-comes")
class MakesRoomByFlushOnly(RightTopic):
    """Where too much is on the way, only a flush makes room."""

    def send(self, output: Out) -> Awaitable[None] | None:
        if super().send(output) is None:
            return None
        return asyncio.get_running_loop().create_future()


@breaks("sink.what-is-refused-is-not-taken")
class TakesWhatItRefuses(RightTopic):
    """An output for a partition that is not there is refused, and goes to another one."""

    def send(self, output: Out) -> Awaitable[None] | None:
        try:
            return super().send(output)
        except SinkError:
            if isinstance(output.value, bytes):
                super().send(Out(output.value, output.key, partition=0))
            raise


@breaks("sink.flushed-is-durable")
class FlushesLater(RightTopic):
    """A flush of two outputs returns before they are durable, and closing drops them."""

    async def flush(self) -> None:
        if len(self._pending) == 2:
            asyncio.get_running_loop().call_later(0.01, self._flush_now)
        else:
            await super().flush()

    def _flush_now(self) -> None:
        outputs, self._pending = self._pending, []
        if self._log is not None:
            self._log.append(outputs)


@breaks("sink.each-flush-answers")
class AnswersForTheFirstFlush(RightTopic):
    """A flush beside another one returns at once, and what it was for waits for the next."""

    _flushing = False

    async def flush(self) -> None:
        if self._flushing:
            return
        self._flushing = True
        outputs = self._pending
        later: list[Out] = []
        self._pending = later
        try:
            await asyncio.sleep(0.001)
            self._pending, later = outputs, self._pending
            outputs = []
            await super().flush()
        finally:
            self._pending = outputs + later
            self._flushing = False


@breaks("sink.cancelled-flush-loses-nothing")
class LosesWhatItFlushes(RightTopic):
    """What is on its way when a flush is cancelled is gone."""

    async def flush(self) -> None:
        outputs, self._pending = self._pending, []
        await asyncio.sleep(0)
        self._pending = outputs + self._pending
        await super().flush()


@breaks("sink.close-is-harmless")
class ClosesWhenEmptyOnly(RightTopic):
    """It can't be closed with outputs on the way."""

    async def close(self) -> None:
        if self._pending:
            raise SinkError("there are outputs to be flushed", tuple(self._pending))
        await super().close()


@breaks("sink.a-call-is-durable")
class CallsWithoutFlush(RightTopic):
    """A call returns when the pair is handed over."""

    async def __call__(self, key: Any, value: Any) -> None:
        self.send(Out(value, key))


@breaks("sink.failed-flush-tells-its-outputs")
class SwallowsAFailedFlush(RightTopic):
    """A flush that failed is as good as one that did not."""

    async def flush(self) -> None:
        with suppress(SinkError):
            await super().flush()


@breaks("sink.failed-flush-tells-its-outputs")
class TellsTheFirstOutput(RightTopic):
    """A failed flush names the first of the outputs that are not durable."""

    async def flush(self) -> None:
        try:
            await super().flush()
        except SinkError as error:
            raise SinkError(str(error), error.outputs[:1]) from error


@breaks("sink.failed-flush-lets-go")
class KeepsWhatFailed(RightTopic):
    """What a flush could not make durable goes out with the next one by itself."""

    async def flush(self) -> None:
        try:
            await super().flush()
        except SinkError as error:
            self._pending = list(error.outputs)
            raise
