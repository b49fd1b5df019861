"""What every topic must do: the contract of `ITopic`, as tests."""

from __future__ import annotations

import asyncio
import time

import pytest

from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    Out,
    SinkError,
    SourceError,
    partition_for,
)
from slipcore.testing.groups import GroupContract
from slipcore.testing.reader import MakeTopic, TopicSuite, numbered, send


class RecordContract(TopicSuite):
    """What is sent is read: whole, in order, once."""

    def test_records_of_a_partition_come_in_order(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A partition gives its records as they were sent, with offsets that grow."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 2)) as reader:
                await send(reader.topic, *numbered(0, 100, partition=1))
                records = await reader.read(100, max_records=7)
                assert [r.value for r in records] == [b"%d" % n for n in range(100)]
                assert {r.partition for r in records} == {1}
                offsets = [r.offset for r in records]
                assert offsets == sorted(set(offsets))

        self.run(scenario())

    def test_a_record_arrives_whole(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """Key, value, headers, timestamp, topic and partition arrive as they were sent."""

        async def scenario() -> None:
            headers = (("a", b"1"), ("a", b"\xff\0"), ("é", b""))
            async with self.reader(make_topic(name, group, 2)) as reader:
                await send(
                    reader.topic, Out(b"v\0", b"k\xff", headers, 1_700_000_000_123, partition=1)
                )
                (record,) = await reader.read(1)
                assert (record.value, record.key) == (b"v\0", b"k\xff")
                assert record.headers == headers
                assert record.timestamp == 1_700_000_000_123
                assert (record.topic, record.partition) == (name, 1)

        self.run(scenario())

    def test_a_record_has_the_time_of_its_writing(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """Without a timestamp the record has that of now, in milliseconds."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                await reader.topic(None, b"v")
                (record,) = await reader.read(1)
                assert abs(record.timestamp - time.time() * 1000) < self.patience * 1000

        self.run(scenario())

    def test_empty_is_not_none(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """Empty keys and values stay apart from those that are not there."""

        async def scenario() -> None:
            pairs = [(b"k", None), (b"k", b""), (b"", b"v"), (None, b"v"), (b"", None), (None, b"")]
            async with self.reader(make_topic(name, group, 1)) as reader:
                await send(reader.topic, *(Out(value, key) for key, value in pairs))
                records = await reader.read(len(pairs))
                assert [(r.key, r.value) for r in records] == pairs

        self.run(scenario())

    def test_keys_go_to_kafkas_partitions(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A key's partition is the one that `partition_for` names."""

        async def scenario() -> None:
            keys = [b"%d" % n for n in range(30)]
            async with self.reader(make_topic(name, group, 3)) as reader:
                await send(reader.topic, *(Out(b"v", key) for key in keys))
                records = await reader.read(len(keys))
                assert {r.key: r.partition for r in records} == {
                    key: partition_for(key, 3) for key in keys
                }

        self.run(scenario())

    def test_a_partition_that_is_not_there(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """An output for a partition that the topic lacks is refused, and nothing is sent."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 2)) as reader:
                for partition in (2, -1):
                    with pytest.raises(SinkError):
                        await send(reader.topic, Out(b"refused", partition=partition))
                await send(reader.topic, Out(b"taken", partition=1))
                assert await reader.values(1) == [b"taken"]

        self.run(scenario())

    def test_flushes_side_by_side(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """Each of several flushes answers for what came before it, and the order stays."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                flushes = []
                for n in range(20):
                    waiting = reader.topic.send(Out(b"%d" % n))
                    if waiting is not None:
                        await waiting
                    flushes.append(asyncio.create_task(reader.topic.flush()))
                    await asyncio.sleep(0)
                await asyncio.gather(*flushes)
                assert await reader.values(20) == [b"%d" % n for n in range(20)]

        self.run(scenario())

    def test_what_is_flushed_outlives_its_sender(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """What was flushed is there when the object that sent it has been closed."""

        async def scenario() -> None:
            async with make_topic(name, group, 1) as sender:
                await send(sender, *numbered(0, 3))
            async with self.reader(make_topic(name, group, 1)) as reader:
                assert await reader.values(3) == [b"0", b"1", b"2"]

        self.run(scenario())

    def test_topics_are_apart(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A topic has nothing of another one, and a group's place in one is not that in another."""

        async def scenario() -> None:
            async with (
                self.reader(make_topic(name, group, 1)) as one,
                self.reader(make_topic(name + "-other", group, 1)) as other,
            ):
                await send(one.topic, Out(b"one"))
                await send(other.topic, Out(b"other"))
                assert await one.values(1) == [b"one"]
                assert await other.values(1) == [b"other"]
                assert await one.silent(self.silence)

        self.run(scenario())

    def test_closing_is_harmless(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A topic may be closed twice, and without having been opened."""

        async def scenario() -> None:
            topic = make_topic(name, group, 1)
            await topic.open()
            await topic.close()
            await topic.close()
            await make_topic(name, group, 1).close()

        self.run(scenario())


class ReadContract(TopicSuite):
    """Reading can be stopped, moved and cancelled; nothing gets lost."""

    def test_a_read_is_bounded(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A read gives no more than it was asked for, and the rest with the next ones."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 2)) as reader:
                await send(reader.topic, *numbered(0, 10, 0), *numbered(10, 20, 1))
                values: list[bytes] = []
                while len(values) < 20:
                    records = await reader.topic.read(3)
                    assert 1 <= len(records) <= 3
                    values += [r.value for r in records]
                assert sorted(values) == sorted(b"%d" % n for n in range(20))

        self.run(scenario())

    def test_no_partition_starves(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A partition with much to read does not keep another one waiting to its end."""

        async def scenario() -> None:
            async with make_topic(name, group, 2) as sender:
                await send(sender, *numbered(0, 2_000, 0), Out(b"other", partition=1))
            async with self.reader(make_topic(name, group, 2)) as reader:
                partitions = [r.partition for r in await reader.read(2_001, max_records=10)]
                assert partitions.index(1) < 1_500

        self.run(scenario())

    def test_a_cancelled_read_loses_nothing(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """What a cancelled read would have given comes with the next one, once."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                values = []
                for n in range(20):
                    reading = asyncio.create_task(reader.topic.read(100))
                    for _ in range(n % 4):
                        await asyncio.sleep(0)
                    await send(reader.topic, Out(b"%d" % n))
                    for _ in range(n % 5):
                        await asyncio.sleep(0)
                    reading.cancel()
                    (outcome,) = await asyncio.gather(reading, return_exceptions=True)
                    if not isinstance(outcome, BaseException):
                        values += [r.value for r in outcome]
                values += await reader.values(20 - len(values))
                assert values == [b"%d" % n for n in range(20)]

        self.run(scenario())

    def test_pause_loses_nothing(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A paused partition gives nothing, the others go on, and all comes after `resume`."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 2)) as reader:
                await reader.holds({0, 1})
                await send(reader.topic, *numbered(0, 4, 0))
                assert await reader.values(2) == [b"0", b"1"]
                await reader.topic.pause(frozenset({0}))
                await send(reader.topic, *numbered(10, 12, 1))
                assert await reader.values(2) == [b"10", b"11"]
                assert await reader.silent(self.silence)
                await reader.topic.resume(frozenset({0}))
                assert await reader.values(2) == [b"2", b"3"]

        self.run(scenario())

    def test_pause_acts_on_a_read_that_waits(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A read that was waiting when its partition was paused gives nothing of it."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                await reader.joined()
                reading = asyncio.create_task(reader.topic.read(10))
                await asyncio.sleep(0.01)
                await reader.topic.pause(frozenset({0}))
                await reader.topic(None, b"v")
                await asyncio.wait({reading}, timeout=self.silence)
                assert not reading.done()
                await reader.topic.resume(frozenset({0}))
                assert [r.value for r in await reading] == [b"v"]

        self.run(scenario())

    def test_a_waiting_read_wakes(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A read that waits gives what another object flushes, and what a seek brings back."""

        async def scenario() -> None:
            async with (
                self.reader(make_topic(name, group, 1)) as reader,
                make_topic(name, group, 1) as sender,
            ):
                await reader.joined()
                for act in (sender(None, b"v"), reader.topic.seek({0: READ_FROM_START})):
                    reading = asyncio.create_task(reader.read(1))
                    await asyncio.sleep(0.05)
                    await act
                    assert [r.value for r in await reading] == [b"v"]

        self.run(scenario())

    def test_seek(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """Reading goes on at the offset that was sought, back or forth."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                await send(reader.topic, *numbered(0, 6))
                records = await reader.read(3)
                await reader.topic.seek({0: records[1].offset})
                assert await reader.values(5) == [b"1", b"2", b"3", b"4", b"5"]
                await reader.topic.seek({0: READ_FROM_START})
                assert await reader.values(2) == [b"0", b"1"]
                await reader.topic.seek({0: READ_FROM_END})
                await send(reader.topic, Out(b"new"))
                assert await reader.values(1) == [b"new"]

        self.run(scenario())

    def test_seek_returns_a_position(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """What `seek` returns, committed, lets the next member start where it sought."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                await send(reader.topic, *numbered(0, 4))
                records = await reader.read(4)
                position = await reader.topic.seek({0: records[2].offset})
                assert records[1].offset <= position[0] < records[2].offset
                await reader.topic.commit(position, reader.epoch)
            async with self.reader(make_topic(name, group, 1)) as reader:
                assert await reader.values(2) == [b"2", b"3"]
                start = await reader.topic.seek({0: READ_FROM_START})
                await reader.topic.commit(start, reader.epoch)
            async with self.reader(make_topic(name, group, 1)) as reader:
                assert await reader.values(1) == [b"0"]
                end = await reader.topic.seek({0: READ_FROM_END})
                assert end == {0: records[3].offset}

        self.run(scenario())

    def test_seek_where_nothing_is(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A partition of someone else can't be sought, and no offset outside what there is."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                await send(reader.topic, *numbered(0, 2))
                await reader.read(2)
                with pytest.raises(SourceError):
                    await reader.topic.seek({7: 0})
                with pytest.raises(SourceError):
                    await reader.topic.seek({0: 1_000_000})
                    await reader.read(1)

        self.run(scenario())

    def test_a_start_where_nothing_is(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A position beyond the end is an error, never a jump to some other place."""

        async def scenario() -> None:
            topic = make_topic(name, group, 1)
            async with self.reader(topic, positions={0: 1_000_000}) as reader:
                await send(reader.topic, *numbered(0, 2))
                await reader.joined()
                with pytest.raises(SourceError):
                    await reader.read(1)

        self.run(scenario())

    def test_lag(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """The lag is what is still to be read, where it is known."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 2)) as reader:
                await reader.holds({0, 1})
                await send(reader.topic, *numbered(0, 5))
                await reader.read(2)
                assert await reader.topic.lag() in ({0: 3, 1: 0}, {})
                await reader.read(3)
                assert await reader.topic.lag() in ({0: 0, 1: 0}, {})

        self.run(scenario())


class TopicContract(RecordContract, ReadContract, GroupContract):
    """All that a topic must do. A subclass gives the fixture `make_topic`."""
