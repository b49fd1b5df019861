"""Processes that start together on names that Redis has never heard of."""

from __future__ import annotations

from slipcore.testing.reader import unique
from tests.servers.redis import Redis
from tests.together import NUMBER, Together

CLAIM = """
from slip_redis.settings import RedisStateOptions
from slip_redis.state import RedisStateStore

held = []

def act(line):
    while held:
        held.pop().close()
    url, app = line.split()
    held.append(RedisStateStore(app, RedisStateOptions(url=url, lease=4.0)))
    held[0].attach("a")
    held[0].write({"a": {b"k": b"v"}})
    return held[0].get("a", b"k").decode()
"""

OPEN = """
import asyncio
from pathlib import Path
from slip_redis.settings import RedisTopicOptions
from slip_redis.topic import RedisTopic
from slipcore.interfaces import Out
from slipcore.testing import LocalScope

async def send(url, name):
    options = RedisTopicOptions(url=url, group_id=name, partitions=3)
    async with RedisTopic(name, options, LocalScope("tests", Path())) as topic:
        topic.send(Out(b"v", partition=2))
        await topic.flush()

def act(line):
    asyncio.run(send(*line.split()))
    return "sent"
"""


def test_one_state_is_had_by_one_process(redis: Redis) -> None:
    """The others see that it lives, and are told by whom it is used."""
    with Together(CLAIM) as claimed:
        for _ in range(3):
            answers = sorted(claimed(f"{redis.url} {unique('app')}"))
            assert answers.pop() == "v"
            assert [a for a in answers if not a.startswith("StateInUseError: the state a ")] == []


def test_one_topic_is_made_by_all(redis: Redis) -> None:
    """Whoever comes first makes it, and no record is lost."""
    with Together(OPEN) as opened:
        for _ in range(6):
            name = unique("topic")
            assert opened(f"{redis.url} {name}") == ["sent"] * NUMBER
            (stream,) = redis.execute("KEYS", f"*{name}*:2")
            assert redis.execute("XLEN", stream) == NUMBER
