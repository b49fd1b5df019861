"""Workers that die, hang and are stopped, on Kafka."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.faults.fault import fault
from tests.faults.wanted import Crash, Point
from tests.faults.yard import Yard

DELAYS: Final = (0.0, 0.0005, 0.002)
"""Seconds that a record takes: fast ones come in large batches, slow ones in small."""

RESTART: Final = 10.0
"""Seconds in which a worker that is started again works: most of them are Python's start."""


def load(yard: Yard, **settings: Any) -> None:
    """Prepare topics with some seconds of work in them; how it is done is left to chance."""
    delay = yard.chance.choice(DELAYS)
    commit = yard.chance.choice((0.05, 0.2, 1.0))
    yard.prepare(**{"delay": delay, "commit": commit, **settings})
    yard.fill(2000 if delay else 8000)


@fault(
    "kill -9 at random moments, started again",
    protects="Only what is finished is committed, and state is written with its position.",
    target=RESTART,
    without="flushed before finished",
    quick=True,
)
def kill_at_random(yard: Yard) -> None:
    load(yard)
    for _ in range(3):
        worker = yard.start()
        yard.until_handled(yard.chance.randrange(1, 600))
        moment = yard.kill(worker)
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "kill -9 between two calls of a backend",
    protects="Outputs are durable before state is written, state before positions are committed.",
    target=RESTART,
    without="position with state",
    quick=True,
)
def kill_at_a_call(yard: Yard) -> None:
    points: list[Point] = ["send", "flush", "write", "commit", "accept", "read"]
    load(yard, crashing=True)
    yard.feed(300)  # there is always something to be killed at
    for point in yard.chance.sample(points, 3):
        call = 1 if point == "accept" else yard.chance.randrange(1, 400 if point == "send" else 4)
        worker = yard.start(crash=Crash(point, call, before=yard.chance.random() < 0.5))
        moment = yard.crashed(worker)
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "SIGTERM under load",
    protects="A stop finishes what is in hand, flushes, writes state and commits.",
    target=RESTART,
    without="commit at the stop",
    quick=True,
)
def stop_under_load(yard: Yard) -> None:
    load(yard, cache=yard.chance.choice(("", "", "rocks")), commit=1.0)
    for _ in range(2):
        worker = yard.start()
        yard.until_handled(yard.chance.randrange(1, 400))
        took = yard.terminate(worker)
        moment = time.monotonic()
        if took > worker.wanted.stop:
            yard.complain(f"a stop with nothing in its way took {took:.1f} s")
    yard.start()
    yard.recover(moment)
    yard.finish()
