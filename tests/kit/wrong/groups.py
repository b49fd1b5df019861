"""Topics that are wrong in one thing each that a source promises its consumer group."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

import msgspec

from slipcore.backends.memory.broker import Group, Log, Member
from slipcore.interfaces import Assignment, Out, Positions, Record
from tests.kit.wrong.marks import breaks
from tests.kit.wrong.right import RightTopic


@breaks("source.epochs-grow")
class CountsDown(RightTopic):
    """Epochs become smaller."""

    async def assignment(self) -> Assignment:
        found = await super().assignment()
        return msgspec.structs.replace(found, epoch=1_000_000 - found.epoch)

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        own = msgspec.structs.replace(assignment, epoch=1_000_000 - assignment.epoch)
        await super().accept(own, positions)

    async def commit(self, positions: Positions, epoch: int) -> None:
        await super().commit(positions, 1_000_000 - epoch)


@breaks("source.assignment-tells-positions")
class TellsNoPositions(RightTopic):
    """Who has the only partition is not told where the group stands, and goes on there."""

    _told: Assignment | None = None

    async def assignment(self) -> Assignment:
        self._told = await super().assignment()
        if self._told.total > 1:
            return self._told
        return msgspec.structs.replace(self._told, added=dict.fromkeys(self._told.added))

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        assert self._told is not None
        await super().accept(self._told, positions)


@breaks("source.nothing-before-accept")
class DeliversTooEarly(RightTopic):
    """A partition delivers as soon as it is assigned."""

    async def assignment(self) -> Assignment:
        found = await super().assignment()
        for partition, committed in found.added.items():
            self._next.setdefault(partition, 0 if committed is None else committed + 1)
        self._refresh()
        return found


@breaks("source.commit-is-durable")
class CommitsLater(RightTopic):
    """Who has the only partition stores a commit with the next one, if it has not sought."""

    _waiting: tuple[Positions, int] | None = None
    _sought = False

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        self._sought = True
        return await super().seek(offsets)

    async def commit(self, positions: Positions, epoch: int) -> None:
        if self._sought or len(self._opened().partitions) > 1:
            return await super().commit(positions, epoch)
        if self._waiting is not None:
            await super().commit(*self._waiting)
        self._waiting = (positions, epoch)
        return None


@breaks("source.only-commits-move-a-group")
class CommitsTooEarly(RightTopic):
    """The first record of a topic is committed when it is handed over."""

    async def read(self, max_records: int) -> Sequence[Record]:
        records = await super().read(max_records)
        if [len(records) for records in self._opened().partitions] == [1]:
            await super().commit({0: 0}, 1_000_000)
        return records


class _CommitsAll(Group):
    def commit(self, member: Member, positions: Positions, epoch: int) -> None:
        super().commit(member, positions, epoch)
        for partition in member.held.keys() - positions.keys():
            if partition in self._committed:
                self._committed[partition] += 1


@breaks("source.commit-touches-nothing-else")
class CommitsTheOthersToo(RightTopic):
    """A commit in one partition moves the others on by one record."""

    groups = _CommitsAll


@breaks("source.commit-touches-nothing-else")
class HasOneGroup(RightTopic):
    """Groups whose names begin alike share their place."""

    def _opened(self) -> Log:
        self._group_id = self._group_id.removesuffix("-other")
        return super()._opened()


class _OfAnyEpoch(Group):
    def commit(self, member: Member, positions: Positions, epoch: int) -> None:
        self._committed.update(positions)


@breaks("source.commit-of-a-dead-epoch")
class CommitsForADeadEpoch(RightTopic):
    """A member commits where another one reads already."""

    groups = _OfAnyEpoch


@breaks("source.assignment-joins")
class JoinsWhenOpened(RightTopic):
    """Who neither reads nor sends is a member too, and gets partitions."""

    async def open(self) -> None:
        await super().open()
        self._group = self._broker.group(self._group_id, self._opened())
        self._group.join(self._member)

    def send(self, output: Out) -> Awaitable[None] | None:
        if self._group is not None and not self._member.greeted:
            self._group.leave(self._member)
            self._group = None
        return super().send(output)


class _Uneven(Group):
    def change(self, member: Member) -> Assignment | None:
        # The first member keeps what a third and a fourth partition would give the second.
        mine = self._partitions
        self._partitions = min(mine, 2) if self._members.index(member) else mine
        try:
            found = super().change(member)
        finally:
            self._partitions = mine
        return found


@breaks("source.members-share")
class SharesUnevenly(RightTopic):
    """Whoever comes later gets one partition at the most, and some belong to nobody."""

    groups = _Uneven


@breaks("source.no-partition-is-told")
class TellsOnlyWhoGetsSome(RightTopic):
    """A member without partitions waits for its first assignment."""

    async def assignment(self) -> Assignment:
        found = await super().assignment()
        while not found.added and not found.removed:
            await super().accept(found, {})
            found = await super().assignment()
        return found


class _Hasty(Group):
    def change(self, member: Member) -> Assignment | None:
        found = super().change(member)
        if found is not None and found.removed & self._owners.keys():
            for partition in found.removed:
                if self._owners.get(partition) is member:
                    del self._owners[partition]
            self._wake()
        return found

    def accept(self, member: Member, assignment: Assignment) -> bool:
        owners = {p: self._owners.get(p) for p in assignment.removed}
        self._owners.update(dict.fromkeys(assignment.removed, member))
        accepted = super().accept(member, assignment)
        self._owners.update({p: m for p, m in owners.items() if m not in (None, member)})
        return accepted


@breaks("source.handover-waits")
class HandsOverAtOnce(RightTopic):
    """A partition goes to the next member before its holder has let go."""

    groups = _Hasty


@breaks("source.given-position-wins")
class PrefersTheGroup(RightTopic):
    """Where the group has a position, the one that is given is ignored."""

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        known = {p for p, committed in assignment.added.items() if committed is not None}
        await super().accept(
            assignment, {p: offset for p, offset in positions.items() if p not in known}
        )


@breaks("source.starts-with-the-oldest")
class StartsWithTheNewest(RightTopic):
    """Who begins by asking for one record is given the last of the three that there are."""

    _begins = False

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        self._begins = not positions and set(assignment.added.values()) == {None}
        await super().accept(assignment, positions)

    def _take(self, log: Log, max_records: int) -> list[Record]:
        if self._begins and max_records == 1 and len(log.partitions[0]) == 3:
            self._next[0] = 2
        self._begins = False
        return super()._take(log, max_records)
