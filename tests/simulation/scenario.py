"""What a simulation does: the shape of an app and the steps that happen to it, drawn at random.

A scenario is data. The same random numbers give the same scenario, and any part of its steps is a
scenario too, so that one that fails can be made smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["plain", "async", "generator", "async generator"]
Step: TypeAlias = tuple[str | int | float, ...]
"""A verb and its arguments."""

POINTS: Final = (
    *("before read", "after read", "before commit", "after commit", "before send", "after send"),
    *("before flush", "after flush", "before write", "after write", "before seek", "after seek"),
    *("before accept", "after accept", "before handler", "after handler"),
)
"""Where a process can be made to die: calls of backends and handlers."""

FAULTS: Final = ("handler", "handler", "send", "flush", "flush", "write", "commit", "read")
"""Calls that can be made to fail."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One binding.

    Attributes:
        topics: the numbers of the topics that it reads.
        keeps: whether it keeps state.
        holds: records that its pipe holds back; None: it has no pipe.
        width: records that it has in hand side by side; None: one, in order of delivery.
    """

    kind: Kind
    topics: tuple[int, ...] = (0,)
    keeps: bool = False
    sinks: int = 1
    holds: int | None = None
    width: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """An app, its surroundings, and what happens to it.

    Attributes:
        partitions: of each topic.
        slow: seconds that a call takes at the most.
        timing: what the durations of calls are drawn from.
        retries: how often a record is tried again, by bindings that have no pipe.
    """

    partitions: tuple[int, ...]
    bindings: tuple[Shape, ...]
    commit: float
    commit_records: int | None
    slow: float
    timing: int
    steps: tuple[Step, ...]
    retries: int = 0


def draw(random: Random) -> Scenario:
    """A scenario."""
    topics = 1 if random.random() < 0.7 else 2
    bindings = 1 if random.random() < 0.6 else 2
    scenario = Scenario(
        partitions=tuple(random.randint(1, 3) for _ in range(topics)),
        bindings=tuple(_shape(random, topics) for _ in range(bindings)),
        commit=random.choice((0.05, 1.0, 20.0)),
        commit_records=random.choice((None, None, 1, 4)),
        slow=random.choice((0.0, 0.01, 0.5, 2.0)),
        timing=random.randint(0, 999),
        steps=tuple(_step(random, topics) for _ in range(random.randint(6, 22))),
    )
    shapes = tuple(_widened(s, scenario.timing + n) for n, s in enumerate(scenario.bindings))
    scenario = replace(scenario, bindings=shapes)
    return replace(scenario, retries=2) if scenario.timing % 3 == 0 else scenario


def _widened(shape: Shape, number: int) -> Shape:
    """About a third of all bindings have several records in hand."""
    if not shape.kind.startswith("async") or shape.holds is not None or number % 5 == 0:
        return shape
    return replace(shape, width=1 + number % 7)


def _shape(random: Random, topics: int) -> Shape:
    kinds: tuple[Kind, ...] = ("plain", "plain", "async", "async", "generator", "async generator")
    piped = random.random() < 0.25
    holds = random.choice((0, 0, 1, 3)) if piped else None
    return Shape(
        kind=random.choice(kinds),
        topics=tuple(range(topics)),
        keeps=random.random() < 0.5 and not holds,
        sinks=random.choice((0, 1, 1, 1, 2)),
        holds=holds,
    )


def _step(random: Random, topics: int) -> Step:
    topic, partition = random.randrange(topics), random.randrange(3)
    steps: tuple[tuple[int, Step], ...] = (
        (10, ("produce", topic, partition, random.randint(1, 6), random.choice((0, 0, 1, 3)))),
        (10, ("turns", random.randint(1, 40))),
        (7, ("advance", random.choice((0.001, 0.05, 0.5, 3.0, 3.0, 40.0)))),
        (4, ("idle",)),
        (2, ("pause", topic)),
        (2, ("resume", topic)),
        (3, ("seek", topic, partition, random.randint(0, 12))),
        (2, ("seek in handler", topic, partition, random.randint(0, 12))),
        (3, ("revoke", topic, partition)),
        (2, ("lose", topic, partition)),
        (4, ("give back", topic)),
        (2, ("elsewhere", topic, partition, random.randint(1, 3))),
        (4, ("fail", random.choice(FAULTS), random.randint(1, 6))),
        (2, ("poison", topic, partition, random.randint(1, 2))),
        (2, ("hang", random.choice((5.0, 30.0)))),
        (3, ("crash at", random.choice(POINTS), random.randint(1, 5))),
        (2, ("crash",)),
        (4, ("stop",)),
        (2, ("ask to stop",)),
    )
    weights = [weight for weight, _ in steps]
    return random.choices([step for _, step in steps], weights)[0]


_WORDS: Final = {
    "produce": "topic {0}[{1}] gets {2} records, each behind a gap of {3} offsets",
    "turns": "the event loop makes {0} turns",
    "advance": "{0} s pass",
    "idle": "the app works until it is idle",
    "pause": "topic {0} is paused",
    "resume": "topic {0} is resumed",
    "seek": "topic {0}[{1}] is sought to offset {2}",
    "seek in handler": "the next handler seeks topic {0}[{1}] to offset {2}",
    "revoke": "the group takes topic {0}[{1}] away, in order",
    "lose": "another member takes topic {0}[{1}] over",
    "give back": "the group gives back what it took of topic {0}",
    "elsewhere": "another member finishes up to {2} records of topic {0}[{1}], where it has that",
    "fail": "call {1} of {0} from here on fails",
    "poison": "the last record of topic {0}[{1}] can't be decoded {2} times",
    "hang": "the next handler takes {0} s longer",
    "crash at": "the process dies at pass {1} of: {0}",
    "crash": "the process dies now",
    "stop": "the app is stopped, and waited for",
    "ask to stop": "the app is asked to stop",
}


def in_words(step: Step) -> str:
    """What a step does."""
    return _WORDS[str(step[0])].format(*step[1:])
