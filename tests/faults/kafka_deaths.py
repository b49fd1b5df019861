"""Workers that die, hang and are stopped, on Kafka."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from tests.faults.fault import fault
from tests.faults.wanted import Crash, Point
from tests.faults.yard import LEASE, SESSION_MS, Yard

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
    yard.feed(300)  # so that there is always something under way


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


@fault(
    "kill -9 of one of two members",
    protects="Who does not say that it lives loses its partitions to others, who go on where it "
    "had committed.",
    target=SESSION_MS / 1000 + 3,
    without="position of the group",
)
def take_over(yard: Yard) -> None:
    yard.prepare(partitions=4, cache="", delay=0.001)
    yard.fill(200)
    yard.feed(300)
    pair = [yard.start(identity=None) for _ in range(2)]
    for each in pair:
        each.until_started()
    yard.until_handled(yard.chance.randrange(300, 800))
    yard.recover_everywhere(yard.kill(yard.chance.choice(pair)))
    yard.finish()


@fault(
    "kill -9 of the only one of two members that has a partition",
    protects="A member without partitions stays in the group, and is given them later.",
    target=SESSION_MS / 1000 + 3,
    without="later assignments",
)
def idle_member(yard: Yard) -> None:
    yard.prepare(partitions=1, cache="", delay=0.001)
    yard.fill(200)
    yard.feed(300)
    pair = [yard.start(identity=None) for _ in range(2)]
    for each in pair:
        each.until_started()
    yard.until_handled(yard.chance.randrange(600, 900))
    last = json.loads(yard.log.read(yard.results)[-1].value or b"")["by"]
    active = next(each for each in pair if each.name == last)
    yard.recover(yard.kill(active))
    yard.finish()


@fault(
    "SIGSTOP for longer than the session, then SIGCONT; another member took over",
    protects="What a member commits that the group has given up is refused, and it starts again "
    "where the group is.",
    target=RESTART,
    without="position of the group",
)
def zombie(yard: Yard) -> None:
    yard.prepare(partitions=4, cache="", delay=0.001, commit=yard.chance.choice((0.05, 0.2, 1.0)))
    yard.fill(200)
    yard.feed(300)
    pair = [yard.start(identity=None) for _ in range(2)]
    for each in pair:
        each.until_started()
    yard.until_handled(yard.chance.randrange(300, 800))
    frozen = yard.chance.choice(pair)
    yard.freeze(frozen)
    moment = time.monotonic()
    yard.recover_everywhere(moment)
    yard.thaw(frozen)
    yard.until_handled(1000)
    yard.finish()


@fault(
    "SIGSTOP of a worker with state, another one takes over, then SIGCONT",
    protects="State has one owner, whom each write has to name; who is not it any more ends, and "
    "says so.",
    target=RESTART,
    without="owner of state",
)
def zombie_with_state(yard: Yard) -> None:
    yard.prepare(cache="redis", delay=0.001)
    yard.fill(200)
    yard.feed(300)
    former = yard.start(identity=None)
    yard.until_handled(yard.chance.randrange(100, 500))
    yard.freeze(former)
    time.sleep(LEASE + 0.5)  # its lease on the state has to run out
    moment = time.monotonic()
    yard.start(identity=None)
    yard.recover(moment)
    yard.thaw(former)
    yard.fails(former, "has a newer owner")
    yard.until_handled(200)
    yard.finish()


@fault(
    "members that come and go every second or two, some by kill -9",
    protects="Partitions that go to others are finished and committed first.",
    target=RESTART,
    without="handover",
)
def rebalance_storm(yard: Yard) -> None:
    yard.prepare(partitions=4, cache="", delay=0.001)
    yard.fill(200)
    yard.feed(300)
    members = [yard.start(identity=None)]
    for _ in range(5):
        time.sleep(yard.chance.uniform(0.8, 2.0))
        if len(members) > 1 and yard.chance.random() < 0.6:
            leaver = members.pop(yard.chance.randrange(len(members)))
            if yard.chance.random() < 0.3:
                yard.kill(leaver)
            else:
                yard.terminate(leaver)
        else:
            members.append(yard.start(identity=None))
    yard.recover_everywhere(time.monotonic())
    yard.finish()


@fault(
    "an order that takes longer than the session of the member",
    protects="The member's heartbeats go on beside the handler: it keeps its partitions.",
    without="heartbeats beside the handler",
)
def long_handler(yard: Yard) -> None:
    seconds = SESSION_MS / 1000 * 1.7
    yard.prepare(partitions=2, delay=0.001, cache=yard.chance.choice(("", "rocks")))
    yard.fill(800, {yard.chance.randrange(100, 700): {"takes": seconds}})
    yard.start(identity=None)
    yard.until_handled(50)
    yard.finish()


@fault(
    "an order that blocks the process for longer than the session of the member",
    protects="A member that was expelled joins again, and goes on where the group is.",
    target=RESTART,
    without="position of the group",
)
def blocking_handler(yard: Yard) -> None:
    seconds = SESSION_MS / 1000 * 1.7
    special = yard.chance.randrange(100, 300)
    yard.prepare(partitions=2, delay=0.001, blocks=True, cache=yard.chance.choice(("", "rocks")))
    yard.fill(600, {special: {"takes": seconds}})
    worker = yard.start(identity=None)
    yard.until_handled(special // 4)
    time.sleep(SESSION_MS / 1000)
    # Where the group was when the worker fell silent nobody saw: all of it may come again, once.
    yard.expelled(worker, {}, seconds)
    yard.recover(time.monotonic())
    yard.finish()
