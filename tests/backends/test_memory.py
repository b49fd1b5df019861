"""What topics and state in memory do beyond the contract of every backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from slipcore.backends.memory import (
    MemoryTopic,
    MemoryTopicOptions,
    open_state_store,
)
from slipcore.backends.memory.state import MemoryStateOptions
from slipcore.interfaces import (
    ConfigError,
    ConnectError,
    Out,
    Record,
    SinkError,
    SourceError,
    StateError,
    StateInUseError,
    partition_for,
)
from slipcore.testing import LocalScope, Reader
from slipcore.testing.reader import numbered, send

Make = Callable[..., MemoryTopic]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes topics that share an app."""
    scope = LocalScope("app", tmp_path)

    def make(name: str = "orders", **settings: Any) -> MemoryTopic:
        return MemoryTopic(name, MemoryTopicOptions(**settings), scope)

    return make


def test_a_topic_has_one_partition_unless_more_are_asked_for(make: Make) -> None:
    """Partitions count at creation; later they may be left out, and a difference is an error."""

    async def scenario() -> None:
        async with Reader(make("single")) as reader:
            await reader.joined()
            assert reader.assignments[0].total == 1
        await make(partitions=3).open()
        async with Reader(make()) as reader:
            await reader.holds({0, 1, 2})
        with pytest.raises(ConfigError, match="the topic orders has 3 partitions, not 2"):
            await make(partitions=2).open()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"partitions": 0}, "partitions is at least 1, not 0"),
        ({"auto_offset_reset": "newest"}, 'auto_offset_reset is "earliest" or "latest"'),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_settings_are_checked(setting: dict[str, Any], message: str) -> None:
    """A setting that is wrong is refused with what is right."""
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(setting, MemoryTopicOptions)


def test_the_default_group_is_the_app(make: Make) -> None:
    """Without a group_id the app's name is the group."""

    async def scenario() -> None:
        async with Reader(make()) as reader:
            await send(reader.topic, *numbered(0, 2))
            await reader.commit(*await reader.read(2))
        async with Reader(make(group_id="app")) as reader:
            await reader.joined()
            assert reader.assignments[0].added == {0: 1}

    asyncio.run(scenario())


def test_keyless_records_take_turns(make: Make) -> None:
    """What has neither key nor partition goes to one partition per flush, in turn."""

    async def scenario() -> None:
        async with Reader(make(partitions=3)) as reader:
            for n in range(4):
                await send(reader.topic, Out(b"a"), Out(b"keyed", b"k"), Out(b"b"))
                await send(reader.topic, Out(b"keyed", b"k"))
                records = [r for r in await reader.read(4) if r.key is None]
                assert [r.partition for r in records] == [n % 3, n % 3]

    asyncio.run(scenario())


def test_nothing_is_there_before_the_flush(make: Make) -> None:
    """What was sent is to be read with the flush, at once; what was not is dropped at close."""

    async def scenario() -> None:
        async with Reader(make()) as reader:
            async with make() as sender:
                sender.send(Out(b"v"))
                assert await reader.silent(0.01)
                await sender.flush()
                assert len(await reader.topic.read(10)) == 1
                sender.send(Out(b"dropped"))
            assert await reader.silent(0.01)

    asyncio.run(scenario())


def test_a_reader_gets_the_records_of_the_log(make: Make) -> None:
    """Two readers are given the very same objects: reading makes no record."""

    async def scenario() -> None:
        async with Reader(make()) as one, Reader(make(group_id="other")) as other:
            await send(one.topic, *numbered(0, 3))
            mine, theirs = await one.read(3), await other.read(3)
            assert all(a is b for a, b in zip(mine, theirs, strict=True))

    asyncio.run(scenario())


def test_too_much_on_the_way(make: Make) -> None:
    """Beyond ten thousand waiting outputs `send` gives something to await, which flushes."""

    async def scenario() -> None:
        async with Reader(make()) as reader:
            for output in numbered(0, 10_000):
                assert reader.topic.send(output) is None
            waiting = reader.topic.send(Out(b"last"))
            assert waiting is not None
            await waiting
            assert len(await reader.topic.read(20_000)) == 10_001

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (Out("text"), "takes a key and a value of bytes or None, not NoneType and str"),
        (Out(b"v", 1), "takes a key and a value of bytes or None, not int and bytes"),
        (Out(b"v", partition=2), "has no partition 2: it has 0 to 1"),
        (Out(b"v", partition=-1), "has no partition -1"),
    ],
)
def test_what_can_not_be_sent(make: Make, output: Out, message: str) -> None:
    """An output that the topic can't keep is refused, is in the error, and is not sent."""

    async def scenario() -> None:
        async with Reader(make(partitions=2)) as reader:
            with pytest.raises(SinkError, match=message) as raised:
                reader.topic.send(output)
            assert raised.value.outputs == (output,)
            await reader.topic.flush()
            assert await reader.silent(0.01)

    asyncio.run(scenario())


