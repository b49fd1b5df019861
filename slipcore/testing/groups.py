"""What every topic must do for consumer groups: places kept, partitions shared."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from slipcore.interfaces import Out
from slipcore.testing.reader import MakeTopic, TopicSuite, numbered, send


class GroupContract(TopicSuite):
    """Members share partitions, keep their group's place and hand over in order."""

    def test_a_group_goes_on_where_it_was(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A new member starts behind the committed record, and is told the position."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                await send(reader.topic, *numbered(0, 5))
                records = await reader.read(4)
                await reader.commit(records[1])
            async with self.reader(make_topic(name, group, 1)) as reader:
                assert await reader.values(3) == [b"2", b"3", b"4"]
                assert reader.assignments[0].added == {0: records[1].offset}

        self.run(scenario())

    def test_what_is_not_committed_comes_again(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A group without a position starts with the oldest record, and is told so."""

        async def scenario() -> None:
            for _ in range(2):
                async with self.reader(make_topic(name, group, 1)) as reader:
                    await reader.joined()
                    assert reader.assignments[0].added == {0: None}
                    await send(reader.topic, Out(b"v"))
                    assert await reader.values(1) == [b"v"]

        self.run(scenario())

    def test_groups_are_apart(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """Each group reads everything, whatever another one has committed."""

        async def scenario() -> None:
            async with (
                self.reader(make_topic(name, group, 1)) as one,
                self.reader(make_topic(name, group + "-other", 1)) as other,
            ):
                await send(one.topic, *numbered(0, 2))
                await one.commit(*await one.read(2))
                assert await other.values(2) == [b"0", b"1"]

        self.run(scenario())

    def test_a_group_may_start_with_the_latest(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """With `auto_offset_reset="latest"` a group reads what arrives after it has joined, and
        reads it again as long as it is not committed.
        """

        async def scenario() -> None:
            async with make_topic(name, group, 1) as sender:
                await send(sender, Out(b"old"))
                topic = make_topic(name, group, 1, auto_offset_reset="latest")
                async with self.reader(topic) as reader:
                    await reader.joined()
                    await send(sender, Out(b"new"))
                    assert await reader.values(1) == [b"new"]
                topic = make_topic(name, group, 1, auto_offset_reset="latest")
                async with self.reader(topic) as reader:
                    assert await reader.values(1) == [b"new"]

        self.run(scenario())

    def test_a_given_position_wins(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """Positions given to `accept` win over the group's; -1 is the very start."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 1)) as reader:
                await send(reader.topic, *numbered(0, 4))
                records = await reader.read(4)
                await reader.commit(records[3])
            given = {0: records[1].offset}
            async with self.reader(make_topic(name, group, 1), positions=given) as reader:
                assert await reader.values(2) == [b"2", b"3"]
            async with self.reader(make_topic(name, group, 1), positions={0: -1}) as reader:
                assert await reader.values(1) == [b"0"]

        self.run(scenario())

    def test_members_share_partitions(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """Two members have half of the partitions each, and each record reaches one of them."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 4)) as one:
                await one.holds(range(4))
                async with self.reader(make_topic(name, group, 4)) as two:
                    await two.until(lambda reader: len(reader.held) == 2)
                    await one.holds({0, 1, 2, 3} - two.held)
                    assert {a.total for a in one.assignments + two.assignments} == {4}
                    await send(one.topic, *(Out(b"%d" % p, partition=p) for p in range(4)))
                    for reader in (one, two):
                        records = await reader.read(2)
                        assert {r.partition for r in records} == reader.held
                        assert await reader.silent(self.silence)

        self.run(scenario())

    def test_a_handover_waits_for_the_holder(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A partition that moves is its holder's, to commit in, until it accepts that it goes."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 2)) as one:
                await one.holds({0, 1})
                await send(one.topic, *numbered(0, 3, 0), *numbered(0, 3, 1))
                records = await one.read(6)
                one.ready.clear()
                async with self.reader(make_topic(name, group, 2)) as two:
                    await one.until(lambda reader: bool(reader.assignments[-1].removed))
                    await asyncio.sleep(self.silence)
                    assert two.held == set()
                    assert not one.assignments[-1].lost
                    second = {r.partition: r for r in records if r.value == b"1"}
                    await one.commit(*(second[p] for p in one.assignments[-1].removed))
                    one.ready.set()
                    await two.until(lambda reader: len(reader.held) == 1)
                    (moved,) = two.held
                    assert two.assignments[-1].added == {moved: second[moved].offset}
                    assert await two.values(1) == [b"2"]

        self.run(scenario())

    def test_a_member_that_leaves(self, make_topic: MakeTopic, name: str, group: str) -> None:
        """What a closed member had goes to those who stay, though they read nothing meanwhile."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 2)) as one:
                async with self.reader(make_topic(name, group, 2)) as two:
                    await two.until(lambda reader: len(reader.held) == 1)
                    await one.until(lambda reader: len(reader.held) == 1)
                await one.holds({0, 1})
                await send(one.topic, *numbered(0, 1, 0), *numbered(1, 2, 1))
                assert sorted(await one.values(2)) == [b"0", b"1"]

        self.run(scenario())

    def test_a_member_without_partitions(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """Where there are more members than partitions, one is told that it has none."""

        async def scenario() -> None:
            async with AsyncExitStack() as stack:
                readers = [self.reader(make_topic(name, group, 1)) for _ in range(3)]
                for reader in readers:
                    await stack.enter_async_context(reader)
                    await reader.joined()
                async with asyncio.timeout(self.patience):
                    while sorted(len(reader.held) for reader in readers) != [0, 0, 1]:
                        await asyncio.sleep(self.silence / 10)
                await asyncio.sleep(self.silence)
                assert sorted(len(reader.held) for reader in readers) == [0, 0, 1]

        self.run(scenario())

    def test_a_commit_of_what_has_moved_is_ignored(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A member can't commit in a partition that has gone to another one."""

        async def scenario() -> None:
            async with self.reader(make_topic(name, group, 2)) as one:
                await one.holds({0, 1})
                before = one.epoch
                await send(one.topic, *numbered(0, 3, 0), *numbered(0, 3, 1))
                records = await one.read(6)
                async with self.reader(make_topic(name, group, 2)) as two:
                    await two.until(lambda reader: len(reader.held) == 1)
                    await one.until(lambda reader: len(reader.held) == 1)
                    (moved,) = two.held
                    theirs = await two.read(1)
                    await two.commit(*theirs)
                    stale = [r for r in records if r.partition == moved][-1]
                    for epoch in (before, one.epoch):
                        await one.topic.commit({moved: stale.offset}, epoch)
                await one.holds({0, 1})
                assert one.assignments[-1].added[moved] == theirs[0].offset
                # It has the partition again, and still may not commit what it read before.
                await one.topic.commit({moved: stale.offset}, before)
            async with self.reader(make_topic(name, group, 2)) as three:
                await three.holds({0, 1})
                assert three.assignments[0].added[moved] == theirs[0].offset

        self.run(scenario())

    def test_who_only_sends_joins_no_group(
        self, make_topic: MakeTopic, name: str, group: str
    ) -> None:
        """A topic that is only sent to takes no partition from those who read."""

        async def scenario() -> None:
            async with make_topic(name, group, 2) as sender:
                await send(sender, Out(b"first", partition=0))
                async with self.reader(make_topic(name, group, 2)) as reader:
                    await reader.holds({0, 1})
                    await send(sender, Out(b"second", partition=1))
                    assert sorted(await reader.values(2)) == [b"first", b"second"]
                    await asyncio.sleep(self.silence)
                    assert reader.held == {0, 1}

        self.run(scenario())
