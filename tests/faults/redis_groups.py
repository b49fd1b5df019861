"""Members of a group on Redis that hang, die, and have nothing to do."""

from __future__ import annotations

import time
from typing import Final

from tests.faults.fault import fault
from tests.faults.redis_servers import drained
from tests.faults.state_deaths import RESTART
from tests.faults.topics import SESSION, on_redis
from tests.faults.yard import LEASE, Yard

TAKEN_OVER: Final = SESSION + 3.0
"""Seconds until others have what a silent member had."""


@fault(
    "SIGSTOP of a member of a group on Redis, until others have its partitions; then SIGCONT",
    protects="What it was handed and has not finished goes to others; it finds itself expelled.",
    target=TAKEN_OVER,
    without="takeover of what is pending",
)
def redis_zombie(yard: Yard) -> None:
    commit = yard.chance.choice((0.05, 0.2, 1.0))
    yard.prepare(
        topics=on_redis(yard.lane.redis), partitions=4, cache="", delay=0.001, commit=commit
    )
    yard.fill(200)
    yard.feed(150)
    pair = [yard.start(identity=None) for _ in range(2)]
    for each in pair:
        each.until_started()
    yard.until_handled(yard.chance.randrange(250, 500))
    frozen = yard.chance.choice(pair)
    yard.freeze(frozen)
    yard.recover_everywhere(time.monotonic())
    yard.thaw(frozen)
    yard.until_handled(300)
    drained(yard)


@fault(
    "SIGSTOP of a worker with topics and state on Redis, another one takes over, then SIGCONT",
    protects="Each write of state names its owner; who is not it any more ends, and says so.",
    target=RESTART,
    without="owner of state",
)
def redis_zombie_with_state(yard: Yard) -> None:
    yard.prepare(topics=on_redis(yard.lane.redis), cache="redis", delay=0.001)
    yard.fill(200)
    yard.feed(150)
    former = yard.start(identity=None)
    yard.until_handled(yard.chance.randrange(100, 500))
    yard.freeze(former)
    time.sleep(max(LEASE, SESSION) + 0.5)
    moment = time.monotonic()
    yard.start(identity=None)
    yard.recover(moment)
    yard.thaw(former)
    yard.fails(former, "has a newer owner")
    yard.until_handled(200)
    drained(yard)


@fault(
    "more members than partitions on Redis; kill -9 of the one that works",
    protects="A member without partitions stays, and takes what becomes free.",
    target=TAKEN_OVER,
    without="takeover of what is pending",
)
def redis_idle_member(yard: Yard) -> None:
    yard.prepare(topics=on_redis(yard.lane.redis), partitions=1, cache="", delay=0.001)
    yard.fill(200)
    yard.feed(150)
    worker = yard.start(identity=None)
    yard.until_handled(yard.chance.randrange(50, 200))
    yard.start(identity=None).until_started()
    yard.until_handled(yard.chance.randrange(200, 500))
    yard.recover(yard.kill(worker))
    yard.until_handled(300)
    drained(yard)
