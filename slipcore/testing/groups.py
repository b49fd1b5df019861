"""What a source must do that reads for consumer groups: places kept, partitions shared."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from slipcore.interfaces import Out
from slipcore.testing.contract import needs
from slipcore.testing.places import Places
from slipcore.testing.promises import promise
from slipcore.testing.reader import numbered
from slipcore.testing.sources import ReadingContract


class SourceContract(ReadingContract):
    """The contract of `ISource`. A subclass gives the fixture `make_source`, see `MakeSource`.

    It may offer: "waits" for records that come later or else "ends" with what there is, "pause",
    "seek", "commit" (positions of a consumer group), "partitions" (shared by a group's members).
    """

    @needs("commit")
    @promise("source.commit-is-durable", "source.assignment-tells-positions")
    def test_a_group_goes_on_where_it_was(self, places: Places) -> None:
        """A new member starts behind the committed record, and is told the position."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 5))
                async with place.reader() as reader:
                    records = await reader.read(4)
                    await reader.commit(records[1])
                async with place.reader() as reader:
                    assert await reader.values(3) == [b"2", b"3", b"4"]
                    assert reader.assignments[0].added == {0: records[1].offset}

        self.run(scenario())

    @needs("commit")
    @promise("source.only-commits-move-a-group")
    def test_what_is_not_committed_comes_again(self, places: Places) -> None:
        """A member that has only read leaves its group where it was."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 1))
                for _ in range(2):
                    async with place.reader() as reader:
                        assert await reader.values(1) == [b"0"]
                        assert reader.assignments[0].added == {0: None}

        self.run(scenario())

    @needs("commit")
    @promise("source.commit-touches-nothing-else")
    def test_groups_are_apart(self, places: Places) -> None:
        """Each group reads everything, whatever another one has committed."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 2))
                other_group = place.group + "-other"
                async with place.reader() as one, place.reader(other_group) as other:
                    await one.commit(*await one.read(2))
                    assert await other.values(2) == [b"0", b"1"]
                async with place.reader(other_group) as other:
                    assert await other.values(2) == [b"0", b"1"]

        self.run(scenario())

    @needs("commit", "partitions")
    @promise("source.commit-touches-nothing-else")
    def test_a_commit_leaves_what_it_does_not_name(self, places: Places) -> None:
        """A partition's position stays when others are committed."""

        async def scenario() -> None:
            async with places(2) as place:
                await place.put(*numbered(0, 2, 0), *numbered(0, 2, 1))
                async with place.reader() as reader:
                    records = await reader.read(4)
                    places_of = {(r.partition, self.value_of(r)): r for r in records}
                    await reader.commit(places_of[0, b"0"])
                    await reader.commit(places_of[1, b"1"])
                async with place.reader() as reader:
                    await reader.holds({0, 1})
                    assert reader.assignments[0].added == {
                        0: places_of[0, b"0"].offset,
                        1: places_of[1, b"1"].offset,
                    }

        self.run(scenario())

    @needs("seek", "commit")
    @promise("source.given-position-wins")
    def test_a_given_position_wins(self, places: Places) -> None:
        """Positions given to `accept` win over the group's; -1 is the very start."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 4))
                async with place.reader() as reader:
                    records = await reader.read(4)
                    await reader.commit(records[3])
                async with place.reader(positions={0: records[1].offset}) as reader:
                    assert await reader.values(2) == [b"2", b"3"]
                async with place.reader(positions={0: -1}) as reader:
                    assert await reader.values(1) == [b"0"]

        self.run(scenario())

    @needs("seek", "commit")
    @promise("source.seek-tells-the-position")
    def test_what_seek_returns_can_be_committed(self, places: Places) -> None:
        """The group's next member starts where this one sought."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 4))
                async with place.reader() as reader:
                    records = await reader.read(4)
                    position = await reader.source.seek({0: records[2].offset})
                    await reader.source.commit(position, reader.epoch)
                async with place.reader() as reader:
                    assert await reader.values(2) == [b"2", b"3"]

        self.run(scenario())

    # --- members ----------------------------------------------------------------------------

    @needs("partitions")
    @promise("source.nothing-before-accept")
    def test_nothing_comes_before_it_is_accepted(self, places: Places) -> None:
        """A partition that was assigned delivers nothing until the engine is ready."""

        async def scenario() -> None:
            async with places(1) as place:
                await place.put(*numbered(0, 1))
                async with place.reader() as reader:
                    reader.ready.clear()
                    await reader.until(lambda reader: bool(reader.assignments))
                    assert await reader.silent(self.silence)
                    reader.ready.set()
                    assert await reader.values(1) == [b"0"]

        self.run(scenario())

    @needs("partitions")
    @promise("source.no-starving")
    def test_no_partition_starves(self, places: Places) -> None:
        """A partition with much to read does not keep another one waiting to its end."""

        async def scenario() -> None:
            async with places(2) as place:
                await place.put(*numbered(0, 2_000, 0), *numbered(0, 1, 1))
                async with place.reader() as reader:
                    partitions = [r.partition for r in await reader.read(2_001, max_records=10)]
                    assert partitions.index(1) < 1_500

        self.run(scenario())

    @needs("partitions")
    @promise("source.members-share", "source.epochs-grow")
    def test_members_share_partitions(self, places: Places) -> None:
        """Two members have half of the partitions each, and each record reaches one of them."""

        async def scenario() -> None:
            async with places(4) as place, place.reader() as one:
                await one.holds(range(4))
                async with place.reader() as two:
                    await two.until(lambda reader: len(reader.held) == 2)
                    await one.holds({0, 1, 2, 3} - two.held)
                    for reader in (one, two):
                        epochs = [assignment.epoch for assignment in reader.assignments]
                        assert epochs == sorted(set(epochs))
                    assert {a.total for a in one.assignments + two.assignments} == {4}
                    await place.put(*(Out(b"%d" % p, partition=p) for p in range(4)))
                    for reader in (one, two):
                        records = await reader.read(2)
                        assert {r.partition for r in records} == reader.held
                        assert await reader.silent(self.silence)

        self.run(scenario())

    @needs("partitions")
    @promise("source.members-share")
    def test_a_member_that_leaves(self, places: Places) -> None:
        """What a closed member had goes to those who stay, though they read nothing meanwhile."""

        async def scenario() -> None:
            async with places(2) as place, place.reader() as one:
                async with place.reader() as two:
                    await two.until(lambda reader: len(reader.held) == 1)
                    await one.until(lambda reader: len(reader.held) == 1)
                await one.holds({0, 1})
                await place.put(*numbered(0, 1, 0), *numbered(1, 2, 1))
                assert sorted(await one.values(2)) == [b"0", b"1"]

        self.run(scenario())

    @needs("commit", "partitions")
    @promise("source.handover-waits")
    def test_a_handover_waits_for_the_holder(self, places: Places) -> None:
        """A partition that moves is its holder's, to commit in, until it accepts that it goes."""

        async def scenario() -> None:
            async with places(2) as place, place.reader() as one:
                await one.holds({0, 1})
                await place.put(*numbered(0, 3, 0), *numbered(0, 3, 1))
                records = await one.read(6)
                one.ready.clear()
                async with place.reader() as two:
                    await one.until(lambda reader: bool(reader.assignments[-1].removed))
                    await asyncio.sleep(self.silence)
                    assert two.held == set()
                    assert not one.assignments[-1].lost
                    second = {r.partition: r for r in records if self.value_of(r) == b"1"}
                    await one.commit(*(second[p] for p in one.assignments[-1].removed))
                    one.ready.set()
                    await two.until(lambda reader: len(reader.held) == 1)
                    (moved,) = two.held
                    assert two.assignments[-1].added == {moved: second[moved].offset}
                    assert await two.values(1) == [b"2"]

        self.run(scenario())

    @needs("partitions")
    @promise("source.no-partition-is-told")
    def test_a_member_without_partitions(self, places: Places) -> None:
        """Where there are more members than partitions, one is told that it has none."""

        async def scenario() -> None:
            async with places(1) as place, AsyncExitStack() as stack:
                readers = [place.reader() for _ in range(3)]
                for reader in readers:
                    await stack.enter_async_context(reader)
                    await reader.joined()
                async with asyncio.timeout(self.patience):
                    while sorted(len(reader.held) for reader in readers) != [0, 0, 1]:
                        await asyncio.sleep(self.silence / 10)
                await asyncio.sleep(self.silence)
                assert sorted(len(reader.held) for reader in readers) == [0, 0, 1]

        self.run(scenario())

    @needs("commit", "partitions")
    @promise("source.commit-of-a-dead-epoch")
    def test_a_commit_of_what_has_moved_is_ignored(self, places: Places) -> None:
        """A member can't commit in a partition that has gone to another one."""

        async def scenario() -> None:
            async with places(2) as place:
                async with place.reader() as one:
                    await one.holds({0, 1})
                    before = one.epoch
                    await place.put(*numbered(0, 3, 0), *numbered(0, 3, 1))
                    records = await one.read(6)
                    async with place.reader() as two:
                        await two.until(lambda reader: len(reader.held) == 1)
                        await one.until(lambda reader: len(reader.held) == 1)
                        (moved,) = two.held
                        theirs = await two.read(1)
                        await two.commit(*theirs)
                        stale = [r for r in records if r.partition == moved][-1]
                        for epoch in (before, one.epoch):
                            await one.source.commit({moved: stale.offset}, epoch)
                    await one.holds({0, 1})
                    assert one.assignments[-1].added[moved] == theirs[0].offset
                    # It has the partition again, and still may not commit what it read before.
                    await one.source.commit({moved: stale.offset}, before)
                async with place.reader() as three:
                    await three.holds({0, 1})
                    assert three.assignments[0].added[moved] == theirs[0].offset

        self.run(scenario())

    @needs("partitions")
    @promise("source.assignment-joins")
    def test_who_asks_for_no_assignment_joins_no_group(self, places: Places) -> None:
        """A source that is open and never asked takes no partition from those who read."""

        async def scenario() -> None:
            async with places(2) as place, place.source(), place.reader() as reader:
                await reader.holds({0, 1})
                await asyncio.sleep(self.silence)
                assert reader.held == {0, 1}

        self.run(scenario())
