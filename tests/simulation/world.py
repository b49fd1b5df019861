"""What outlives a process, in memory: logs with gaps, a consumer group, outputs, and a store.

It also decides what fails, how long a call takes, and where the process dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from slipcore.backends.memory.state import MemoryStateStore
from slipcore.interfaces import Assignment, Out
from tests.simulation.scenario import Scenario


class Crash(BaseException):
    """The process is dead: raised in what it was doing."""


@dataclass(slots=True)
class Group:
    """The one consumer group of a topic, with this process and another member.

    Attributes:
        held: partition -> the epoch in which this process got it.
        wanted: partitions that are to go to the other member, or have gone.
        lost: partitions that went without asking, and were not told of yet.
        given_up: partitions that this process has accepted to be without.
        outstanding: the change that was announced and not accepted yet.
    """

    partitions: int
    committed: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    epoch: int = 0
    greeted: bool = False
    outstanding: Assignment | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self) -> Assignment | None:
        """What this process is to be told; the same until it is accepted."""
        if self.outstanding is not None:
            return self.outstanding
        if self.lost:
            return self._announce(removed=frozenset(self.lost), lost=True)
        removed = frozenset(self.held.keys() & self.wanted)
        if removed:
            return self._announce(removed=removed)
        added = [p for p in range(self.partitions) if p not in self.held and p not in self.wanted]
        if added or not self.greeted:
            return self._announce(added={p: self.committed.get(p) for p in added})
        return None

    def _announce(
        self,
        *,
        added: dict[int, int | None] | None = None,
        removed: frozenset[int] = frozenset(),
        lost: bool = False,
    ) -> Assignment:
        self.epoch += 1
        self.greeted = True
        self.held.update(dict.fromkeys(added or {}, self.epoch))
        self.outstanding = Assignment(self.epoch, added or {}, removed, lost, self.partitions)
        return self.outstanding

    def accept(self, change: Assignment) -> bool:
        """Whether it is the change that was announced."""
        if self.outstanding is None or self.outstanding.epoch != change.epoch:
            return False
        self.outstanding = None
        self.lost -= change.removed
        for partition in change.removed:
            self.held.pop(partition, None)
        self.changed.set()
        return True

    def take(self, partition: int) -> None:
        """Another member is to have a partition."""
        self.wanted.add(partition)
        self.changed.set()

    def take_over(self, partition: int) -> None:
        """Another member has a partition from now on."""
        self.wanted.add(partition)
        if self.held.pop(partition, None) is not None:
            self.lost.add(partition)
        self.changed.set()

    def give_back(self) -> None:
        self.wanted.clear()
        self.changed.set()

    def leave(self) -> None:
        """This process is no member any more."""
        self.held.clear()
        self.lost.clear()
        self.outstanding = None
        self.greeted = False
        self.changed = asyncio.Event()


class World:
    """All that is durable, and all that can happen to calls.

    Attributes:
        logs: topic -> partition -> the offsets of its records, in order.
        ends: topic -> partition -> the next offset, behind any gap.
        outputs: of each sink, what is durable.
        dead: whether the process has died, so that no call does anything any more.
    """

    def __init__(self, scenario: Scenario, die: Callable[[], None]) -> None:
        self.logs = [[list[int]() for _ in range(n)] for n in scenario.partitions]
        self.ends = [[0] * n for n in scenario.partitions]
        self.groups = [Group(n) for n in scenario.partitions]
        self.arrived = [asyncio.Event() for _ in scenario.partitions]
        self.outputs: dict[str, list[Out]] = {}
        self.store = MemoryStateStore()
        self.poison: dict[bytes, int] = {}
        self.dead = False
        self.hang = 0.0
        self.random = Random(scenario.timing)
        self._slow = scenario.slow
        self._flaky = bool(scenario.retries)
        self._faults: dict[str, int] = {}
        self._fuse: tuple[str, int] | None = None
        self._die = die

    def produce(self, topic: int, partition: int, count: int, gap: int) -> None:
        """Add records, each behind offsets that nobody gets to see."""
        for _ in range(count):
            offset = self.ends[topic][partition] + gap
            self.logs[topic][partition].append(offset)
            self.ends[topic][partition] = offset + 1
        self.ends[topic][partition] += gap
        self.arrived[topic].set()

    def spoil(self, topic: int, partition: int, times: int) -> None:
        """The last record can't be decoded for so many times."""
        if log := self.logs[topic][partition]:
            self.poison[value_of(topic, partition, log[-1])] = times

    async def take_time(self) -> None:
        """As long as a call takes."""
        self.alive()
        chance = self.random.random()
        if chance > 0.5:
            await asyncio.sleep(self._slow * self.random.random() if chance > 0.75 else 0)
            self.alive()

    def alive(self) -> None:
        """The dead do nothing."""
        if self.dead:
            raise Crash

    def arm(self, point: str, passes: int) -> None:
        """Let the process die at a point."""
        self._fuse = (point, passes)

    def at(self, point: str) -> None:
        """Pass a point, or die there."""
        self.alive()
        if self._fuse is None or self._fuse[0] != point:
            return
        self._fuse = (point, self._fuse[1] - 1)
        if not self._fuse[1]:
            self.kill()
            raise Crash

    def kill(self) -> None:
        self.dead, self._fuse = True, None
        self._die()

    def fail(self, call: str, count: int) -> None:
        """Let a call fail, the `count`-th from here on."""
        self._faults[call] = count

    def fails(self, call: str) -> bool:
        """Whether this call is the one that fails. Handlers that are tried again fail often."""
        if call == "handler" and self._flaky and self.random.random() < 0.1:
            return True
        if call not in self._faults:
            return False
        self._faults[call] -= 1
        if self._faults[call]:
            return False
        del self._faults[call]
        return True

    def heal(self) -> None:
        """Nothing fails any more."""
        self._flaky = False
        self._faults.clear()
        self._fuse = None
        self.poison.clear()
        self.hang = 0.0

    def restart(self) -> None:
        """The process has ended, one way or the other."""
        self.dead = False
        self.store.close()
        for topic, group in enumerate(self.groups):
            group.leave()
            self.arrived[topic] = asyncio.Event()


def value_of(topic: int, partition: int, offset: int) -> bytes:
    """The value of a record."""
    return f"{topic}/{partition}/{offset}".encode()


def key_at(offset: int) -> bytes:
    """The key of a record."""
    return b"%d" % (offset % 3)
