"""A counting app over real servers that is killed, and whose servers and members come and go.

No record is lost, what is repeated is bounded, and the counts are exact.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.named.backends import Counting, settings
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

RECORDS = 60_000
AHEAD = 22_000
"""Records that may be handled, and sent, and not be finished: those on the way and one read."""

caches = pytest.mark.parametrize("cache", ["rocks", "redis"])


STATIC = 'group_instance_id = "one"'
"""A member with an identity need not wait, started again, until its former self is expelled."""


def counting_app(
    directory: Path,
    cache: str,
    kafka: str,
    redis: str,
    kafka_settings: str = "",
    records: int = RECORDS,
) -> Counting:
    text = settings("kafka", cache, kafka, redis, kafka_settings)
    counting = Counting(directory, text, records)
    counting.fill()
    return counting


def check(counting: Counting, kills: int) -> None:
    """All of it came out; at most what was on the way at each kill came twice."""
    found = counting.outputs()
    inputs = Counter(value.split()[0] for value in found.elements())
    assert len(inputs) == counting.records
    assert counting.counts() == counting.expected()
    # A repeat carries the number it had: state does not count a record twice.
    numbers: dict[str, set[str]] = {}
    for value in found:
        record, number = value.split()
        numbers.setdefault(record, set()).add(number)
    assert all(len(each) == 1 for each in numbers.values())
    assert sum(found.values()) - counting.records <= kills * AHEAD


def reading(process: subprocess.Popen[str]) -> bool:
    """Whether the process has handled something; it may have ended instead."""
    assert process.stdout is not None
    return process.stdout.readline().strip().isdigit()


@caches
def test_kill_9(cache: str, kafka: Kafka, redis: Redis, tmp_path: Path) -> None:
    """Killed at random moments, it loses nothing and counts exactly."""
    counting = counting_app(tmp_path, cache, kafka.address, redis.url, STATIC)
    moments = random.Random(cache)
    kills = 0
    for _ in range(6):
        process = counting.start()
        if reading(process):
            time.sleep(moments.uniform(0.0, 0.4))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 3
    counting.finish()
    check(counting, kills)


@caches
@pytest.mark.servers("kafka")
def test_a_broker_that_restarts(cache: str, redis: Redis, tmp_path: Path) -> None:
    """While its broker is killed and started again the app waits, and goes on."""
    with Kafka() as broker:
        counting = counting_app(tmp_path, cache, broker.address, redis.url)
        process = counting.start()
        assert reading(process)
        for kill in (broker.kill, broker.stop):
            kill()
            time.sleep(1.0)
            broker.start()
            time.sleep(2.0)
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        assert out.endswith("ended\n")
        check(counting, kills=2)


@caches
def test_members_that_come_and_go(cache: str, kafka: Kafka, redis: Redis, tmp_path: Path) -> None:
    """While another member is there the app waits for its partitions; then it goes on.

    Its state is in one place, so that it reads all partitions or none.
    """
    counting = counting_app(tmp_path, cache, kafka.address, redis.url, records=150_000)
    process = counting.start()
    assert reading(process)
    visits = 0
    while process.poll() is None:
        assert visits < 20, "it never gets on"
        visitor = counting.visit()
        assert visitor.stdout is not None
        visitor.stdout.readline()  # it has a share
        time.sleep(0.5)
        visitor.terminate()
        visitor.communicate()
        visits += 1
        time.sleep(0.5)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert visits >= 2
    assert "keeps local state, which needs all 3 partitions" in err
    check(counting, kills=0)
