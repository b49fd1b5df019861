"""Whether what is in the topics and the databases is what has to be there.

It knows nothing of the engine: what came in says what has to have come out.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeAlias

import msgspec

from tests.faults.bare import Entry, Offsets
from tests.faults.bare_state import State

Place: TypeAlias = tuple[int, int]
"""Partition and offset of an order."""

SHOWN: Final = 5
"""Places that a complaint names at the most."""


@dataclass(frozen=True, slots=True)
class Order:
    """What came in.

    Attributes:
        bad: how its handling ends, None: well.
    """

    place: Place
    key: str
    id: str
    bad: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What was sent on.

    Attributes:
        stands: where it stands in the topic of results.
        by: the worker that has sent it.
    """

    place: Place
    stands: Place
    timestamp: int
    key: str
    count: int
    by: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at a run: first where its group was, then how long its topics were."""

    committed: Offsets
    results: Offsets
    letters: Offsets


@dataclass(frozen=True, slots=True)
class End:
    """The end of a worker, or of its membership.

    Attributes:
        orderly: whether it had the time to commit what it has finished.
        committed: where its group was afterwards.
        until: what it has written later, in milliseconds since 1970, was not on the way then.
    """

    by: str
    orderly: bool
    committed: Offsets
    until: int | None = None


@dataclass(slots=True)
class Evidence:
    """What a run has left.

    Attributes:
        counts: whether the workers keep state.
        policy: what they do with bad orders.
        committed: where the group is at last.
        states: what the store held whenever nobody had it, the last one at the end.
        forgotten: orders that the topic has lost before they were read.
    """

    counts: bool
    policy: str
    acknowledged: Sequence[str] = ()
    orders: Sequence[Entry] = ()
    results: Sequence[Entry] = ()
    letters: Sequence[Entry] = ()
    committed: Offsets = field(default_factory=dict)
    ends: list[End] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    forgotten: frozenset[Place] = frozenset()


@dataclass(slots=True)
class Verdict:
    """What is wrong, in numbers and in words.

    Attributes:
        bound: how many results might have come twice.
        wrong: keys whose state is not what it has to be.
    """

    records: int = 0
    lost: int = 0
    repeated: int = 0
    bound: int = 0
    wrong: int = 0
    complaints: list[str] = field(default_factory=list)


def judge(evidence: Evidence) -> Verdict:
    """Hold what a run has left against what it was given."""
    orders = [_order(entry) for entry in evidence.orders]
    results = [_result(entry) for entry in evidence.results]
    verdict = Verdict(records=len(orders))
    say = verdict.complaints.append
    due = {o.place: o for o in orders if o.bad is None and o.place not in evidence.forgotten}
    bad = {o.place: o for o in orders if o.bad is not None}
    first: dict[Place, Result] = {}
    for result in sorted(results, key=lambda each: each.stands):
        first.setdefault(result.place, result)

    missing = set(evidence.acknowledged) - {order.id for order in orders}
    if missing:
        say(f"{len(missing)} orders were acknowledged and are not in the topic")
    lost = sorted(due.keys() - first.keys())
    verdict.lost = len(lost)
    if lost:
        say(f"I1: {len(lost)} orders have no result: {_shown(lost)}")
    strange = sorted(first.keys() - due.keys() - evidence.forgotten)
    if strange:
        say(f"I1: {len(strange)} results are of no order that has one: {_shown(strange)}")
    _judge_letters(evidence, bad, verdict)
    _judge_repeats(evidence, results, verdict)
    _judge_order(orders, first, verdict)
    _judge_commits(evidence, due, bad, first, verdict)
    if evidence.counts:
        _judge_state(evidence, orders, results, verdict)
    return verdict


def _judge_letters(evidence: Evidence, bad: dict[Place, Order], verdict: Verdict) -> None:
    found = Counter(_letter_place(entry) for entry in evidence.letters)
    wanted = bad.keys() if evidence.policy == "dead letter" else frozenset()
    lost = sorted(wanted - found.keys())
    verdict.lost += len(lost)
    if lost:
        verdict.complaints.append(f"I1: {len(lost)} bad orders have no letter: {_shown(lost)}")
    strange = sorted(found.keys() - wanted)
    if strange:
        verdict.complaints.append(
            f"I1: {len(strange)} letters are of no bad order: {_shown(strange)}"
        )
    originals = {(e.partition, e.offset): (e.key, e.value) for e in evidence.orders}
    for entry in evidence.letters:
        place = _letter_place(entry)
        if originals.get(place, (entry.key, entry.value)) != (entry.key, entry.value):
            verdict.complaints.append(f"the letter of {place} does not have the order's own bytes")
    unorderly = sum(not end.orderly for end in evidence.ends)
    again = sorted(place for place, times in found.items() if times - 1 > unorderly)
    if again:
        verdict.complaints.append(f"I3: letters came more often than workers died: {_shown(again)}")
    verdict.repeated += found.total() - len(found)


def _judge_repeats(evidence: Evidence, results: Sequence[Result], verdict: Verdict) -> None:
    """A place may come once more for each end that had it on the way or not committed yet."""
    allowed: Counter[Place] = Counter()
    for end in evidence.ends:
        if end.orderly:
            continue
        allowed.update(
            {
                result.place
                for result in results
                if result.by == end.by
                and (end.until is None or result.timestamp <= end.until)
                and result.place[1] >= end.committed.get(result.place[0], 0)
            }
        )
    seen = Counter(result.place for result in results)
    verdict.repeated += len(results) - len(seen)
    verdict.bound = allowed.total()
    beyond = sorted(place for place, times in seen.items() if times - 1 > allowed[place])
    if beyond:
        verdict.complaints.append(
            f"I3: {len(beyond)} results came again although their orders were committed, or "
            f"nothing had happened: {_shown(beyond)}"
        )


def _judge_order(orders: Sequence[Order], first: dict[Place, Result], verdict: Verdict) -> None:
    """What comes first of a key comes out first."""
    by_key: dict[str, list[Place]] = defaultdict(list)
    for order in sorted(orders, key=lambda each: each.place):
        if order.place in first:
            by_key[order.key].append(order.place)
    for key, places in by_key.items():
        late = [b for a, b in pairwise(places) if first[b].stands < first[a].stands]
        if late:
            verdict.complaints.append(
                f"I4: results of {key} are not in the order of their orders: {_shown(late)}"
            )


def _judge_commits(
    evidence: Evidence,
    due: dict[Place, Order],
    bad: dict[Place, Order],
    first: dict[Place, Result],
    verdict: Verdict,
) -> None:
    """A group is never beyond an order whose result was not there yet."""
    letters: dict[Place, Place] = {}
    for entry in evidence.letters:
        letters.setdefault(_letter_place(entry), (entry.partition, entry.offset))
    wanted = [(place, first[place].stands, True) for place in due if place in first]
    if evidence.policy == "dead letter":
        wanted += [(place, letters[place], False) for place in bad if place in letters]
    for number, sample in enumerate(evidence.samples):
        early = [
            place
            for place, stands, is_result in wanted
            if place[1] < sample.committed.get(place[0], 0)
            and stands[1] >= (sample.results if is_result else sample.letters).get(stands[0], 0)
        ]
        if early:
            verdict.complaints.append(
                f"I6: {len(early)} orders were committed before their results were there, at look "
                f"{number}: {_shown(early)}"
            )
            break
    behind = sorted(place for place in due if place[1] >= evidence.committed.get(place[0], 0))
    if behind:
        verdict.complaints.append(
            f"{len(behind)} orders are not committed at the end: {_shown(behind)}"
        )


def _judge_state(
    evidence: Evidence, orders: Sequence[Order], results: Sequence[Result], verdict: Verdict
) -> None:
    """State has each order up to its position once, in order; results carry its numbers."""
    numbers: dict[Place, int] = {}
    for _ in _recounted(orders, None, evidence.forgotten, numbers):
        pass
    unlike = sorted(
        {r.place for r in results if r.place in numbers and numbers[r.place] != r.count}
    )
    if unlike:
        verdict.wrong += len(unlike)
        verdict.complaints.append(
            f"I5: {len(unlike)} results have a wrong number: {_shown(unlike)}"
        )
    for index, state in enumerate(evidence.states):
        expected = dict(_recounted(orders, state.positions, evidence.forgotten, {}))
        wrong = sorted(
            key
            for key in expected.keys() | state.counts.keys()
            if expected.get(key) != _without_ids(state.counts.get(key))
        )
        if wrong:
            verdict.wrong += len(wrong)
            key = wrong[0]
            verdict.complaints.append(
                f"I5: state {index + 1} of {len(evidence.states)} is wrong for {len(wrong)} keys: "
                f"{key} has {_without_ids(state.counts.get(key))}, not {expected.get(key)}"
            )


def _recounted(
    orders: Sequence[Order],
    positions: Offsets | None,
    forgotten: frozenset[Place],
    numbers: dict[Place, int],
) -> Iterator[tuple[str, tuple[int, str]]]:
    """Key -> how many orders it has up to the positions, and the hash of their ids."""
    counts: dict[str, tuple[int, str]] = {}
    for order in sorted(orders, key=lambda each: each.place):
        partition, offset = order.place
        beyond = positions is not None and offset > positions.get(partition, -1)
        if order.bad is not None or beyond or order.place in forgotten:
            continue
        count, before = counts.get(order.key, (0, ""))
        counts[order.key] = (count + 1, chained(before, order.id))
        numbers[order.place] = count + 1
    yield from counts.items()


def chained(before: str, order: str) -> str:
    """The hash of all ids so far, in their order, as a worker is to make it."""
    return hashlib.sha256(f"{before}{order}".encode()).hexdigest()[:16]


def _without_ids(kept: dict[str, Any] | None) -> tuple[int, str] | None:
    return None if kept is None else (kept["count"], kept["hash"])


def _order(entry: Entry) -> Order:
    place = (entry.partition, entry.offset)
    key = (entry.key or b"").decode()
    try:
        found = msgspec.json.decode(entry.value or b"")
    except msgspec.DecodeError:
        return Order(place, key, f"unreadable {place}", "unreadable")
    return Order(place, key, found["id"], found.get("bad"))


def _result(entry: Entry) -> Result:
    found = msgspec.json.decode(entry.value or b"")
    return Result(
        (found["partition"], found["offset"]),
        (entry.partition, entry.offset),
        entry.timestamp,
        (entry.key or b"").decode(),
        found["count"],
        found["by"],
    )


def _letter_place(entry: Entry) -> Place:
    headers = dict(entry.headers)
    return int(headers["slip-dlq-partition"]), int(headers["slip-dlq-offset"])


def _shown(places: Sequence[Place]) -> str:
    shown = ", ".join(f"{partition}@{offset}" for partition, offset in places[:SHOWN])
    return shown if len(places) <= SHOWN else f"{shown}, ..."