def test_partitions_take_turns(make: Make) -> None:
    """Each read begins with another partition, and goes on with the next if there is room."""

    async def scenario() -> None:
        async with Reader(make(partitions=3)) as reader:
            await reader.joined()
            await send(reader.topic, *(o for p in range(3) for o in numbered(0, 4, p)))
            reads = [[r.partition for r in await reader.topic.read(3)] for _ in range(3)]
            assert sorted(reads) == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
            assert sorted(r.partition for r in await reader.topic.read(10)) == [0, 1, 2]

    asyncio.run(scenario())


def test_a_read_lets_others_run(make: Make) -> None:
    """Reading what is there, again and again, does not keep the loop for itself."""

    async def scenario() -> None:
        async with Reader(make()) as reader:
            await reader.joined()
            await send(reader.topic, *numbered(0, 100))
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count())
            await reader.read(100, max_records=1)
            counting.cancel()
            assert turns >= 99

    asyncio.run(scenario())


def test_one_instance_id_one_member(make: Make) -> None:
    """A second live member with an instance id is refused; after a close it may be had again."""

    async def scenario() -> None:
        async with Reader(make(group_instance_id="one")) as first:
            await first.joined()
            second = make(group_instance_id="one")
            await second.open()
            with pytest.raises(ConnectError, match='group app has a member .*"one" already'):
                await second.assignment()
            await second.close()
        async with Reader(make(group_instance_id="one")) as again:
            await again.holds({0})

    asyncio.run(scenario())


def test_instance_ids_keep_their_places(make: Make) -> None:
    """Members with instance ids get the same partitions in whatever order they join."""

    async def scenario(first: str, second: str) -> dict[str, set[int]]:
        async with (
            Reader(make(group_instance_id=first, partitions=2)) as one,
            Reader(make(group_instance_id=second)) as two,
        ):
            await one.until(lambda reader: len(reader.held) == 1)
            await two.until(lambda reader: len(reader.held) == 1)
            return {first: one.held, second: two.held}

    assert asyncio.run(scenario("a", "b")) == {"a": {0}, "b": {1}}
    assert asyncio.run(scenario("b", "a")) == {"a": {0}, "b": {1}}


def test_an_unaccepted_change_is_told_again(make: Make) -> None:
    """Who was cancelled between `assignment` and `accept` is given the same change again."""

    async def scenario() -> None:
        async with make(partitions=2) as topic:
            first = await topic.assignment()
            assert await topic.assignment() is first
            await topic.accept(first, {})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await topic.assignment()

    asyncio.run(scenario())


def test_closing_ends_what_waits(make: Make) -> None:
    """A waiting read ends with nothing, a waiting `assignment` with an error."""

    async def scenario() -> None:
        topic = make()
        await topic.open()
        await topic.accept(await topic.assignment(), {})
        reading = asyncio.create_task(topic.read(1))
        assigning = asyncio.create_task(topic.assignment())
        await asyncio.sleep(0.01)
        await topic.close()
        assert await reading == ()
        with pytest.raises(SourceError, match="the topic orders is not open"):
            await assigning

    asyncio.run(scenario())


def test_a_topic_outlives_its_loop(make: Make) -> None:
    """What one run has written and committed, the next one finds: logs belong to no event loop."""

    async def write() -> None:
        async with Reader(make()) as reader:
            await send(reader.topic, *numbered(0, 3))
            await reader.commit(*await reader.read(2))

    async def read() -> list[bytes]:
        async with Reader(make()) as reader:
            return await reader.values(1)

    asyncio.run(write())
    assert asyncio.run(read()) == [b"2"]


def test_out_of_range_says_so(make: Make) -> None:
    """A position that the log never had is named, with what there is and what to do."""

    async def scenario() -> None:
        async with Reader(make(), positions={0: 41}) as reader:
            await send(reader.topic, *numbered(0, 2))
            await reader.joined()
            with pytest.raises(SourceError, match=r"offset 42 of partition 0: it has 0 to 2;"):
                await reader.topic.read(1)

    asyncio.run(scenario())


def test_one_store_for_the_app(tmp_path: Path) -> None:
    """All caches of an app share a store; a space is for one of them."""
    scope = LocalScope("app", tmp_path)
    one = open_state_store("one", MemoryStateOptions(), scope)
    other = open_state_store("other", MemoryStateOptions(), scope)
    one.attach("a")
    with pytest.raises(StateInUseError, match="the state a is in use by another cache"):
        other.attach("a")
    with pytest.raises(StateError, match="the state b is not attached"):
        one.write({"b": {b"k": b"v"}})


