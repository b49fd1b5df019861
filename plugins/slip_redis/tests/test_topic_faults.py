"""What the network, the server and other programs do to a topic on Redis costs no record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from redis import Redis as Client
from slip_redis.layout import Keys
from slip_redis.topic import RedisTopic

from slipcore.interfaces import Out, Record, SinkError, SourceError
from slipcore.testing.reader import Reader, numbered, send
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis

from .conftest import MakeTopic, url_of

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T], seconds: float = 30.0) -> T:
    async def limited() -> T:
        async with asyncio.timeout(seconds):
            return await coroutine

    return asyncio.run(limited())


def stream(topic: RedisTopic, partition: int = 0) -> str:
    return Keys(topic.name).stream(partition)


def numbers(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


def test_a_batch_whose_answer_was_lost_is_there_once(
    redis: Redis, proxy: Proxy, make_topic: MakeTopic
) -> None:
    """The server knows the number of the batch, and adds it no second time."""

    async def scenario() -> None:
        async with make_topic(url_of(proxy)) as topic:
            await send(topic, *numbered(0, 10))
            for start in (10, 20, 30):
                proxy.drop_replies()
                await send(topic, *numbered(start, start + 10))
        async with Reader(make_topic(redis.url)) as reader:
            assert await reader.values(40) == numbers(40)
            assert redis.execute("XLEN", stream(reader.topic)) == 40  # type: ignore[arg-type]  # it is a RedisTopic

    run(scenario())


def test_records_of_a_lost_answer_come_in_their_place(
    redis: Redis, proxy: Proxy, make_topic: MakeTopic
) -> None:
    """What the server takes for delivered is fetched before anything newer."""

    async def scenario() -> None:
        async with make_topic(redis.url) as sender, Reader(make_topic(url_of(proxy))) as reader:
            await reader.joined()
            values: list[bytes] = []
            for start in range(0, 50, 10):
                await asyncio.sleep(0.05)  # the reader waits at the server
                proxy.drop_replies()
                await send(sender, *numbered(start, start + 10))
                values += await reader.values(10)
            assert values == numbers(50)

    run(scenario())


def test_a_reset_connection_costs_nothing(
    redis: Redis, proxy: Proxy, make_topic: MakeTopic
) -> None:
    """Reading and writing go on over connections that are cut again and again."""

    async def scenario() -> None:
        async with make_topic(url_of(proxy)) as sender, Reader(make_topic(url_of(proxy))) as reader:
            await reader.joined()
            for n in range(100):
                sender.send(Out(b"%d" % n))
                if n % 10 == 0:
                    proxy.cut()
                    await sender.flush()
            await sender.flush()
            assert await reader.values(100) == numbers(100)
            assert await reader.silent(0.3)

    run(scenario())


def test_an_idle_reader_waits_less_than_its_socket(
    redis: Redis, make_topic: MakeTopic, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic where nothing happens is no failure, however short `socket_timeout` is."""

    async def scenario() -> None:
        topic = make_topic(redis.url, socket_timeout=0.24)
        async with Reader(topic) as reader:
            await reader.joined()
            with caplog.at_level(logging.DEBUG, "slip_redis"):
                assert await reader.silent(1.5)
            await send(topic, Out(b"v"))
            assert await reader.values(1) == [b"v"]

    run(scenario())
    assert [r.message for r in caplog.records if "failed" in r.message] == []


@pytest.mark.servers("redis")
def test_a_server_that_is_killed_loses_nothing(make_topic: MakeTopic) -> None:
    """What was flushed is read once, in order, over a crash and restart of the server."""

    async def write(topic: RedisTopic) -> None:
        for n in range(300):
            topic.send(Out(b"%d" % n))
            await topic.flush()
            await asyncio.sleep(0.002)

    async def scenario(server: Redis) -> None:
        async with (
            make_topic(server.url, socket_timeout=1.0) as sender,
            Reader(make_topic(server.url, socket_timeout=1.0), patience=20) as reader,
        ):
            await reader.joined()
            writing = asyncio.create_task(write(sender))
            records = await reader.read(50)
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.start)
            records += await reader.read(250)
            await writing
            await reader.commit(records[-1])
            assert [r.value for r in records] == numbers(300)
        async with Reader(make_topic(server.url)) as reader:
            await reader.joined()
            assert reader.assignments[0].added == {0: records[-1].offset}

    with Redis() as server:
        run(scenario(server), 60)


