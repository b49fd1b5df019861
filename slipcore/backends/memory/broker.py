"""What the memory topics of one app share: logs, and the consumer groups that read them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from slipcore.interfaces import (
    Assignment,
    ConfigError,
    ConnectError,
    Out,
    Positions,
    Record,
    now_ms,
    partition_for,
)


class Log:
    """The partitions of a topic; a record's offset is its index.

    Attributes:
        partitions: the records of each, ready to be handed to readers.
        readers: set when there is something new.
    """

    __slots__ = ("_keyless", "name", "partitions", "readers")

    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self.partitions: list[list[Record]] = [[] for _ in range(partitions)]
        self.readers: set[asyncio.Event] = set()
        self._keyless = 0

    def append(self, outputs: Sequence[Out]) -> None:
        """Add outputs in order, those without key and partition to one partition, in turn."""
        name = self.name
        partitions = self.partitions
        count = len(partitions)
        now = now_ms()
        keyless = None
        for output in outputs:
            place = output.partition
            if place is None:
                if output.key is not None:
                    place = partition_for(output.key, count)
                elif keyless is None:
                    place = keyless = self._keyless
                    self._keyless = (keyless + 1) % count
                else:
                    place = keyless
            log = partitions[place]
            timestamp = now if output.timestamp is None else output.timestamp
            log.append(
                Record(output.value, output.key, name, place, len(log), timestamp, output.headers)
            )
        self.wake()

    def wake(self) -> None:
        """Have readers look whether there is something new."""
        for reader in self.readers:
            reader.set()

    def remains(self) -> Log:
        """A log of the same records, which nobody reads."""
        left = Log(self.name, 0)
        left.partitions = [records.copy() for records in self.partitions]
        left._keyless = self._keyless
        return left


class Member:
    """One reader in a group.

    Attributes:
        held: partition -> the epoch in which it was assigned, until its removal is accepted.
        outstanding: the change that was announced and not accepted yet.
        changed: set when there may be a change to announce.
    """

    __slots__ = ("changed", "greeted", "held", "instance_id", "outstanding", "place")

    def __init__(self, instance_id: str | None) -> None:
        self.instance_id = instance_id
        self.place: tuple[int, str, int] = (0, "", 0)
        self.held: dict[int, int] = {}
        self.outstanding: Assignment | None = None
        self.greeted = False
        self.changed = asyncio.Event()


class Group:
    """The members of a consumer group on one topic, who holds what, and how far it is.

    A partition that moves is announced to its holder first, and is free for the other only when
    the holder has accepted that it goes.
    """

    __slots__ = ("_committed", "_epoch", "_joined", "_members", "_owners", "_partitions", "name")

    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self._partitions = partitions
        self._members: list[Member] = []
        self._owners: dict[int, Member] = {}
        self._committed: dict[int, int] = {}
        self._epoch = 0
        self._joined = 0

    def join(self, member: Member) -> None:
        """Take a member in; one with an instance id has the same place each time.

        Raises:
            ConnectError: a live member has this instance id.
        """
        if member.instance_id is not None and any(
            member.instance_id == other.instance_id for other in self._members
        ):
            raise ConnectError(
                f"the consumer group {self.name} has a member with group_instance_id "
                f'"{member.instance_id}" already: give each member one of its own'
            )
        self._joined += 1
        static = member.instance_id is not None
        member.place = (0 if static else 1, member.instance_id or "", self._joined)
        self._members.append(member)
        self._members.sort(key=lambda m: m.place)
        self._wake()

    def leave(self, member: Member) -> None:
        """Free at once what a member holds."""
        self._members.remove(member)
        for partition in member.held:
            del self._owners[partition]
        member.held.clear()
        self._wake()

    def change(self, member: Member) -> Assignment | None:
        """What is to be announced to a member: the same until it is accepted; None: nothing."""
        if member.outstanding is not None:
            return member.outstanding
        count = len(self._members)
        mine = set(range(self._members.index(member), self._partitions, count))
        removed = frozenset(member.held.keys() - mine)
        added = sorted(mine - self._owners.keys())
        if member.greeted and not added and not removed:
            return None
        self._epoch += 1
        for partition in added:
            self._owners[partition] = member
            member.held[partition] = self._epoch
        member.greeted = True
        member.outstanding = Assignment(
            epoch=self._epoch,
            added={partition: self._committed.get(partition) for partition in added},
            removed=removed,
            total=self._partitions,
        )
        return member.outstanding

    def accept(self, member: Member, assignment: Assignment) -> bool:
        """Free what the member gives up; whether this is the change that it was told of."""
        if member.outstanding is None or assignment.epoch != member.outstanding.epoch:
            return False
        member.outstanding = None
        for partition in assignment.removed:
            del member.held[partition]
            del self._owners[partition]
        self._wake()
        return True

    def commit(self, member: Member, positions: Positions, epoch: int) -> None:
        """Keep the positions of the partitions that the member has held since `epoch`."""
        for partition, position in positions.items():
            since = member.held.get(partition)
            if since is not None and since <= epoch:
                self._committed[partition] = position

    def remains(self) -> Group:
        """A group that is as far, without members."""
        left = Group(self.name, self._partitions)
        left._committed = self._committed.copy()
        return left

    def _wake(self) -> None:
        for member in self._members:
            member.changed.set()


class Broker:
    """The memory topics of one app, by name, and the groups that read them."""

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}
        self._groups: dict[tuple[str, str], Group] = {}

    def log(self, name: str, partitions: int | None) -> Log:
        """The log of a topic, made with `partitions` (None: 1) if it is not there.

        Raises:
            ConfigError: it has another number of partitions than was asked for.
        """
        log = self._logs.get(name)
        if log is None:
            log = self._logs[name] = Log(name, partitions or 1)
        if partitions not in (None, len(log.partitions)):
            raise ConfigError(
                f"the topic {name} has {len(log.partitions)} partitions, not {partitions}: "
                f"leave partitions out, or name what it has"
            )
        return log

    def group(self, name: str, log: Log) -> Group:
        """The group of that name on a topic."""
        key = (name, log.name)
        if key not in self._groups:
            self._groups[key] = Group(name, len(log.partitions))
        return self._groups[key]

    def wake(self) -> None:
        """Have all readers look whether there is something new."""
        for log in self._logs.values():
            log.wake()

    def remains(self) -> Broker:
        """What is left when all that read and write it die now: records and committed positions."""
        left = Broker()
        left._logs = {name: log.remains() for name, log in self._logs.items()}
        left._groups = {key: group.remains() for key, group in self._groups.items()}
        return left
