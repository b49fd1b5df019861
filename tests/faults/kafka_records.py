"""Orders that are bad, topics that refuse, and positions that are not what they were."""

from __future__ import annotations

import time
from typing import Final

from tests.faults.bare_kafka import KafkaLog
from tests.faults.fault import fault
from tests.faults.yard import Yard

RESTART: Final = 10.0


def bare(yard: Yard) -> KafkaLog:
    """The client of the run's broker."""
    assert isinstance(yard.log, KafkaLog)
    return yard.log


@fault(
    "bad orders: handlers raise and hang, bytes are no JSON; and a kill -9",
    protects="A failed try takes its state with it; a letter is durable before its order is "
    "finished.",
    target=RESTART,
    without="undo of a failed try",
    quick=True,
)
def bad_orders(yard: Yard) -> None:
    chance = yard.chance
    policy = chance.choice(("dead letter", "dead letter", "skip"))
    yard.prepare(policy=policy, retries=chance.choice((0, 2)), timeout=0.2, delay=0.0005)
    kinds = ("raises", "raises", "unreadable", "unreadable", "hangs")
    bad = {n: {"bad": chance.choice(kinds)} for n in chance.sample(range(1500), 12)}
    yard.fill(1500, bad)
    worker = yard.start()
    yard.until_handled(chance.randrange(100, 1000))
    moment = yard.kill(worker)
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "positions of the group are set back",
    protects="State keeps its position beside its values, and that one counts.",
    target=RESTART,
    without="position with state",
    quick=True,
)
def positions_set_back(yard: Yard) -> None:
    yard.prepare(delay=0.001, cache=yard.chance.choice(("rocks", "sqlite", "redis")))
    yard.fill(1500)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(100, 1000))
    yard.terminate(worker)
    moment = time.monotonic()
    committed = yard.log.committed(yard.name, yard.orders)
    back = {p: yard.chance.randrange(offset + 1) for p, offset in committed.items()}
    bare(yard).rewind(yard.name, yard.orders, back)
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "orders behind the position are deleted",
    protects="A group goes on where it is, not where its topic begins.",
    target=RESTART,
    without="position of the group",
)
def deleted_behind(yard: Yard) -> None:
    yard.prepare(delay=0.001, cache=yard.chance.choice(("", "", "rocks")))
    yard.fill(1500)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(100, 1000))
    orders = yard.log.read(yard.orders)
    yard.terminate(worker)
    moment = time.monotonic()
    committed = yard.log.committed(yard.name, yard.orders)
    before = {p: yard.chance.randrange(offset + 1) for p, offset in committed.items()}
    bare(yard).truncate(yard.orders, before)
    yard.remember([o for o in orders if o.offset < before.get(o.partition, 0)])
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "orders before the position are deleted that nobody has read",
    protects="A position that is out of range is an error, and no other place is jumped to.",
    target=RESTART,
    without="out of range",
)
def deleted_before(yard: Yard) -> None:
    yard.prepare(delay=0.002, partitions=1, cache="")
    yard.fill(1500)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(50, 500))
    yard.terminate(worker)
    (committed,) = yard.log.committed(yard.name, yard.orders).values()
    beginning = yard.chance.randrange(committed + 1, 1400)
    orders = yard.log.read(yard.orders)
    bare(yard).truncate(yard.orders, {0: beginning})
    yard.fails(yard.start(), f"can't go on at offset {committed} of partition 0")
    gone = [order for order in orders if order.offset < beginning]
    yard.remember(gone)
    yard.forget([(0, offset) for offset in range(committed, beginning)])
    bare(yard).rewind(yard.name, yard.orders, {0: beginning})
    moment = time.monotonic()
    yard.start()
    yard.recover(moment)
    yard.finish()


@fault(
    "a result is larger than its topic takes",
    protects="An output that is refused fails the run, and its order is not committed.",
    target=RESTART,
    without="flushed before finished",
)
def result_too_large(yard: Yard) -> None:
    yard.prepare(delay=0.0005)
    bare(yard).set(yard.results, max_message_bytes="200000")
    yard.fill(1000, {yard.chance.randrange(50, 900): {"size": 300_000}})
    yard.fails(yard.start(), f"the topic {yard.results}")
    bare(yard).set(yard.results, max_message_bytes="1048588")
    moment = time.monotonic()
    yard.start()
    yard.recover(moment)
    yard.finish()
