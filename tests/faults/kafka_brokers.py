"""Brokers that go, come back, hang, and fail over."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.faults.bare_kafka import KafkaLog
from tests.faults.fault import fault
from tests.faults.workers import Worker
from tests.faults.yard import Yard
from tests.servers.cluster import ClusterNode

BACK: Final = 5.0
"""Seconds after which all is well when a broker is: its members have to be let in again."""

DOWN_MOST: Final = 30.0
MEGABYTE: Final = 1 << 20


def working(yard: Yard, **settings: Any) -> Worker:
    """A worker in the middle of its work; orders keep coming."""
    yard.prepare(**{"delay": yard.chance.choice((0.0, 0.0005)), **settings})
    yard.fill(500)
    yard.feed(300)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(100, 700))
    return worker


def down_seconds(yard: Yard) -> float:
    """How long a broker is away: mostly some seconds, now and then half a minute."""
    return DOWN_MOST if yard.chance.random() < 0.1 else yard.chance.uniform(0.5, 4.0)


def holds_no_more(yard: Yard, worker: Worker, before: tuple[int, int]) -> None:
    """See that a worker has not gathered files or memory."""
    files, memory = worker.held()
    if files > before[0] + 5:
        yard.complain(f"a worker had {before[0]} open files and has {files}")
    if memory > before[1] + 64 * MEGABYTE:
        yard.complain(f"a worker has grown by {(memory - before[1]) // MEGABYTE} MB")


@fault(
    "the broker is restarted",
    protects="Clients wait for it, and send again what was not acknowledged.",
    target=BACK,
    without="patience of the producer",
)
def broker_restarted(yard: Yard) -> None:
    worker = working(yard)
    before = worker.held()
    yard.lane.broker.stop()
    time.sleep(down_seconds(yard))
    yard.lane.broker.start()
    yard.recover(time.monotonic())
    yard.until_handled(300)
    holds_no_more(yard, worker, before)
    yard.finish()


@fault(
    "kill -9 of the broker",
    protects="Only what was acknowledged is finished, and what is sent again is written once.",
    target=BACK,
    without="patience of the producer",
    quick=True,
)
def broker_killed(yard: Yard) -> None:
    worker = working(yard)
    before = worker.held()
    yard.lane.broker.kill()
    time.sleep(down_seconds(yard))
    yard.lane.broker.start()
    yard.recover(time.monotonic())
    yard.until_handled(300)
    holds_no_more(yard, worker, before)
    yard.finish()


@fault(
    "the broker hangs for longer than outputs may take, and then does what it was asked for",
    protects="An output that is not acknowledged in time fails its run, whose orders come again.",
    target=10.0,
    without="flushed before finished",
)
def broker_hangs(yard: Yard) -> None:
    # So slow that there is nearly always an output on the way.
    worker = working(yard, delay=0.003, settings={"delivery_timeout_ms": 1500})
    yard.lane.broker.pause()
    moment = yard.fails(worker, "delivery_timeout_ms", note=False)
    time.sleep(yard.chance.uniform(0.0, 1.0))
    yard.lane.broker.resume()
    yard.ended(worker, orderly=False)
    moment = time.monotonic()
    yard.start()
    yard.recover(moment)
    yard.finish()


def on_cluster(yard: Yard) -> tuple[Worker, KafkaLog]:
    """A worker in the middle of its work on three brokers."""
    cluster = yard.lane.cluster
    log = KafkaLog(cluster.address, replicas=3)
    worker = working(yard, log=log, address=cluster.address)
    return worker, log


@fault(
    "kill -9 of one of three brokers: the leader of orders or of results",
    protects="Others have what it had; clients find the new leader.",
    target=10.0,
    without="patience of the producer",
)
def leader_killed(yard: Yard) -> None:
    _, log = on_cluster(yard)
    topic = yard.chance.choice((yard.orders, yard.results))
    node = yard.lane.cluster.node(log.leader(topic, 0))
    node.kill()
    yard.recover_everywhere(time.monotonic())
    node.start()
    yard.finish()


@fault(
    "kill -9 of one of three brokers: the coordinator of the group",
    protects="The group goes on at another one, with its members and its positions.",
    target=10.0,
    without="search for the coordinator",
)
def coordinator_killed(yard: Yard) -> None:
    _, log = on_cluster(yard)
    node = yard.lane.cluster.node(log.leader("__consumer_offsets", 0))
    node.kill()
    yard.recover_everywhere(time.monotonic())
    node.start()
    yard.finish()


@fault(
    "kill -9 of all three brokers",
    protects="Only what was acknowledged is finished, and what is sent again is written once.",
    target=10.0,
    without="patience of the producer",
)
def all_brokers_killed(yard: Yard) -> None:
    on_cluster(yard)
    for node in yard.lane.cluster.nodes:
        node.kill()
    time.sleep(yard.chance.uniform(0.5, 4.0))
    yard.lane.cluster.start()
    yard.recover(time.monotonic())
    yard.finish()


def with_two_replicas(yard: Yard, **settings: Any) -> tuple[Worker, ClusterNode]:
    """A worker in the middle of its work, and the broker without which no output is taken."""
    cluster = yard.lane.cluster
    log = KafkaLog(cluster.address, replicas=2)
    yard.prepare(log=log, address=cluster.address, partitions=1, delay=0.001, **settings)
    yard.fill(2500)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(100, 700))
    return worker, cluster.node(log.follower(yard.results, 0))


@fault(
    "too few replicas are left to take outputs, for a while",
    protects="Outputs that are refused for a while are sent again, in order.",
    target=10.0,
    without="patience of the producer",
)
def replicas_missing(yard: Yard) -> None:
    _, node = with_two_replicas(yard)
    node.kill()
    time.sleep(yard.chance.uniform(3.0, 6.0))
    node.start()
    yard.recover(time.monotonic())
    yard.finish()


@fault(
    "too few replicas are left to take outputs, for longer than these may take",
    protects="Outputs that are not durable fail the run, and are not committed.",
    target=10.0,
    without="flushed before finished",
)
def replicas_missing_for_long(yard: Yard) -> None:
    worker, node = with_two_replicas(yard, settings={"delivery_timeout_ms": 2000})
    node.kill()
    yard.fails(worker, f"the topic {yard.results}", note=False)
    node.start()
    yard.ended(worker, orderly=False)
    moment = time.monotonic()
    yard.start()
    yard.recover(moment)
    yard.finish()
