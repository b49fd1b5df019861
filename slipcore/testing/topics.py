"""What every topic must do: the contract of `ITopic`, as tests."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

import msgspec
import pytest

from slipcore.interfaces import Out, partition_for
from slipcore.testing.contract import needs
from slipcore.testing.groups import SourceContract
from slipcore.testing.places import Outlet, Place, Places, TopicOutlet, TopicPlace
from slipcore.testing.promises import promise
from slipcore.testing.reader import MakeTopic, Reader, send, unique
from slipcore.testing.sinks import SinkContract


class TopicContract(SourceContract, SinkContract):
    """The contract of `ITopic`, that of its source and its sink included.

    A subclass gives the fixture `make_topic`, see `MakeTopic`. What it may offer is what sources
    and sinks may; a topic offers all but "ends" and "faults" unless it says otherwise.
    """

    offers: ClassVar[frozenset[str]] = frozenset(
        {"commit", "partitions", "pause", "refuses", "seek", "waits"}
    )
    refused: ClassVar[Out | None] = Out(b"refused", partition=7)

    @pytest.fixture
    def make_topic(self) -> MakeTopic:
        """To be given by the subclass."""
        raise NotImplementedError("a suite of topics needs the fixture make_topic")

    @pytest.fixture
    def places(self, make_topic: MakeTopic) -> Places:
        """Where the tests put what is to be read."""

        def place(partitions: int) -> Place:
            return TopicPlace(make_topic, partitions, self.patience, self.value_of)

        return place

    @pytest.fixture
    def outlet(self, make_topic: MakeTopic) -> Outlet:
        """Where the sinks of a test write."""
        return TopicOutlet(make_topic, self.patience)

    @pytest.fixture
    def name(self) -> str:
        """The name of a topic that is not there yet."""
        return unique("topic")

    @pytest.fixture
    def group(self) -> str:
        """The name of a consumer group that has read nothing yet."""
        return unique("group")

    def reader(self, make_topic: MakeTopic, name: str, group: str, partitions: int = 1) -> Reader:
        """A reader with the patience of this suite."""
        return Reader(make_topic(name, group, partitions), patience=self.patience)

    @promise("topic.headers")
    def test_headers_arrive(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """In order, those of one name too, whatever their bytes."""

        async def scenario() -> None:
            headers = (("a", b"1"), ("a", b"\xff\0"), ("é", b""))
            async with self.reader(make_topic, name, group) as reader:
                await send(reader.topic, Out(b"v", b"k", headers), Out(b"v", b"k"))
                assert [r.headers for r in await reader.read(2)] == [headers, ()]

        self.run(scenario())

    @promise("topic.timestamp")
    def test_a_timestamp_arrives(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """That which was given, else that of now, in milliseconds."""

        async def scenario() -> None:
            async with self.reader(make_topic, name, group) as reader:
                await send(reader.topic, Out(b"v", timestamp=1_700_000_000_123), Out(b"v"))
                given, now = [r.timestamp for r in await reader.read(2)]
                assert given == 1_700_000_000_123
                assert abs(now - time.time() * 1000) < self.patience * 1000

        self.run(scenario())

    @promise("topic.empty-is-not-none")
    def test_empty_is_not_none(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """Empty keys and values stay apart from those that are not there."""

        async def scenario() -> None:
            pairs = [(b"k", None), (b"k", b""), (b"", b"v"), (None, b"v"), (b"", None), (None, b"")]
            async with self.reader(make_topic, name, group) as reader:
                await send(reader.topic, *(Out(value, key) for key, value in pairs))
                records = await reader.read(len(pairs))
                assert [(r.key, r.value) for r in records] == pairs

        self.run(scenario())

    @promise("topic.partition")
    def test_an_output_goes_where_it_says(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """To the partition it names, of the topic it was sent to."""

        async def scenario() -> None:
            async with self.reader(make_topic, name, group, 2) as reader:
                await send(reader.topic, *(Out(b"%d" % p, b"k", partition=p) for p in (1, 0)))
                records = await reader.read(2)
                assert {(r.value, r.topic, r.partition) for r in records} == {
                    (b"0", name, 0),
                    (b"1", name, 1),
                }

        self.run(scenario())

    @promise("topic.partition")
    def test_keys_go_to_kafkas_partitions(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A key's partition is the one that `partition_for` names."""

        async def scenario() -> None:
            keys = [b"%d" % n for n in range(30)]
            async with self.reader(make_topic, name, group, 3) as reader:
                await send(reader.topic, *(Out(b"v", key) for key in keys))
                records = await reader.read(len(keys))
                assert {r.key: r.partition for r in records} == {
                    key: partition_for(key, 3) for key in keys
                }

        self.run(scenario())

    @promise("topic.parts")
    def test_what_is_sent_in_parts_is_what_is_sent(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """Key, value, headers, timestamp and partition, in one order with what is sent whole."""
        outputs = [
            Out(b"%d" % n, b"k", (("h", b"%d" % n),), 1_600_000_000_000 + n, 1) for n in range(4)
        ]

        async def scenario() -> None:
            async with self.reader(make_topic, name, group, 2) as reader:
                for output in outputs:
                    await send(reader.topic, output)
                    waiting = reader.topic.send_parts(*msgspec.structs.astuple(output))
                    if waiting is not None:
                        await waiting
                await reader.topic.flush()
                records = await reader.read(2 * len(outputs))
                whole, parts = (
                    [
                        (r.value, r.key, r.headers, r.timestamp == o.timestamp, r.partition)
                        for r, o in zip(records[one::2], outputs, strict=True)
                    ]
                    for one in (0, 1)
                )
                assert parts == whole

        self.run(scenario())

    @promise("topic.topics-are-apart")
    def test_topics_are_apart(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """A topic has nothing of another one, and a group's place in one is not that in another."""

        async def scenario() -> None:
            async with (
                self.reader(make_topic, name, group) as one,
                self.reader(make_topic, name + "-other", group) as other,
            ):
                await send(one.topic, Out(b"one"))
                await send(other.topic, Out(b"other"))
                assert await one.values(1) == [b"one"]
                assert await other.values(1) == [b"other"]
                assert await one.silent(self.silence)

        self.run(scenario())

    @promise("topic.reset")
    def test_a_group_may_start_with_the_latest(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """With `auto_offset_reset="latest"` a group reads what arrives after it has joined."""

        async def scenario() -> None:
            async with make_topic(name, group, 1) as sender:
                await send(sender, Out(b"old"))
                topic = make_topic(name, group, 1, auto_offset_reset="latest")
                async with Reader(topic, patience=self.patience) as reader:
                    await reader.joined()
                    await send(sender, Out(b"new"))
                    assert await reader.values(1) == [b"new"]

        self.run(scenario())

    @needs("commit")
    @promise("topic.reset", "topic.latest-is-kept")
    def test_what_came_after_the_latest_comes_again(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """What a group that began with the latest has not finished is there for its next member."""

        async def scenario() -> None:
            async with make_topic(name, group, 1) as sender:
                await send(sender, Out(b"old"))
                for number in range(2):
                    topic = make_topic(name, group, 1, auto_offset_reset="latest")
                    async with Reader(topic, patience=self.patience) as reader:
                        await reader.joined()
                        if number == 0:
                            await send(sender, Out(b"new"))
                        assert await reader.values(1) == [b"new"]

        self.run(scenario())

    @promise("source.assignment-joins")
    def test_who_only_sends_joins_no_group(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A topic that is only sent to takes no partition from those who read."""

        async def scenario() -> None:
            async with make_topic(name, group, 2) as sender:
                await send(sender, Out(b"first", partition=0))
                async with self.reader(make_topic, name, group, 2) as reader:
                    await reader.holds({0, 1})
                    await send(sender, Out(b"second", partition=1))
                    assert sorted(await reader.values(2)) == [b"first", b"second"]
                    await asyncio.sleep(self.silence)
                    assert reader.held == {0, 1}

        self.run(scenario())