@pytest.mark.servers("redis")
def test_outputs_that_can_not_be_delivered_come_back(make_topic: MakeTopic) -> None:
    """After `delivery_timeout` the flush fails with them, in order, and later ones are taken."""

    async def scenario(server: Redis) -> None:
        topic = make_topic(server.url, delivery_timeout=0.5, socket_timeout=0.3)
        async with topic:
            await send(topic, *numbered(0, 2))
            server.kill()
            for output in numbered(2, 5):
                topic.send(output)
            began = time.monotonic()
            with pytest.raises(SinkError, match=f"{server.address}: it can't be reached") as failed:
                await topic.flush()
            assert time.monotonic() - began < 15
            assert [o.value for o in failed.value.outputs] == [b"2", b"3", b"4"]
            await asyncio.to_thread(server.start)
            await send(topic, *failed.value.outputs)
        async with Reader(make_topic(server.url)) as reader:
            assert await reader.values(5) == numbers(5)

    with Redis() as server:
        run(scenario(server), 60)


def test_what_another_consumer_was_handed_is_taken_back(
    redis: Redis, make_topic: MakeTopic
) -> None:
    """One that was paused over its session takes records it has no right to: none is missing."""

    async def scenario() -> None:
        topic = make_topic(redis.url)
        async with Reader(topic) as reader:
            await reader.joined()
            await topic.pause(frozenset({0}))
            await asyncio.sleep(0.4)  # the call under way ends
            await send(topic, *numbered(0, 10))
            group = topic._group
            words = ("XREADGROUP", "GROUP", group, "ghost", "COUNT", 4, "STREAMS", stream(topic))
            assert len(redis.execute(*words, ">")) == 1
            await topic.resume(frozenset({0}))
            assert await reader.values(10) == numbers(10)
            await reader.commit(*[Record(offset=2**62)])
            pending = redis.execute("XPENDING", stream(topic), group)
            assert pending["pending"] == 0

    run(scenario())


def test_redis_sees_what_is_pending(redis: Redis, make_topic: MakeTopic) -> None:
    """What is read and not committed is pending in the stream's own consumer group."""

    async def scenario() -> None:
        topic = make_topic(redis.url)
        async with Reader(topic) as reader:
            await send(topic, *numbered(0, 10))
            records = await reader.read(10)
            await reader.commit(records[6])
            pending = redis.execute("XPENDING", stream(topic), topic._group)
            assert pending["pending"] == 3

    run(scenario())


def test_trimmed_records_are_missed(redis: Redis, make_topic: MakeTopic) -> None:
    """A group whose position was trimmed away is told so, and does not go on elsewhere."""

    async def scenario() -> None:
        async with Reader(make_topic(redis.url)) as reader:
            await send(reader.topic, *numbered(0, 10))
            records = await reader.read(10)
            await reader.commit(records[3])
        assert redis.execute("XTRIM", stream(make_topic(redis.url)), "MAXLEN", 3) == 7
        async with Reader(make_topic(redis.url)) as reader:
            await reader.joined()
            said = f"can't go on after offset {records[3].offset} of partition 0.*it has "
            with pytest.raises(SourceError, match=said):
                await reader.read(1)

    run(scenario())


def test_what_was_trimmed_can_not_be_sought(redis: Redis, make_topic: MakeTopic) -> None:
    """The seek itself is refused, and reading goes on where it was; what is kept can be sought."""

    async def scenario() -> None:
        async with Reader(make_topic(redis.url)) as reader:
            await send(reader.topic, *numbered(0, 10))
            records = await reader.read(8)
            redis.execute("XTRIM", stream(make_topic(redis.url)), "MAXLEN", 5)
            with pytest.raises(SourceError, match="can't go on after offset"):
                await reader.topic.seek({0: records[3].offset})
            assert await reader.values(2) == [b"8", b"9"]
            await reader.topic.seek({0: records[5].offset})
            assert await reader.values(2) == [b"5", b"6"]

    run(scenario())


