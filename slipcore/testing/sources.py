"""What every source must do: be read, paused and moved without losing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    Record,
    SourceError,
)
from slipcore.testing.contract import Contract, needs
from slipcore.testing.places import MakeSource, Place, Places, SourcePlace
from slipcore.testing.promises import promise
from slipcore.testing.reader import numbered

T = TypeVar("T")


class AsyncContract(Contract):
    """A suite whose tests run in an event loop."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a test's coroutine; one that hangs fails."""

        async def limited() -> T:
            async with asyncio.timeout(self.patience * 3):
                return await coroutine

        return asyncio.run(limited())


class ReadingContract(AsyncContract):
    """What a source does, whatever it reads.

    Attributes:
        beyond: an offset that no record has, far behind the last one.
    """

    beyond: ClassVar[int] = 1_000_000

    @pytest.fixture
    def make_source(self) -> MakeSource:
        """To be given by the subclass."""
        raise NotImplementedError("a suite of sources needs the fixture make_source")

    @pytest.fixture
    def places(self, make_source: MakeSource) -> Places:
        """Where the tests put what is to be read."""

        def place(partitions: int) -> Place:
            return SourcePlace(make_source, partitions, self.offers, self.patience, self.value_of)

        return place

    def value_of(self, record: Record) -> Any:
        """What the value of an `Out` comes back as: where a source makes more of it, override."""
        return record.value

    @promise("source.capabilities-are-true")
    def test_capabilities_are_what_is_offered(self, places: Places) -> None:
        """COMMIT, SEEK and PARTITIONS are said where the suite is told of them, and only there."""

        async def scenario() -> None:
            said = {capability.value for capability in places(1).source().capabilities}
            tested = {"commit", "seek", "partitions"}
            assert said & tested == self.offers & tested

        self.run(scenario())

    @promise("source.order")
    def test_records_of_a_partition_come_in_order(self, places: Places) -> None:
        """Each once, however they are read, with offsets that grow."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 100))
                async with place.reader() as reader:
                    records = await reader.read(100, max_records=7)
            assert [self.value_of(r) for r in records] == [b"%d" % n for n in range(100)]
            offsets = [r.offset for r in records]
            assert offsets == sorted(set(offsets))

        self.run(scenario())

    @promise("source.starts-with-the-oldest")
    def test_a_start_is_with_the_oldest(self, places: Places) -> None:
        """What was there before a source was opened is read first."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 3))
                async with place.reader() as reader:
                    assert (await reader.values(1)) == [b"0"]

        self.run(scenario())

    @promise("source.read-is-bounded")
    def test_a_read_is_bounded(self, places: Places) -> None:
        """A read gives no more than it was asked for, and the rest with the next ones."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 20))
                async with place.reader() as reader:
                    values: list[bytes] = []
                    while len(values) < 20:
                        records = await reader.source.read(3)
                        assert 1 <= len(records) <= 3
                        values += [self.value_of(r) for r in records]
            assert values == [b"%d" % n for n in range(20)]

        self.run(scenario())

    @promise("source.cancelled-read-loses-nothing")
    def test_a_cancelled_read_loses_nothing(self, places: Places) -> None:
        """What a cancelled read would have given comes with the next one, once."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 20))
                async with place.reader() as reader:
                    values: list[bytes] = []
                    for n in range(20):
                        values += await self._cancelled(reader.source.read(1), after=n % 5)
                    values += await reader.values(20 - len(values))
            assert values == [b"%d" % n for n in range(20)]

        self.run(scenario())

    @needs("waits")
    @promise("source.cancelled-read-loses-nothing")
    def test_a_read_that_is_cancelled_while_it_waits(self, places: Places) -> None:
        """Neither the record that wakes it nor the next one is lost."""

        async def scenario() -> None:
            async with places(1) as place, place.reader() as reader:
                values: list[bytes] = []
                for n in range(20):
                    reading = asyncio.ensure_future(reader.source.read(100))
                    for _ in range(n % 4):
                        await asyncio.sleep(0)
                    await place.put(*numbered(n, n + 1))
                    values += await self._cancelled(reading, after=n % 5)
                values += await reader.values(20 - len(values))
            assert values == [b"%d" % n for n in range(20)]

        self.run(scenario())

    async def _cancelled(self, reading: Awaitable[Sequence[Record]], after: int) -> list[Any]:
        """Cancel a read after some turns of the loop; what it gave all the same."""
        task = asyncio.ensure_future(reading)
        for _ in range(after):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return [] if task.cancelled() else [self.value_of(record) for record in task.result()]

    @needs("ends")
    @promise("source.empty-is-the-end")
    def test_an_empty_sequence_is_the_end(self, places: Places) -> None:
        """It comes when all was read, and each time from then on."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 3))
                async with place.reader() as reader:
                    await reader.read(3)
                    assert [len(await reader.source.read(10)) for _ in range(2)] == [0, 0]

        self.run(scenario())

    @needs("waits")
    @promise("source.empty-is-the-end")
    def test_a_source_that_waits_has_not_ended(self, places: Places) -> None:
        """Where there is nothing to read, a read waits instead of saying so."""

        async def scenario() -> None:
            async with places(1) as place, place.reader() as reader:
                await place.put(*numbered(0, 1))
                await reader.read(1)
                assert await reader.silent(self.silence)

        self.run(scenario())

    @needs("waits")
    @promise("source.waiting-read-wakes")
    def test_a_waiting_read_wakes(self, places: Places) -> None:
        """A read that waits gives what arrives meanwhile."""

        async def scenario() -> None:
            async with places(1) as place, place.reader() as reader:
                await reader.joined()
                reading = asyncio.create_task(reader.values(1))
                await asyncio.sleep(0.05)
                await place.put(*numbered(0, 1))
                assert await reading == [b"0"]

        self.run(scenario())

    @promise("source.lag-counts")
    def test_lag(self, places: Places) -> None:
        """The lag is what is still to be read, where it is known."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 5))
                async with place.reader() as reader:
                    await reader.holds({0})
                    await reader.read(2)
                    assert await reader.source.lag() in ({0: 3}, {})
                    await reader.read(3)
                    assert await reader.source.lag() in ({0: 0}, {})

        self.run(scenario())

    @promise("source.close-is-harmless")
    def test_closing_is_harmless(self, places: Places) -> None:
        """A source may be closed twice, without having been opened, and while it is read."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.source().close()
                await place.put(*numbered(0, 1))
                source = place.source()
                async with asyncio.timeout(self.patience):
                    await source.open()
                    await source.accept(await source.assignment(), {})
                    await source.read(10)
                    reading = asyncio.ensure_future(source.read(10))
                    await asyncio.sleep(0.01)
                    await source.close()
                    await source.close()
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

        self.run(scenario())

    # --- paused and moved -------------------------------------------------------------------

    @needs("pause", "partitions")
    @promise("source.pause-loses-nothing", "source.pause-holds", "source.resume-goes-on")
    def test_pause_loses_nothing(self, places: Places) -> None:
        """A paused partition gives nothing, the others go on, and all comes after `resume`."""

        async def scenario() -> None:
            async with places(2) as place, place.reader() as reader:
                await reader.holds({0, 1})
                await place.put(*numbered(0, 4, 0))
                assert await reader.values(2) == [b"0", b"1"]
                await reader.source.pause(frozenset({0}))
                await place.put(*numbered(10, 12, 1))
                assert await reader.values(2) == [b"10", b"11"]
                assert await reader.silent(self.silence)
                await reader.source.resume(frozenset({0}))
                assert await reader.values(2) == [b"2", b"3"]

        self.run(scenario())

    @needs("pause", "waits")
    @promise("source.pause-holds", "source.resume-goes-on")
    def test_pause_acts_on_a_read_that_waits(self, places: Places) -> None:
        """A read that was waiting when its partition was paused gives nothing of it."""

        async def scenario() -> None:
            async with places(1) as place, place.reader() as reader:
                await reader.joined()
                reading = asyncio.ensure_future(reader.source.read(10))
                await asyncio.sleep(0.01)
                await reader.source.pause(frozenset({0}))
                await place.put(*numbered(0, 1))
                await asyncio.wait({reading}, timeout=self.silence)
                assert not reading.done()
                await reader.source.resume(frozenset({0}))
                async with asyncio.timeout(self.patience):
                    assert [self.value_of(r) for r in await reading] == [b"0"]

        self.run(scenario())

    @needs("seek")
    @promise("source.seek-moves")
    def test_seek(self, places: Places) -> None:
        """Reading goes on at the offset that was sought, back or forth."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 6))
                async with place.reader() as reader:
                    records = await reader.read(6)
                    await reader.source.seek({0: records[1].offset})
                    assert await reader.values(2) == [b"1", b"2"]
                    await reader.source.seek({0: records[4].offset})
                    assert await reader.values(2) == [b"4", b"5"]

        self.run(scenario())

    @needs("seek", "waits")
    @promise("source.seek-moves")
    def test_a_seek_wakes_a_read_that_waits(self, places: Places) -> None:
        """It gives what the seek brings back."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 1))
                async with place.reader() as reader:
                    (record,) = await reader.read(1)
                    reading = asyncio.create_task(reader.values(1))
                    await asyncio.sleep(0.05)
                    await reader.source.seek({0: record.offset})
                    assert await reading == [b"0"]

        self.run(scenario())

    @needs("seek")
    @promise("source.seek-to-the-ends")
    def test_seek_to_the_start(self, places: Places) -> None:
        """`READ_FROM_START` is the oldest record."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 3))
                async with place.reader() as reader:
                    await reader.read(3)
                    await reader.source.seek({0: READ_FROM_START})
                    assert await reader.values(2) == [b"0", b"1"]

        self.run(scenario())

    @needs("seek", "waits")
    @promise("source.seek-to-the-ends")
    def test_seek_to_the_end(self, places: Places) -> None:
        """`READ_FROM_END` is what arrives from now on."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 3))
                async with place.reader() as reader:
                    await reader.read(1)
                    await reader.source.seek({0: READ_FROM_END})
                    await place.put(*numbered(10, 11))
                    assert await reader.values(1) == [b"10"]

        self.run(scenario())

    @needs("seek")
    @promise("source.seek-tells-the-position", "source.given-position-wins")
    def test_seek_returns_a_position(self, places: Places) -> None:
        """What `seek` returns lets the next one start where this one sought."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 4))
                async with place.reader() as reader:
                    records = await reader.read(4)
                    position = await reader.source.seek({0: records[2].offset})
                    assert records[1].offset <= position[0] < records[2].offset
                    start = await reader.source.seek({0: READ_FROM_START})
                    end = await reader.source.seek({0: READ_FROM_END})
                    assert end == {0: records[3].offset}
                async with place.reader(positions=position) as reader:
                    assert await reader.values(2) == [b"2", b"3"]
                async with place.reader(positions=start) as reader:
                    assert await reader.values(1) == [b"0"]

        self.run(scenario())

    @promise("source.seek-is-refused")
    def test_seek_is_refused(self, places: Places) -> None:
        """In a partition of someone else, and everywhere where it is not offered."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 2))
                async with place.reader() as reader:
                    await reader.read(2)
                    with pytest.raises(SourceError):
                        await reader.source.seek({7 if "seek" in self.offers else 0: 0})

        self.run(scenario())

    @needs("seek")
    @promise("source.out-of-range-is-an-error")
    def test_a_seek_beyond_the_end(self, places: Places) -> None:
        """It is an error, at once or when it is read."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 2))
                async with place.reader() as reader:
                    await reader.read(2)
                    with pytest.raises(SourceError):
                        await reader.source.seek({0: self.beyond})
                        await reader.read(1)

        self.run(scenario())

    @needs("seek")
    @promise("source.out-of-range-is-an-error")
    def test_a_start_beyond_the_end(self, places: Places) -> None:
        """A position where nothing is is an error, never a jump to some other place."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 2))
                async with place.reader(positions={0: self.beyond}) as reader:
                    await reader.joined()
                    with pytest.raises(SourceError):
                        await reader.read(1)

        self.run(scenario())
