"""Workers that are told to stop while something keeps them from it."""

from __future__ import annotations

import time
from typing import Final

from tests.faults.fault import fault
from tests.faults.workers import Worker
from tests.faults.yard import Yard

SLACK: Final = 3.0
"""Seconds by which a busy machine may be late."""

RESTART: Final = 10.0


def deadline(worker: Worker) -> float:
    """How long a stop may take: the record in hand, what came before it, the commit, letting go."""
    return worker.wanted.stop + 3 * worker.wanted.close + SLACK


@fault(
    "SIGTERM while a slow handler works",
    protects="The record in hand is waited for.",
    target=RESTART,
    without="the record in hand",
)
def stop_slow_handler(yard: Yard) -> None:
    blocks = yard.chance.random() < 0.5
    # Heartbeats take some turns of the loop, within a session.
    slow = yard.chance.uniform(0.3, 0.5 if blocks else 1.0)
    yard.prepare(delay=slow, blocks=blocks, commit=1.0, cache="")
    yard.fill(400)
    worker = yard.start()
    yard.until_handled(2)
    time.sleep(yard.chance.uniform(0.0, slow))
    yard.terminate(worker, deadline(worker))
    moment = time.monotonic()
    yard.start(delay=0.0)
    yard.recover(moment)
    yard.finish()


@fault(
    "SIGTERM while a handler hangs",
    protects="The record in hand is given up at a deadline; what came before it is committed.",
    target=RESTART,
    without="deadline of the stop",
)
def stop_hung_handler(yard: Yard) -> None:
    yard.prepare(stop=1.0, close=1.0, commit=0.1, cache=yard.chance.choice(("", "rocks", "sqlite")))
    yard.fill(1000)
    hung = yard.chance.randrange(50, 900)
    worker = yard.start(hangs=f"o{hung}")
    worker.until_started()
    time.sleep(1.0)
    yard.terminate(worker, deadline(worker), codes=(3,))
    moment = time.monotonic()
    if "a record was still in hand" not in worker.log:
        yard.complain("the last line does not say that a record was in hand")
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "SIGTERM while a sink has no room",
    protects="What a sink has not taken is unfinished: not committed, and not in the state.",
    target=RESTART,
    without="flushed before finished",
)
def stop_full_sink(yard: Yard) -> None:
    yard.prepare(stop=1.0, close=1.0, commit=0.1, cache=yard.chance.choice(("", "rocks", "sqlite")))
    yard.fill(1000)
    worker = yard.start(full=True)
    yard.until_handled(yard.chance.randrange(1, 500))
    yard.terminate(worker, deadline(worker), codes=(3,))
    if any(yard.log.committed(yard.name, yard.orders).values()):
        yard.complain("orders were committed that a sink had not taken")
    moment = time.monotonic()
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "SIGTERM while the broker is down",
    protects="A stop has a deadline, and what could not be committed comes again.",
    target=RESTART,
    without="deadline of the stop",
)
def stop_broker_down(yard: Yard) -> None:
    yard.prepare(stop=1.0, close=1.0, delay=0.002)
    yard.fill(1500)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(1, 500))
    yard.lane.broker.kill()
    time.sleep(yard.chance.uniform(0.0, 1.0))
    yard.terminate(worker, deadline(worker), codes=(1, 3), note=False)
    yard.lane.broker.start()
    yard.ended(worker, orderly=False)
    moment = time.monotonic()
    yard.start()
    yard.recover(moment)
    yard.finish()