def test_records_trimmed_before_they_were_read_are_missed(
    redis: Redis, make_topic: MakeTopic
) -> None:
    """A reader that falls behind what is kept fails, after what it has."""

    async def scenario() -> None:
        topic = make_topic(redis.url)
        async with Reader(topic) as reader:
            await send(topic, *numbered(0, 5))
            await reader.read(5)
            await topic.pause(frozenset({0}))
            await asyncio.sleep(0.4)  # the call under way ends
            await send(topic, *numbered(5, 20))
            redis.execute("XTRIM", stream(topic), "MAXLEN", 3)
            await topic.resume(frozenset({0}))
            with pytest.raises(SourceError, match="what lay between is removed"):
                await reader.read(1)

    run(scenario())


@pytest.mark.parametrize("settings", [{"max_length": 100}, {"max_age": 0.05}])
def test_who_has_read_what_is_trimmed_has_missed_nothing(
    redis: Redis, make_topic: MakeTopic, settings: dict[str, Any]
) -> None:
    """A group that stands exactly where the topic was trimmed goes on, also after a restart."""

    async def scenario() -> None:
        for start in range(0, 400, 100):
            async with Reader(make_topic(redis.url, **settings)) as reader:
                await reader.joined()
                await send(reader.topic, *numbered(start, start + 100))
                records = await reader.read(100)
                assert [r.value for r in records] == numbers(start + 100)[start:]
                await reader.commit(records[-1])
                await asyncio.sleep(0.1)
                first = redis.execute("XRANGE", stream(make_topic(redis.url)), "-", "+")[0]
                assert (first[1]["value"] == "0") == (start == 0)

    run(scenario())


@pytest.mark.parametrize("settings", [{"max_length": 100}, {"max_age": 0.05}])
def test_who_has_not_read_what_is_trimmed_has_missed_it(
    redis: Redis, make_topic: MakeTopic, settings: dict[str, Any]
) -> None:
    """A group of which one record was trimmed unread is told so."""

    async def scenario() -> None:
        async with Reader(make_topic(redis.url)) as reader:
            await send(reader.topic, *numbered(0, 100))
            records = await reader.read(100)
            await reader.commit(records[98])
        async with make_topic(redis.url, **settings) as topic:
            await asyncio.sleep(0.1)
            await send(topic, *numbered(100, 200))
        async with Reader(make_topic(redis.url)) as reader:
            await reader.joined()
            with pytest.raises(SourceError, match=f"after offset {records[98].offset}"):
                await reader.read(1)

    run(scenario())


def test_a_topic_keeps_about_as_much_as_it_should(redis: Redis, make_topic: MakeTopic) -> None:
    """`max_length` and `max_age` trim with each flush; without them all is kept."""

    async def scenario(**settings: Any) -> int:
        async with make_topic(redis.url, **settings) as topic:
            await send(topic, *numbered(0, 1_000))
            await asyncio.sleep(0.02)
            await send(topic, *numbered(0, 1))
            return int(redis.execute("XLEN", stream(topic)))

    assert run(scenario()) == 1_001
    assert 100 <= run(scenario(max_length=100)) <= 300
    assert run(scenario(max_age=0.01)) <= 200


def test_a_foreign_entry_is_named(redis: Redis, make_topic: MakeTopic) -> None:
    """What another program wrote into the stream is an error, after the records before it."""

    async def scenario() -> None:
        topic = make_topic(redis.url)
        async with Reader(topic) as reader:
            await reader.joined()
            await send(topic, Out(b"v"))
            entry = redis.execute("XADD", stream(topic), "*", "temperature", "20")
            assert await reader.values(1) == [b"v"]
            with pytest.raises(SourceError, match=f"entry {entry} that is no record"):
                await reader.read(1)

    run(scenario())


