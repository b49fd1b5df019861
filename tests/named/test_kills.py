"""A counting app over real servers that is killed, and whose servers and members come and go.

No record is lost, what is repeated is bounded, and the counts are exact.
"""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.named.backends import SETTINGS, Counting
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

RECORDS = 30_000
AHEAD = 22_000
"""Records that may be handled, and sent, and not be finished: those on the way and one read."""

caches = pytest.mark.parametrize("cache", ["rocks", "redis"])


def counting_app(directory: Path, cache: str, kafka: str, redis: str) -> Counting:
    settings = SETTINGS.format(topic="kafka", cache=cache, kafka=kafka, redis=redis)
    counting = Counting(directory, settings, RECORDS)
    counting.fill()
    return counting


def check(counting: Counting, kills: int) -> None:
    """All of it came out; at most what was on the way at each kill came twice."""
    found = counting.outputs()
    inputs = Counter(value.split()[0] for value in found.elements())
    assert len(inputs) == RECORDS
    assert counting.counts() == counting.expected()
    # A repeat carries the number it had: state does not count a record twice.
    numbers: dict[str, set[str]] = {}
    for value in found:
        record, number = value.split()
        numbers.setdefault(record, set()).add(number)
    assert all(len(each) == 1 for each in numbers.values())
    assert sum(found.values()) - RECORDS <= kills * AHEAD


def reading(process: subprocess.Popen[str]) -> bool:
    """Whether the process has handled something; it may have ended instead."""
    assert process.stdout is not None
    return process.stdout.readline().strip().isdigit()


@caches
def test_kill_9(cache: str, kafka: Kafka, redis: Redis, tmp_path: Path) -> None:
    """Killed at random moments, it loses nothing and counts exactly."""
    counting = counting_app(tmp_path, cache, kafka.address, redis.url)
    moments = random.Random(cache)
    kills = 0
    for _ in range(5):
        process = counting.start()
        if reading(process):
            time.sleep(moments.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 2
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
    """Another member joins and leaves all the while, and takes over when the first is killed.

    What it has done by then is not in the state of the first one, which does it again.
    """
    counting = counting_app(tmp_path, cache, kafka.address, redis.url)
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            visitor = counting.visit()
            over.wait(2.5)
            visitor.terminate()
            visitor.communicate()
            over.wait(0.5)

    visiting = threading.Thread(target=come_and_go)
    visiting.start()
    try:
        process = counting.start()
        assert reading(process)
        time.sleep(1.5)
        process.kill()
        process.communicate()
        counting.finish(90)
    finally:
        over.set()
        visiting.join()
    check(counting, kills=1)
