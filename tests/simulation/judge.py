"""The model that the engine is held to: sets and lists of offsets, looked through anew each time.

It is told of every call that passes between the engine and the world, and says what must not be.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from slipcore.codecs import ExactCodec
from slipcore.interfaces import Changes, Positions
from slipcore.keys import decode_key
from tests.simulation.scenario import Scenario, Shape
from tests.simulation.world import World, key_at

Place = tuple[int, int, int]
"""The numbers of a binding, a topic and a partition."""

TOTAL = "total"
"""The key that all bindings count in."""


class Output(NamedTuple):
    """What a handler gives to its sinks.

    Attributes:
        turn: which reading of the partition it belongs to.
        part: its number among those of its record.
    """

    binding: int
    topic: int
    partition: int
    offset: int
    turn: int
    part: int


@dataclass(slots=True)
class Track:
    """One binding's way through one partition, since it was last put somewhere.

    Attributes:
        turn: how often it was put somewhere.
        base: the position that it was put at.
        landed: the position that its store holds, or where it was put.
        cursor: the offset that its handler got last; None: the partition is not this process's.
        in_hand: what the handler has, where it has several.
        handled: what the handler has returned from.
        durable: offset -> outputs that are durable.
        sent: the last output, of each sink.
        moving: whether the group may not know yet where it was put.
        resting: the position that an orderly stop has left.
    """

    turn: int = 0
    base: int = -1
    landed: int = -1
    cursor: int | None = None
    in_hand: set[int] = field(default_factory=set)
    handled: set[int] = field(default_factory=set)
    durable: dict[int, int] = field(default_factory=dict)
    sent: dict[str, tuple[int, int]] = field(default_factory=dict)
    moving: bool = False
    resting: int | None = None

    def put(self, place: int, moving: bool) -> None:
        self.turn += 1
        self.moving = moving
        self.base = self.landed = self.cursor = place
        self.in_hand.clear()
        self.handled.clear()
        self.durable.clear()
        self.sent.clear()


class Judge:
    """Sees all, and notes what must not be.

    Attributes:
        complaints: what was wrong, the first first.
    """

    def __init__(self, scenario: Scenario, world: World) -> None:
        self.complaints: list[str] = []
        self.tracks: dict[Place, Track] = {
            (number, topic, partition): Track()
            for number, shape in enumerate(scenario.bindings)
            for topic in shape.topics
            for partition in range(scenario.partitions[topic])
        }
        self._shapes = scenario.bindings
        self._world = world
        self._retries = scenario.retries
        self._codec = ExactCodec()
        self._values: dict[str, object] = {}
        self._skipped = False
        self._readers = {
            f"simulation/{number}/simulated:{topic}": (number, topic)
            for number, shape in enumerate(scenario.bindings)
            for topic in shape.topics
        }

    def complain(self, what: str) -> None:
        self.complaints.append(what)

    def of(self, topic: int, partition: int) -> Iterator[tuple[int, Shape, Track]]:
        """The bindings that read a partition."""
        for number, shape in enumerate(self._shapes):
            if topic in shape.topics:
                yield number, shape, self.tracks[number, topic, partition]

    def _between(self, topic: int, partition: int, after: int, to: int) -> list[int]:
        log = self._world.logs[topic][partition]
        return log[bisect_right(log, after) : bisect_right(log, to)]

    # --- where it stands ------------------------------------------------------------------

    def assigned(self, topic: int, added: Mapping[int, int | None], starts: Positions) -> None:
        """The engine has accepted partitions, and begins where `starts` says."""
        for partition, committed in added.items():
            places: list[int | None] = []
            for number, shape, track in self.of(topic, partition):
                place = committed
                if shape.keeps:
                    place = self._stored(number, topic).get(partition, committed)
                places.append(place)
                self._see_no_repeat(number, topic, partition, place)
                track.put(-1 if place is None else place, place != committed)
            known = [place for place in places if place is not None]
            right = min(known) if known and len(known) == len(places) else None
            given = starts.get(partition, committed)
            if given != right and (right is not None or given not in (None, -1)):
                self.complain(
                    f"topic {topic}[{partition}] starts after {given}; where the bindings stand is "
                    f"{places}"
                )

    def _see_no_repeat(self, number: int, topic: int, partition: int, place: int | None) -> None:
        track = self.tracks[number, topic, partition]
        resting, track.resting = track.resting, None
        if resting is not None and resting != (-1 if place is None else place):
            self.complain(
                f"an orderly stop has left binding {number} behind offset {resting} of topic "
                f"{topic}[{partition}], and it goes on behind {place}"
            )

    def _stored(self, number: int, topic: int) -> Positions:
        return self._world.store.positions(f"simulation/{number}/simulated:{topic}")

    def removed(self, topic: int, partitions: frozenset[int]) -> None:
        """The engine has accepted that these are not its own any more."""
        for partition in partitions:
            for _, _, track in self.of(topic, partition):
                track.cursor = None

    def sought(self, topic: int, places: Positions) -> None:
        """The source stands elsewhere."""
        self._skipped = True
        for partition, place in places.items():
            for _, _, track in self.of(topic, partition):
                track.put(place, True)

    def elsewhere(self, topic: int, partition: int) -> None:
        """Another member has finished records."""
        self._skipped = True
        for _, _, track in self.of(topic, partition):
            track.resting = None

    def ended(self, in_order: bool) -> None:
        """The process is over."""
        for (_, topic, partition), track in self.tracks.items():
            shapes = [shape for _, shape, _ in self.of(topic, partition)]
            # Bindings that share a group's one position may have come to different records.
            alone = len(shapes) == 1 and not shapes[0].holds
            if self._retries and shapes[0].width:  # what is behind another try comes again
                alone = False
            known = partition in self._world.groups[topic].held and not track.moving
            track.resting = track.cursor if in_order and alone and known else None
            track.cursor = None

    # --- what passes ----------------------------------------------------------------------

    def begins(self, number: int, topic: int, partition: int, offset: int) -> int:
        """A handler, or its pipe, gets a record; which turn that is."""
        track = self.tracks[number, topic, partition]
        what = f"binding {number} was given topic {topic}[{partition}]@{offset}"
        if track.cursor is None:
            self.complain(f"{what}, which is not this process's")
            return track.turn
        if self._shapes[number].width is not None:
            self._begins_beside(track, topic, partition, offset, what)
            return track.turn
        log = self._world.logs[topic][partition]
        place = bisect_right(log, track.cursor)
        if log[place : place + 1] != [offset]:
            self.complain(f"{what}, and {log[place : place + 1]} follows {track.cursor}")
        track.cursor = offset
        return track.turn

    def _begins_beside(
        self, track: Track, topic: int, partition: int, offset: int, what: str
    ) -> None:
        """A handler that has several in hand gets one more: those of its key come in order."""
        assert track.cursor is not None
        before = self._between(topic, partition, track.base, offset)
        if before[-1:] != [offset] or offset in track.handled | track.in_hand:
            self.complain(f"{what}, which is not one of those to come")
        of_key = [other for other in before[:-1] if key_at(other) == key_at(offset)]
        if lacking := [other for other in of_key if other not in track.handled]:
            self.complain(f"{what}, and of its key {lacking} are not through")
        track.in_hand.add(offset)
        track.cursor = max(track.cursor, offset)

    def handled(self, number: int, topic: int, partition: int, offset: int, turn: int) -> None:
        track = self.tracks[number, topic, partition]
        if turn == track.turn:
            track.handled.add(offset)
            track.in_hand.discard(offset)

    def failed(self, number: int, topic: int, partition: int, offset: int) -> None:
        """A record has failed: it is the next one, in this run if it is tried again."""
        track = self.tracks[number, topic, partition]
        if self._shapes[number].width is None:
            if track.cursor != offset:
                return
            log = self._world.logs[topic][partition]
            before = log[: bisect_left(log, offset)]
            track.cursor = max(track.base, before[-1] if before else -1)
        track.in_hand.discard(offset)
        track.handled.discard(offset)
        track.durable.pop(offset, None)
        for sink, (last, _) in list(track.sent.items()):
            if last == offset:
                del track.sent[sink]

    def sent(self, sink: str, output: Output) -> None:
        track = self.tracks[output.binding, output.topic, output.partition]
        if output.turn != track.turn:
            return
        way = sink
        if self._shapes[output.binding].width is not None:
            way = f"{sink} {key_at(output.offset)!r}"
        before = track.sent.get(way, (-1, 0))
        if before >= (output.offset, output.part):
            self.complain(f"sink {sink} was given {output} behind {before}")
        track.sent[way] = (output.offset, output.part)

    def durable(self, output: Output) -> None:
        track = self.tracks[output.binding, output.topic, output.partition]
        if output.turn == track.turn:
            track.durable[output.offset] = track.durable.get(output.offset, 0) + 1

    def outputs_of(self, number: int, offset: int) -> int:
        """How many outputs a record has."""
        if offset % 4 == 3:
            return 0
        return 2 if "generator" in self._shapes[number].kind else 1

    def lacking(self, number: int, topic: int, partition: int, to: int) -> list[int]:
        """Offsets up to a position that have no durable effect outside of the store."""
        track = self.tracks[number, topic, partition]
        sinks = self._shapes[number].sinks
        return [
            offset
            for offset in self._between(topic, partition, track.base, to)
            if offset not in track.handled
            or track.durable.get(offset, 0) < sinks * self.outputs_of(number, offset)
        ]

    def commits(self, topic: int, partition: int, position: int) -> None:
        """The engine asks for the group's position to be moved."""
        if any(track.cursor is None for _, _, track in self.of(topic, partition)):
            self._see_known(topic, partition, position)
            return
        self._see_finished(topic, partition, position)
        places = {track.base for _, _, track in self.of(topic, partition)}
        if position not in places and position not in self._world.logs[topic][partition]:
            self.complain(
                f"the group's position of topic {topic}[{partition}] is to be {position}, which "
                "the source has not given"
            )

    def _see_known(self, topic: int, partition: int, position: int) -> None:
        """Before the engine has accepted a partition, it can only repeat what it was told."""
        known = {self._world.groups[topic].committed.get(partition)}
        for number, shape, _ in self.of(topic, partition):
            if shape.keeps:
                known.add(self._stored(number, topic).get(partition))
        if position not in known:
            self.complain(
                f"the group's position of topic {topic}[{partition}] is to be {position} before "
                f"the partition is accepted; known are {known}"
            )

    def committed(self, topic: int, partition: int, position: int) -> None:
        """The group's position has moved; if it was sought meanwhile, it will once more."""
        if not any(self._unfinished(topic, partition, position).values()):
            for _, _, track in self.of(topic, partition):
                track.moving = False

    def _unfinished(self, topic: int, partition: int, position: int) -> dict[int, set[int]]:
        """Binding -> offsets up to a position that it has not finished."""
        found: dict[int, set[int]] = {}
        for number, shape, track in self.of(topic, partition):
            found[number] = set(self.lacking(number, topic, partition, position))
            if shape.keeps:
                landed = max(track.base, track.landed)
                found[number].update(self._between(topic, partition, landed, position))
        return found

    def _see_finished(self, topic: int, partition: int, position: int) -> None:
        for number, offsets in self._unfinished(topic, partition, position).items():
            if offsets:
                self.complain(
                    f"the group's position of topic {topic}[{partition}] is {position}, and "
                    f"binding {number} has not finished {sorted(offsets)}"
                )

    def stored(self, changes: Changes, positions: Mapping[str, Positions]) -> None:
        """The store is written: values and positions, together."""
        values = {
            str(decode_key(key)): self._codec.decode(value)
            for space in changes.values()
            for key, value in space.items()
            if value is not None
        }
        reached = {
            (*self._readers[reader], partition): position
            for reader, places in positions.items()
            for partition, position in places.items()
        }
        for place in self.tracks:
            self._see_written(place, values.get(key_of(place)), reached.get(place))
        self._values.update(values)
        lists = [each for key, each in self._values.items() if key != TOTAL]
        effects = sum(len(each) for each in lists if isinstance(each, tuple))
        if self._values.get(TOTAL, 0) != effects:
            self.complain(
                f"the store counts {self._values.get(TOTAL)} records and holds {effects} effects"
            )

    def _see_written(self, place: Place, value: object, position: int | None) -> None:
        number, topic, partition = place
        before = self._values.get(key_of(place), ())
        after = before if value is None else value
        assert isinstance(before, tuple)
        assert isinstance(after, tuple)
        track = self.tracks[place]
        to = track.landed if position is None else position
        expected = [*before, *self._between(topic, partition, track.landed, to)]
        where = f"binding {number} at topic {topic}[{partition}]"
        if self._in_order(number, after) != self._in_order(number, expected):
            self.complain(
                f"the store's position for {where} goes from {track.landed} to {to}, and its "
                f"effects from {list(before)} to {list(after)}"
            )
        if position is None:
            return
        if position < track.landed:
            self.complain(f"the store's position for {where} goes back to {position}")
        lacking = self.lacking(number, topic, partition, position)
        if lacking:
            self.complain(f"the store's position for {where} is {position}: {lacking} lack outputs")
        track.landed = position

    def _in_order(self, number: int, effects: Iterable[int]) -> list[int]:
        """Effects as they have to be told: side by side they come in any order."""
        return list(effects) if self._shapes[number].width is None else sorted(effects)

    # --- how it ends ----------------------------------------------------------------------

    def see_all(self) -> None:
        """After each step: the group is nowhere beyond the first unfinished record."""
        for topic, group in enumerate(self._world.groups):
            for partition in group.held.keys() & group.committed.keys():
                if all(
                    t.cursor is not None and not t.moving for _, _, t in self.of(topic, partition)
                ):
                    self._see_finished(topic, partition, group.committed[partition])

    def see_nothing_lost(self) -> None:
        """At the end: every record has its effect, and everybody knows."""
        for (number, topic, partition), track in self.tracks.items():
            log, holds = self._world.logs[topic][partition], self._shapes[number].holds or 0
            held_back = sum(s.holds or 0 for _, s, _ in self.of(topic, partition))
            to = log[-1 - holds] if len(log) > holds else -1
            where = f"binding {number} at topic {topic}[{partition}]"
            lacking = self.lacking(number, topic, partition, to)
            if lacking:
                self.complain(f"{where} has lost {lacking}")
            if self._shapes[number].keeps and track.landed < to:
                self.complain(f"the state of {where} ends with {track.landed} and not {to}")
            if len(log) > held_back:
                committed = self._world.groups[topic].committed.get(partition, -1)
                if committed < log[-1 - held_back]:
                    self.complain(f"{where}: the group ends with {committed} of {log}")
            if not self._skipped:
                self._see_each(number, topic, partition, log[: max(0, len(log) - holds)])

    def _see_each(self, number: int, topic: int, partition: int, log: list[int]) -> None:
        """Where nothing was sought: each record is in state once, and in outputs at least once."""
        shape, where = self._shapes[number], f"binding {number} at topic {topic}[{partition}]"
        if shape.keeps:
            effects = self._values.get(key_of((number, topic, partition)), ())
            assert isinstance(effects, tuple)
            if self._in_order(number, effects) != log:
                self.complain(f"the state of {where} is {effects} and not {log}")
        wanted = {(o, part) for o in log for part in range(self.outputs_of(number, o))}
        for sink in range(shape.sinks):
            there = {
                (out.value.offset, out.value.part)
                for out in self._world.outputs.get(f"{number}/{sink}", ())
                if (out.value.topic, out.value.partition) == (topic, partition)
            }
            if wanted - there:
                self.complain(f"sink {sink} of {where} lacks {sorted(wanted - there)}")


def key_of(place: Place) -> str:
    """Where a binding keeps the effects of a partition."""
    return "/".join(map(str, place))