@pytest.mark.parametrize("instance", [None, "one"])
def test_a_foreign_entry_that_was_removed_is_passed(
    redis: Redis, make_topic: MakeTopic, instance: str | None
) -> None:
    """Removed as the error says, although it was delivered, it holds nothing up."""

    async def scenario() -> None:
        settings = {"group_instance_id": instance, "session_timeout": 0.5}
        async with Reader(make_topic(redis.url, **settings)) as reader:
            await send(reader.topic, Out(b"1"))
            await reader.commit(*await reader.read(1))
            entry = redis.execute("XADD", stream(make_topic(redis.url)), "*", "temperature", "20")
            with pytest.raises(SourceError):
                await reader.read(1)
        redis.execute("XDEL", stream(make_topic(redis.url)), entry)
        async with Reader(make_topic(redis.url, **settings)) as reader:
            await send(reader.topic, Out(b"2"))
            records = await reader.read(1)
            assert [r.value for r in records] == [b"2"]
            await reader.commit(records[0])
            pending = redis.execute("XPENDING", stream(make_topic(redis.url)), reader.topic._group)  # type: ignore[attr-defined]  # it is a RedisTopic
            assert pending["pending"] == 0

    run(scenario())


@pytest.mark.parametrize(
    "output",
    [
        Out(b"v", timestamp="2024-01-01"),  # type: ignore[arg-type]  # what is refused
        Out(b"v", headers={"a": b"1"}),  # type: ignore[arg-type]  # what is refused
        Out(b"v", headers=(("a", "1"),)),  # type: ignore[arg-type]  # what is refused
    ],
)
def test_an_output_that_can_not_be_written(
    redis: Redis, make_topic: MakeTopic, output: Out
) -> None:
    """It is refused by `send`, and costs the outputs before and after it nothing."""

    async def scenario() -> None:
        async with Reader(make_topic(redis.url)) as reader:
            reader.topic.send(Out(b"before"))
            with pytest.raises(SinkError, match="takes headers that are pairs") as refused:
                reader.topic.send(output)
            assert refused.value.outputs == (output,)
            await send(reader.topic, Out(b"after"))
            assert await reader.values(2) == [b"before", b"after"]

    run(scenario())


def test_who_waits_for_room_takes_no_failure_away(redis: Redis, make_topic: MakeTopic) -> None:
    """What was handed over and is lost is told by `flush`, to all who have handed over."""

    async def scenario() -> None:
        async with make_topic(redis.url) as topic:
            redis.execute("SET", stream(topic), "no stream")
            waiting, sent = None, 0
            while waiting is None:
                waiting, sent = topic.send(Out(b"v")), sent + 1
            with pytest.raises(SinkError, match="another program uses a key"):
                await waiting
            with pytest.raises(SinkError, match="another program uses a key") as lost:
                await topic.flush()
            assert len(lost.value.outputs) == sent

    run(scenario())


def test_ids_beyond_an_offset(redis: Redis, make_topic: MakeTopic) -> None:
    """A second number over 2**20 is left behind in writing, and refused in reading."""

    async def scenario() -> None:
        ahead = int(time.time() * 1000) + 3_600_000
        topic = make_topic(redis.url)
        async with topic:
            fields = ("timestamp", "1", "value", "a")
            redis.execute("XADD", stream(topic), f"{ahead}-1048574", *fields)
            await send(topic, *numbered(0, 3))
        async with Reader(make_topic(redis.url)) as reader:
            records = await reader.read(4)
            assert [r.value for r in records] == [b"a", b"0", b"1", b"2"]
            assert [r.offset - (ahead << 20) for r in records] == [
                1048574, 1048575, 1 << 20, (1 << 20) + 1,
            ]  # fmt: skip
            redis.execute("XADD", stream(topic), f"{ahead + 9}-1048576", *fields)
            with pytest.raises(SourceError, match=f"entry {ahead + 9}-1048576, which can't"):
                await reader.read(1)

    run(scenario())


def test_deliveries_are_counted_over_restarts(redis: Redis, make_topic: MakeTopic) -> None:
    """A member that starts where the former one stood leaves the counters as they were."""

    async def read() -> RedisTopic:
        topic = make_topic(redis.url)
        async with Reader(topic) as reader:
            assert await reader.values(2) == numbers(2)
        return topic

    async def scenario() -> None:
        async with make_topic(redis.url) as topic:
            await send(topic, *numbered(0, 2))
        for _ in range(3):
            topic = await read()
        with Client.from_url(redis.url) as client:
            found = client.xpending_range(stream(topic), topic._group, "-", "+", 10)
        assert [entry["times_delivered"] for entry in found] == [3, 3]

    run(scenario())
