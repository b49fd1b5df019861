"""Redis that goes, comes back, and answers too late, beneath topics and state."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.faults.bare_redis import RedisLog
from tests.faults.fault import fault
from tests.faults.topics import on_redis
from tests.faults.workers import FaultError, Worker
from tests.faults.yard import PATIENCE, Yard
from tests.servers.redis import RedisSentinel

BACK: Final = 5.0
"""Seconds in which clients that pause between their tries are back, a second at the most each."""


def working(yard: Yard, **settings: Any) -> Worker:
    """A worker in the middle of its work, with topics on Redis; orders keep coming."""
    cache = yard.chance.choice(("redis", "redis", "rocks", "sqlite"))
    topics = on_redis(yard.lane.redis)
    commit = yard.chance.choice((0.05, 0.2, 1.0))
    yard.prepare(**{"topics": topics, "cache": cache, "commit": commit, **settings})
    yard.fill(1000)
    yard.feed(300)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(1, 800))
    return worker


def drained(yard: Yard) -> None:
    """Finish, and see that nothing that was handed out is unacknowledged."""
    yard.finish()
    assert isinstance(yard.log, RedisLog)
    left = yard.log.pending(yard.name, yard.orders)
    if left:
        yard.complain(f"{left} entries are pending in the group of the stream")


@fault(
    "the Redis server is restarted, with its append-only file",
    protects="Clients wait for it; a batch or a write whose answer was lost is done once.",
    target=BACK,
    without="patience with Redis",
    quick=True,
)
def redis_restarted(yard: Yard) -> None:
    working(yard)
    yard.lane.redis.stop()
    time.sleep(yard.chance.uniform(0.0, 3.0))
    yard.lane.redis.start()
    yard.recover(time.monotonic())
    drained(yard)


@fault(
    "kill -9 of the Redis server, which then reads its append-only file",
    protects="A batch or a write whose answer was lost is done once, and reading goes on where "
    "the group stands.",
    target=BACK,
    without="patience with Redis",
)
def redis_killed(yard: Yard) -> None:
    working(yard)
    for _ in range(2):
        yard.lane.redis.kill()
        time.sleep(yard.chance.uniform(0.0, 2.0))
        yard.lane.redis.start()
        yard.recover(time.monotonic())
        yard.until_handled(yard.chance.randrange(1, 300))
    drained(yard)


@fault(
    "replies of Redis are lost: what was asked for is done, and nobody is told",
    protects="Batches of outputs have numbers that the server knows; what was handed out and has "
    "not arrived is read again.",
    target=BACK,
    without="batches once",
)
def redis_replies_lost(yard: Yard) -> None:
    proxy = yard.lane.redis_proxy
    url = f"redis://{proxy.address}/0"
    working(yard, topics=on_redis(yard.lane.redis, url), cache="redis", state={"url": url})
    for _ in range(12):
        proxy.drop_replies(yard.chance.randrange(1, 3))
        yard.until_handled(yard.chance.randrange(1, 60))
    drained(yard)


@fault(
    "the Redis server hangs for longer than it may, then does what it was asked for",
    protects="Calls are given up and made again; leases and sessions that have ended are noticed.",
    target=BACK,
)
def redis_hangs(yard: Yard) -> None:
    proxy = yard.lane.redis_proxy
    url = f"redis://{proxy.address}/0"
    working(yard, topics=on_redis(yard.lane.redis, url), cache="redis", state={"url": url})
    for _ in range(2):
        proxy.hang()
        time.sleep(yard.chance.uniform(0.2, 1.8))  # its lease has 2 s
        proxy.forward()
        yard.recover(time.monotonic())
        yard.until_handled(yard.chance.randrange(1, 200))
    drained(yard)


@fault(
    "kill -9 of a master whose replica is in step; a sentinel makes the replica master",
    protects="Clients ask the sentinel anew, and go on with what the replica has.",
    target=10.0,
    without="patience with Redis",
)
def redis_failed_over(yard: Yard) -> None:
    trio = yard.also.enter_context(RedisSentinel())
    url = f"redis+sentinel://{trio.address}/{trio.service}/0"

    def master() -> tuple[str, int]:
        host, port = trio.sentinel.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", trio.service)
        return str(host), int(port)

    topics = on_redis(trio.master, url, master)
    yard.redis_at = master
    working(yard, topics=topics, cache="redis", state={"url": url})
    # What it has acknowledged and not passed on would die with it.
    trio.master.execute("CLIENT", "PAUSE", 5000, "WRITE")
    wait_for_replica(trio)
    trio.master.kill()
    yard.recover(time.monotonic())
    drained(yard)


def wait_for_replica(trio: RedisSentinel) -> None:
    """Wait until the replica has all that its master has; the master takes no writes."""
    deadline = time.monotonic() + PATIENCE
    while True:
        told = [s.execute("INFO", "replication") for s in (trio.master, trio.replica)]
        if told[0]["master_repl_offset"] == told[1]["slave_repl_offset"]:
            return
        if time.monotonic() > deadline:
            raise FaultError("the replica is not in step")
        time.sleep(0.01)
