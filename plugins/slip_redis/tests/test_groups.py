"""Members of a group on Redis that hang, die or come twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from slip_redis.layout import Keys
from slip_redis.topic import RedisTopic

from slipcore.interfaces import ConnectError, Out
from slipcore.testing.reader import Reader, numbered, send
from tests.servers.redis import Redis

from .conftest import MakeTopic
from .test_topic_faults import numbers, run, stream

KILLER = """
import asyncio, os, sys
from pathlib import Path
from slip_redis.settings import RedisTopicOptions
from slip_redis.topic import RedisTopic
from slipcore.testing import LocalScope
from slipcore.testing.reader import Reader

async def main(url, name, group):
    options = RedisTopicOptions(
        url=url, group_id=group, max_deliveries=3, session_timeout=0.3, group_instance_id="one"
    )
    topic = RedisTopic(name, options, LocalScope("tests", Path()))
    async with Reader(topic) as reader:
        while True:
            records = await topic.read(100)
            for record in records:
                if record.value == b"5":
                    os._exit(9)
            await reader.commit(records[-1])
            print(*(record.value.decode() for record in records), flush=True)
            if records[-1].value == b"9":
                break

asyncio.run(main(*sys.argv[1:]))
"""
"""Reads a topic, and dies of the value 5."""

HOLDER = KILLER.replace('b"5"', 'b"never"').replace("session_timeout=0.3", "session_timeout=2")
"""Reads a topic, and does not die of it."""


def start(program: str, redis: Redis, topic: RedisTopic) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", program, redis.url, topic.name, topic._group]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_a_member_that_was_killed_is_replaced(redis: Redis, make_topic: MakeTopic) -> None:
    """When its session has ended the others have its partitions, with what it was handed."""

    async def scenario() -> None:
        async with make_topic(redis.url) as topic:
            await send(topic, *numbered(0, 5))
            with start(HOLDER, redis, topic) as process:
                assert process.stdout is not None
                assert await asyncio.to_thread(process.stdout.readline) == "0 1 2 3 4\n"
                await send(topic, *numbered(5, 8))
                await asyncio.to_thread(process.stdout.readline)
                process.kill()
            await send(topic, *numbered(8, 10))
        began = time.monotonic()
        async with Reader(make_topic(redis.url)) as reader:
            assert await reader.values(2) == [b"8", b"9"]
        assert time.monotonic() - began < 20

    run(scenario())


def test_a_member_that_hung_is_told_that_it_lost(redis: Redis, make_topic: MakeTopic) -> None:
    """Stopped for longer than its session, it finds its partitions lost; then it shares again."""

    async def scenario() -> None:
        one = make_topic(redis.url, session_timeout=0.5, partitions=2)
        async with one, Reader(make_topic(redis.url, session_timeout=0.5, partitions=2)) as two:
            await one.accept(first := await one.assignment(), {})
            assert one._member is not None
            assert one._member._heart is not None
            one._member._heart.stop()
            await two.holds({0, 1})
            await one.commit({0: 5 << 20, 1: 5 << 20}, first.epoch)
            lost = await one.assignment()
            assert (lost.lost, set(lost.removed)) == (True, set(first.added))
            await one.accept(lost, {})
            again = await one.assignment()
            assert list(again.added.values()) == [None]
            await one.accept(again, {})

    run(scenario())


def test_a_busy_loop_is_no_dead_member(redis: Redis, make_topic: MakeTopic) -> None:
    """A handler that blocks the loop for longer than the session keeps its partitions."""

    async def scenario() -> None:
        async with Reader(make_topic(redis.url, session_timeout=0.5)) as reader:
            await reader.joined()
            time.sleep(1.2)  # noqa: ASYNC251  # that is what is tested
            await asyncio.sleep(0.6)
            assert [a.lost for a in reader.assignments] == [False]

    run(scenario())


def test_an_instance_that_lives_is_no_second_time_there(
    redis: Redis, make_topic: MakeTopic
) -> None:
    """A second member of one group_instance_id is refused as soon as the first has shown itself."""

    async def scenario() -> None:
        async with Reader(make_topic(redis.url, group_instance_id="one")) as reader:
            await reader.joined()
            async with make_topic(redis.url, group_instance_id="one") as twin:
                with pytest.raises(ConnectError, match='group_instance_id "one".*already'):
                    await twin.assignment()
            await send(reader.topic, Out(b"v"))
            assert await reader.values(1) == [b"v"]

    run(scenario())


def test_an_instance_that_died_comes_again(
    redis: Redis, make_topic: MakeTopic, caplog: pytest.LogCaptureFixture
) -> None:
    """It has its partitions when the session of the former one has ended, and says so."""

    async def scenario() -> None:
        async with make_topic(redis.url) as topic:
            await send(topic, *numbered(0, 1))
            with start(HOLDER, redis, topic) as process:
                assert process.stdout is not None
                await asyncio.to_thread(process.stdout.readline)
                process.kill()
        async with Reader(make_topic(redis.url, group_instance_id="one")) as reader:
            await reader.holds({0})

    run(scenario())
    assert "waiting whether it lives" in caplog.text


def test_an_instance_that_wakes_up_takes_nothing(redis: Redis, make_topic: MakeTopic) -> None:
    """What a former process of an instance is handed before it knows, its successor takes back."""

    async def scenario() -> None:
        settings = {"group_instance_id": "one", "session_timeout": 0.3}
        former = make_topic(redis.url, **settings)
        async with Reader(former) as asleep:
            await asleep.joined()
            assert former._member is not None
            assert former._reader is not None
            assert former._member._heart is not None
            former._member._heart.stop()
            assert asleep._follower is not None
            asleep._follower.cancel()
            await asyncio.sleep(0.4)
            async with Reader(make_topic(redis.url, **settings)) as successor:
                await successor.joined()
                async with make_topic(redis.url) as sender:
                    for n in range(20):  # both wait for news at the server
                        await send(sender, Out(b"%d" % n))
                        await asyncio.sleep(0.01)
                assert await successor.values(20) == numbers(20)

    run(scenario())


def test_a_killer_is_moved_and_nothing_else(
    redis: Redis, make_topic: MakeTopic, caplog: pytest.LogCaptureFixture
) -> None:
    """After `max_deliveries`, the last of them alone, it stands in the poison stream."""
    topic: RedisTopic = make_topic(redis.url)

    async def fill() -> None:
        async with topic:
            await send(topic, *numbered(0, 10))

    run(fill())
    words = [sys.executable, "-c", KILLER, redis.url, topic.name, topic._group]
    codes, printed = [], []
    for _ in range(4):
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        codes.append(done.returncode)
        printed += done.stdout.split()
    assert codes == [9, 9, 9, 0]
    assert "".join(dict.fromkeys(printed)) == "012346789"
    assert "never finished, the last time alone" in done.stderr
    assert f"of the stream {stream(topic)}" in done.stderr
    ((_, moved),) = redis.execute("XRANGE", Keys(topic.name).poison, "-", "+")
    assert (moved["stream"], moved["deliveries"], moved["value"]) == (stream(topic), "3", "5")


def test_nothing_is_moved_unless_asked_for(redis: Redis, make_topic: MakeTopic) -> None:
    """By default an entry is delivered again for ever."""

    async def scenario() -> None:
        async with make_topic(redis.url) as topic:
            await send(topic, *numbered(0, 2))
        for _ in range(10):
            async with Reader(make_topic(redis.url)) as reader:
                assert await reader.values(2) == numbers(2)

    run(scenario())
