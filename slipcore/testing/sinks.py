"""What every sink must do: take outputs in order, and say what has become of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, ClassVar, TypeAlias

import pytest

from slipcore.interfaces import ISink, Out, SinkError
from slipcore.testing.contract import needs
from slipcore.testing.places import Arrived, MakeSink, Outlet, Pair, SinkOutlet
from slipcore.testing.promises import promise
from slipcore.testing.reader import send
from slipcore.testing.sources import AsyncContract

Outlets: TypeAlias = Callable[[], Outlet]

Failing: TypeAlias = Callable[[ISink], AbstractContextManager[Any]]
"""`failing(sink)`: while it lasts, nothing becomes durable and a flush fails in bounded time."""


class SinkContract(AsyncContract):
    """The contract of `ISink`. A subclass gives the fixtures `make_sink` and `arrived`.

    It may offer: "refuses" (give `refused`) and "faults" (give the fixture `failing`).

    Attributes:
        refused: an output that the sink can't take.
        many: outputs after which a sink that never makes anyone wait has shown it.
    """

    refused: ClassVar[Out | None] = None
    many: ClassVar[int] = 12_000

    @pytest.fixture
    def make_sink(self) -> MakeSink:
        """To be given by the subclass."""
        raise NotImplementedError("a suite of sinks needs the fixture make_sink")

    @pytest.fixture
    def arrived(self) -> Arrived:
        """To be given by the subclass."""
        raise NotImplementedError("a suite of sinks needs the fixture arrived")

    @pytest.fixture
    def failing(self) -> Failing:
        """To be given by the subclass where it offers "faults"."""
        raise NotImplementedError('a suite that offers "faults" needs the fixture failing')

    @pytest.fixture
    def outlet(self, request: pytest.FixtureRequest) -> Outlet:
        """Where the sinks of a test write."""
        return SinkOutlet(request.getfixturevalue("make_sink"), request.getfixturevalue("arrived"))

    def output(self, n: int) -> Out:
        """The n-th output: where a sink takes other keys and values than bytes, override."""
        return Out(b"%d" % n, b"k%d" % (n % 3))

    def outputs(self, start: int, stop: int) -> list[Out]:
        return [self.output(n) for n in range(start, stop)]

    @promise("sink.order")
    def test_outputs_arrive_in_order(self, outlet: Outlet) -> None:
        """Those of one flush, and those of one flush after those of the one before."""

        async def scenario() -> None:
            async with outlet.sink() as sink:
                await send(sink, *self.outputs(0, 50))
                await send(sink, *self.outputs(50, 60))
            assert await outlet.arrived(60) == pairs(self.outputs(0, 60))

        self.run(scenario())

    @promise("sink.what-is-sent-arrives")
    def test_what_is_sent_arrives(self, outlet: Outlet) -> None:
        """Each output once, key and value as they were."""

        async def scenario() -> None:
            async with outlet.sink() as sink:
                await send(sink, *self.outputs(0, 10))
            found = await outlet.arrived(10)
            assert sorted(map(repr, found)) == sorted(map(repr, pairs(self.outputs(0, 10))))

        self.run(scenario())

    @promise("sink.flushed-is-durable")
    def test_what_is_flushed_is_there(self, outlet: Outlet) -> None:
        """While the sink is open, and when it has been closed right after the flush."""

        async def scenario() -> None:
            async with outlet.sink() as sink:
                await send(sink, *self.outputs(0, 3))
                assert len(await outlet.arrived(3)) == 3
                await send(sink, *self.outputs(3, 5))
            assert len(await outlet.arrived(5)) == 5

        self.run(scenario())

    @promise("sink.a-call-is-durable")
    def test_a_call_sends_and_flushes(self, outlet: Outlet) -> None:
        """When it returns, the pair is there."""

        async def scenario() -> None:
            output = self.output(0)
            async with outlet.sink() as sink:
                await sink(output.key, output.value)
                assert await outlet.arrived(1) == pairs([output])

        self.run(scenario())

    @promise("sink.each-flush-answers")
    def test_flushes_side_by_side(self, outlet: Outlet) -> None:
        """Each of several flushes answers for what came before it, and the order stays."""

        async def scenario() -> None:
            async with outlet.sink() as sink:
                flushes = []
                for output in self.outputs(0, 20):
                    waiting = sink.send(output)
                    if waiting is not None:
                        await waiting
                    flushes.append(asyncio.create_task(sink.flush()))
                    await asyncio.sleep(0)
                await flushes[9]
                assert (await outlet.arrived(10))[:10] == pairs(self.outputs(0, 10))
                await asyncio.gather(*flushes)
            assert await outlet.arrived(20) == pairs(self.outputs(0, 20))

        self.run(scenario())

    @promise("sink.cancelled-flush-loses-nothing")
    def test_a_cancelled_flush_loses_nothing(self, outlet: Outlet) -> None:
        """What it was for arrives once, and the next flush answers for it too."""

        async def scenario() -> None:
            async with outlet.sink() as sink:
                for n in range(6):
                    sink.send(self.output(n))
                    flush = asyncio.create_task(sink.flush())
                    for _ in range(n):
                        await asyncio.sleep(0)
                    flush.cancel()
                    await asyncio.gather(flush, return_exceptions=True)
                await sink.flush()
            assert await outlet.arrived(6) == pairs(self.outputs(0, 6))

        self.run(scenario())

    @promise("sink.room-comes")
    def test_room_comes_without_a_flush(self, outlet: Outlet) -> None:
        """Where `send` gives something to wait for, waiting ends, and nothing is lost."""

        async def scenario() -> None:
            async with outlet.sink() as sink:
                sent = 0
                waiting = None
                while waiting is None and sent < self.many:
                    waiting = sink.send(self.output(sent))
                    sent += 1
                if waiting is not None:
                    await waiting
                await sink.flush()
            assert len(await outlet.arrived(sent)) == sent

        self.run(scenario())

    @needs("refuses")
    @promise("sink.what-is-refused-is-not-taken")
    def test_what_is_refused_is_not_taken(self, outlet: Outlet) -> None:
        """The error comes at once, and what is sent next arrives alone."""

        async def scenario() -> None:
            assert self.refused is not None, 'a suite that offers "refuses" needs `refused`'
            async with outlet.sink() as sink:
                with pytest.raises(SinkError):
                    sink.send(self.refused)
                await send(sink, self.output(0))
            assert await outlet.arrived(1) == pairs([self.output(0)])

        self.run(scenario())

    @needs("faults")
    @promise("sink.failed-flush-tells-its-outputs")
    def test_a_failed_flush_tells_its_outputs(self, outlet: Outlet, failing: Failing) -> None:
        """Those that are not durable, in order."""

        async def scenario() -> None:
            async with outlet.sink() as sink:
                await send(sink, self.output(0))
                with failing(sink):
                    with pytest.raises(SinkError) as failed:
                        await send(sink, *self.outputs(1, 4))
                    assert list(failed.value.outputs) == self.outputs(1, 4)

        self.run(scenario())

    @needs("faults")
    @promise("sink.failed-flush-lets-go")
    def test_a_failed_flush_lets_go(self, outlet: Outlet, failing: Failing) -> None:
        """Nothing of it arrives by itself; what is sent again does, once, before what is new."""

        async def scenario() -> None:
            async with outlet.sink() as sink:
                await send(sink, self.output(0))
                with failing(sink), suppress(SinkError):
                    await send(sink, *self.outputs(1, 4))
                await send(sink, self.output(10))
                await send(sink, *self.outputs(1, 4), self.output(4))
            expected = [self.output(n) for n in (0, 10, 1, 2, 3, 4)]
            assert await outlet.arrived(6) == pairs(expected)

        self.run(scenario())

    @promise("sink.close-is-harmless")
    def test_closing_a_sink_is_harmless(self, outlet: Outlet) -> None:
        """It may be closed twice, without having been opened, and with outputs on the way."""

        async def scenario() -> None:
            async with asyncio.timeout(self.patience):
                await outlet.sink().close()
                sink = outlet.sink()
                await sink.open()
                for output in self.outputs(0, 10):
                    sink.send(output)
                await sink.close()
                await sink.close()

        self.run(scenario())


def pairs(outputs: list[Out]) -> list[Pair]:
    """Keys and values, as they are to arrive."""
    return [(output.key, output.value) for output in outputs]
