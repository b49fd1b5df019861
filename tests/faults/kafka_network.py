"""What happens to bytes between a worker and its broker."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.faults.fault import fault
from tests.faults.workers import Worker
from tests.faults.yard import REQUEST_MS, SESSION_MS, Yard

BACK: Final = 5.0
"""Seconds after which all is well when the network is."""
THROTTLED: Final = 10.0
"""Seconds that a broker looks back for what a client is entitled to."""


def behind_proxy(yard: Yard, **settings: Any) -> Worker:
    """A worker in the middle of its work, which reaches its broker by a proxy."""
    delay = yard.chance.choice((0.0, 0.0005))
    address = yard.lane.broker_proxy.address
    yard.prepare(**{"delay": delay, "address": address, **settings})
    yard.fill(500)
    yard.feed(300)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(100, 700))
    return worker


@fault(
    "connections are cut",
    protects="Clients connect again, and send again what was not acknowledged, which is written "
    "once.",
    target=BACK,
    without="idempotence",
    quick=True,
)
def connections_cut(yard: Yard) -> None:
    behind_proxy(yard)
    for _ in range(6):
        yard.lane.broker_proxy.cut()
        yard.recover(time.monotonic())
        time.sleep(yard.chance.uniform(0.0, 0.3))
    yard.finish()


@fault(
    "replies are lost: the broker has done what it was asked for",
    protects="What is sent again is written once; a commit is made again.",
    target=BACK,
    without="idempotence",
    quick=True,
)
def replies_lost(yard: Yard) -> None:
    behind_proxy(yard)
    for _ in range(8):
        yard.lane.broker_proxy.drop_replies(yard.chance.randrange(1, 4))
        yard.recover(time.monotonic())
        time.sleep(yard.chance.uniform(0.0, 0.3))
    yard.finish()


@fault(
    "one of a hundred replies is lost with its connection, for 4 s",
    protects="Clients connect again, and send again what was not acknowledged, which is written "
    "once.",
    target=BACK,
    without="idempotence",
)
def resets(yard: Yard) -> None:
    behind_proxy(yard)
    yard.lane.broker_proxy.reset_share = 0.01
    yard.until_handled(600)
    time.sleep(2.0)
    yard.lane.broker_proxy.reset_share = 0.0
    yard.recover(time.monotonic())
    yard.finish()


@fault(
    "nothing gets through, for less than a request may take",
    protects="A request is waited for; the member keeps its place or joins again.",
    target=BACK,
    without="patience of the producer",
)
def network_hangs(yard: Yard) -> None:
    worker = behind_proxy(yard)
    seconds = yard.chance.uniform(1.0, 4.0)
    committed = yard.committed()
    yard.lane.broker_proxy.hang()
    time.sleep(seconds)
    yard.lane.broker_proxy.forward()
    if seconds > SESSION_MS / 1000 - 1.0:
        yard.expelled(worker, committed)
    yard.recover(time.monotonic())
    yard.finish()


@fault(
    "connections are half open: nothing comes by them any more, and they are not closed",
    protects="A request that is not answered in time is made again on a new connection; a member "
    "that was expelled joins again.",
    target=REQUEST_MS / 1000 + BACK,
    without="deadline of requests",
)
def half_open(yard: Yard) -> None:
    worker = behind_proxy(yard)
    yard.lane.broker_proxy.abandon()
    moment = time.monotonic()
    committed = yard.committed()
    yard.until_handled(1)
    yard.expelled(worker, committed)
    yard.recover(moment)
    yard.finish()


@fault(
    "every reply takes 200 ms",
    protects="Batches are on the way while the next ones are handled, and are waited for.",
    target=BACK,
    without="patience of the producer",
)
def slow_network(yard: Yard) -> None:
    behind_proxy(yard)
    yard.lane.broker_proxy.delay = 0.2
    yard.recover(time.monotonic())
    yard.until_handled(1000)
    yard.finish()


@fault(
    "the broker throttles what it takes and gives, for some seconds",
    protects="A reply that comes late because of a quota is waited for, and nothing is sent twice.",
    target=THROTTLED + BACK,
    without="patience of the producer",
)
def throttled(yard: Yard) -> None:
    behind_proxy(yard)
    quotas = {"producer_byte_rate": 20_000, "consumer_byte_rate": 20_000}
    yard.lane.broker.limit(quotas)
    try:
        time.sleep(yard.chance.uniform(2.0, 5.0))
    finally:
        yard.lane.broker.limit(dict.fromkeys(quotas))
    yard.recover(time.monotonic())
    yard.finish()