def test_keys_stay_sorted_between_many_and_few_writes(tmp_path: Path) -> None:
    """Keys stand in order however many are new when they are scanned."""
    store = open_state_store("cache", MemoryStateOptions(), LocalScope("app", tmp_path))
    store.attach("a")
    model: dict[bytes, bytes] = {}
    for size in (500, 1, 64, 65, 3):
        written: dict[bytes, bytes | None] = {
            b"%d" % (n * 7_919 % 1_009): b"%d" % size for n in range(size)
        }
        store.write({"a": written})
        model.update({k: v for k, v in written.items() if v is not None})
        gone = sorted(model)[::5]
        store.write({"a": dict.fromkeys(gone)})
        for key in gone:
            del model[key]
        assert store.scan("a", limit=10_000) == sorted(model.items())


class Topics(RuleBasedStateMachine):
    """Members of one group come, read, commit, seek and go; a model says what each must read."""

    members = Bundle("members")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.scope = LocalScope("app", Path())
        self.log: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
        self.committed: dict[int, int] = {}
        self.owner: dict[int, MemoryTopic] = {}
        self.next: dict[int, int] = {}
        self.epochs: dict[MemoryTopic, int] = {}
        self.sent = 0

    def make(self) -> MemoryTopic:
        topic = MemoryTopic("t", MemoryTopicOptions(partitions=3), self.scope)
        self.runner.run(topic.open())
        return topic

    @initialize()
    def start(self) -> None:
        self.sender = self.make()

    def rebalance(self) -> None:
        """Let every member accept what it is told, until nothing changes any more."""

        async def poll(topic: MemoryTopic) -> bool:
            waiting = asyncio.create_task(topic.assignment())
            for _ in range(3):
                await asyncio.sleep(0)
            if not waiting.done():
                waiting.cancel()
                return False
            change = waiting.result()
            assert change.epoch > self.epochs[topic]
            for partition in change.removed:
                assert self.owner.pop(partition) is topic
            for partition, position in change.added.items():
                assert partition not in self.owner
                assert position == self.committed.get(partition)
                self.owner[partition] = topic
                self.next[partition] = 0 if position is None else position + 1
            await topic.accept(change, {})
            self.epochs[topic] = change.epoch
            return True

        while any([self.runner.run(poll(topic)) for topic in list(self.epochs)]):
            pass

    @rule(target=members)
    def join(self) -> MemoryTopic:
        topic = self.make()
        self.epochs[topic] = 0
        self.rebalance()
        return topic

    @rule(topic=consumes(members))
    def leave(self, topic: MemoryTopic) -> None:
        self.runner.run(topic.close())
        del self.epochs[topic]
        self.owner = {p: owner for p, owner in self.owner.items() if owner is not topic}
        self.rebalance()

    @rule(keys=st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=8))
    def write(self, keys: list[bytes]) -> None:
        for key in keys:
            self.sent += 1
            value = b"%d" % self.sent
            self.sender.send(Out(value, key))
            self.log[partition_for(key, 3)].append(value)
        self.runner.run(self.sender.flush())

    @rule(topic=members, most=st.integers(1, 5))
    def read(self, topic: MemoryTopic, most: int) -> None:
        async def read() -> list[Record]:
            reading = asyncio.create_task(topic.read(most))
            for _ in range(3):
                await asyncio.sleep(0)
            if reading.done():
                return list(reading.result())
            reading.cancel()
            return []

        records = self.runner.run(read())
        there = sum(
            len(self.log[p]) - self.next[p] for p, owner in self.owner.items() if owner is topic
        )
        assert len(records) == min(most, there)
        for record in records:
            partition = record.partition
            assert self.owner[partition] is topic
            assert record.offset == self.next[partition]
            assert record.value == self.log[partition][record.offset]
            self.next[partition] += 1

    @rule(topic=members, epoch=st.integers(0, 40))
    def commit(self, topic: MemoryTopic, epoch: int) -> None:
        epoch = min(epoch, self.epochs[topic])
        since = topic._member.held
        positions = {p: self.next.get(p, 0) - 1 for p in range(3)}
        self.runner.run(topic.commit(positions, epoch))
        for partition, position in positions.items():
            if self.owner.get(partition) is topic and since[partition] <= epoch:
                self.committed[partition] = position

    @rule(topic=members, data=st.data())
    def seek(self, topic: MemoryTopic, data: st.DataObject) -> None:
        mine = sorted(p for p, owner in self.owner.items() if owner is topic)
        if mine:
            partition = data.draw(st.sampled_from(mine))
            offset = data.draw(st.integers(0, len(self.log[partition])))
            assert self.runner.run(topic.seek({partition: offset})) == {partition: offset - 1}
            self.next[partition] = offset

    @invariant()
    def every_partition_is_read(self) -> None:
        if self.epochs:
            assert self.owner.keys() == {0, 1, 2}
            counts = [list(self.owner.values()).count(topic) for topic in self.epochs]
            assert max(counts) - min(counts) <= 1

    def teardown(self) -> None:
        for topic in self.epochs:
            self.runner.run(topic.close())
        self.runner.close()


TestTopics = Topics.TestCase
TestTopics.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
