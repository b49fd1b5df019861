"""Workers that die around their state, and two that want the same one."""

from __future__ import annotations

import time
from typing import Final, Literal, TypeAlias

from tests.faults.fault import fault
from tests.faults.topics import Topics, on_redis, on_sqlite
from tests.faults.wanted import Crash, Point
from tests.faults.workers import FaultError
from tests.faults.yard import PATIENCE, Yard

Cache: TypeAlias = Literal["rocks", "sqlite", "redis"]
CACHES: Final[tuple[Cache, ...]] = ("rocks", "sqlite", "redis")

RESTART: Final = 10.0
"""Seconds in which a worker that is started again works; a lease may have to end first."""
REFUSED: Final = 2
"""The exit code of an app that can't have what it asks for."""


def away_from_kafka(yard: Yard) -> Topics:
    """Topics on Redis or SQLite."""
    return yard.chance.choice((on_redis(yard.lane.redis), on_sqlite(yard.directory)))


@fault(
    "kill -9 just before or after a write of state, a flush or a commit, on Redis and SQLite",
    protects="State and its position are one write, after the outputs and before the commit.",
    target=RESTART,
    without="position with state",
    quick=True,
)
def kill_around_state(yard: Yard) -> None:
    points: tuple[Point, ...] = ("flush", "write", "commit")
    yard.prepare(topics=away_from_kafka(yard), cache=yard.chance.choice(CACHES), crashing=True)
    yard.fill(3000)
    yard.feed(300)  # there is always something to be killed at
    for point in yard.chance.sample(points, 3):
        crash = Crash(point, yard.chance.randrange(1, 5), before=yard.chance.random() < 0.5)
        moment = yard.crashed(yard.start(crash=crash))
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "kill -9 while a store is opened, or placed where it was",
    protects="Opening changes nothing that a second opening would not find.",
    target=RESTART,
    without="position with state",
)
def kill_while_opening(yard: Yard) -> None:
    points: tuple[Point, ...] = ("attach", "positions", "accept")
    yard.prepare(topics=away_from_kafka(yard), cache=yard.chance.choice(CACHES), crashing=True)
    yard.fill(3000)
    yard.feed(300)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(1, 600))
    yard.kill(worker)
    for point in points:
        moment = yard.crashed(yard.start(crash=Crash(point, 1, yard.chance.random() < 0.5)))
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "kill -9 at any moment of a start",
    protects="Opening changes nothing that a second opening would not find.",
    target=RESTART,
)
def kill_while_starting(yard: Yard) -> None:
    cache = yard.chance.choice(CACHES)
    # Small buffers: there are tables to be read, and some to be written at the opening.
    state = {"write_buffer_size": 65536} if cache == "rocks" else None
    yard.prepare(topics=on_redis(yard.lane.redis), cache=cache, state=state)
    yard.fill(4000)
    yard.feed(200)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(1000, 3000))
    yard.kill(worker)
    for _ in range(3):
        worker = yard.start()
        worker.until_started()
        time.sleep(yard.chance.uniform(0.0, 0.4))
        moment = yard.kill(worker)
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "a second process is started on the state of one that runs",
    protects="State has one owner; who comes second is refused in one sentence.",
    without="one owner",
    quick=True,
)
def two_on_one_state(yard: Yard) -> None:
    cache = yard.chance.choice(CACHES)
    yard.prepare(topics=on_redis(yard.lane.redis), cache=cache, partitions=1)
    yard.fill(500)
    yard.feed(300)
    yard.start()
    yard.until_handled(yard.chance.randrange(1, 400))
    second = yard.start(identity="two")
    code = second.wait(PATIENCE)
    lines = [line for line in second.log.splitlines() if "is in use by process" in line]
    if code != REFUSED or len(lines) != 1:
        raise FaultError(f"A second owner was not refused. {second.told()}")
    yard.ended(second, orderly=True)
    yard.until_handled(300)
    yard.finish()
