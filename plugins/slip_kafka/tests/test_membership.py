"""A member of a consumer group on a real broker: what is lost, late, stuck or doubled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from slip_kafka import membership
from slip_kafka.topic import KafkaTopic

from slipcore.interfaces import ConnectError, Out, SourceError
from slipcore.testing import MakeTopic, Reader
from slipcore.testing.reader import numbered, send
from tests.servers.kafka import Kafka

from .plain import run


def opened(reader: Reader) -> Any:
    """What a topic reads with: the plugin's own, for faults that no server makes on request."""
    assert isinstance(reader.topic, KafkaTopic)
    return reader.topic._opened()


def inside(reader: Reader) -> Any:
    """The client's consumer that a topic reads with."""
    return opened(reader)._joined().consumer


@asynccontextmanager
async def admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def members(kafka: Kafka, group: str) -> int:
    async with admin(kafka) as client:
        (answer,) = await client.describe_consumer_groups([group])
        return len(answer.groups[0][5])


def test_topics_of_an_app_are_read_by_one_member(
    make_topic: MakeTopic, kafka: Kafka, name: str, group: str
) -> None:
    """Topics with equal settings join the group once; what each gives is its own."""

    async def scenario() -> None:
        topics = [Reader(make_topic(f"{name}-{n}", group, 2)) for n in range(3)]
        for reader in topics:
            await reader.__aenter__()
        try:
            await asyncio.gather(*(reader.holds({0, 1}) for reader in topics))
            assert await members(kafka, group) == 1
            for n, reader in enumerate(topics):
                await send(reader.topic, Out(b"%d" % n))
            assert [await reader.values(1) for reader in topics] == [[b"0"], [b"1"], [b"2"]]
        finally:
            await asyncio.gather(*(reader.__aexit__() for reader in topics))
        assert await members(kafka, group) == 0

    run(scenario())


@pytest.mark.parametrize("is_new", [True, False])
def test_a_member_that_ends_while_its_group_waits_for_another(
    is_new: bool, make_topic: MakeTopic, kafka: Kafka, name: str, group: str
) -> None:
    """It leaves at once, and the group does not count it until its session is over."""

    async def scenario() -> None:
        holding, other, new = (Reader(make_topic(name, group, 2)) for _ in range(3))
        ends, stays = (new, other) if is_new else (other, new)
        async with holding, other:
            await holding.until(lambda it: len(it.held) == 1)
            await other.until(lambda it: len(it.held) == 1)
            holding.ready.clear()
            async with new:
                await holding.until(lambda it: bool(it.assignments[-1].removed))
                await other.until(lambda it: not it.held)
                await asyncio.sleep(0.5)  # for both to ask to be let in
                assert await members(kafka, group) == 3
                began = time.monotonic()
                await ends.__aexit__()
                assert time.monotonic() - began < 2.0
                assert await members(kafka, group) == 2
                holding.ready.set()
                await stays.until(lambda it: len(it.held) == 1)
                await holding.until(lambda it: len(it.held) == 1)

    run(scenario())


def test_a_topic_that_joins_costs_the_others_nothing(
    make_topic: MakeTopic, name: str, group: str
) -> None:
    """What they have finished is committed before the group is told of it, and not read again."""

    async def scenario() -> None:
        async with Reader(make_topic(f"{name}-1", group, 1)) as one:
            await one.holds({0})
            await send(one.topic, *numbered(0, 3))
            records = await one.read(3)
            one.ready.clear()
            async with Reader(make_topic(f"{name}-2", group, 1)) as two:
                await one.until(lambda it: bool(it.assignments[-1].removed))
                await one.commit(records[1])
                one.ready.set()
                await two.holds({0})
                await one.until(lambda it: it.held == {0} and len(it.assignments) == 3)
                assert one.assignments[-1].added == {0: records[1].offset}
                assert await one.values(1) == [b"2"]

    run(scenario())


def test_a_topic_that_leaves_and_comes_back_at_once(
    make_topic: MakeTopic, name: str, group: str
) -> None:
    """It is read again, while others keep the member in its group."""

    async def scenario() -> None:
        async with Reader(make_topic(f"{name}-1", group, 1)) as one:
            for n in range(3):
                async with Reader(make_topic(f"{name}-2", group, 1)) as two:
                    await two.holds({0})
                    await send(two.topic, Out(b"%d" % n))
                    (record,) = await two.read(1)
                    assert record.value == b"%d" % n
                    await two.commit(record)
            await one.holds({0})

    run(scenario())


def test_nothing_is_read_before_it_is_placed(make_topic: MakeTopic, name: str, group: str) -> None:
    """However long the engine takes to place a partition, and the member stays in its group."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1)) as reader:
            await reader.joined()
            await send(reader.topic, *numbered(0, 3))
            await reader.commit((await reader.read(3))[1])
        reader = Reader(make_topic(name, group, 1), positions={0: 0})
        reader.ready.clear()
        async with reader:
            await reader.until(lambda it: bool(it.assignments))
            assert await reader.silent(7.0)  # longer than the session
            reader.ready.set()
            assert await reader.values(2) == [b"1", b"2"]
            assert len(reader.assignments) == 1

    run(scenario())


def test_an_error_in_a_callback_is_raised(
    make_topic: MakeTopic, name: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client logs it and goes on; here it stops who reads."""

    def broken(*args: object) -> None:
        raise ZeroDivisionError("in a callback")

    async def scenario() -> None:
        monkeypatch.setattr("slip_kafka.reading.Reader.assign", broken)
        async with make_topic(name, group, 1) as topic:
            with pytest.raises(SourceError, match="in a callback"):
                await topic.assignment()
            with pytest.raises(SourceError, match="in a callback"):
                await topic.read(1)

    run(scenario())


def test_a_handover_has_a_deadline(make_topic: MakeTopic, name: str, group: str) -> None:
    """A record that is never finished does not keep the group from its partitions."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 2)) as one:
            await one.holds({0, 1})
            epoch = one.epoch
            await send(one.topic, *numbered(0, 2, 0), *numbered(0, 2, 1))
            records = await one.read(4)
            one.ready.clear()
            async with Reader(make_topic(name, group, 2)) as two:
                began = time.monotonic()
                await two.until(lambda reader: len(reader.held) == 1)
                assert time.monotonic() - began < 6.0  # the session
                await one.commit(*(r for r in records if r.value == b"1"))
                await one.topic.commit({0: 1, 1: 1}, epoch)  # both are too late
                (theirs,) = two.held
                assert two.assignments[-1].added == {theirs: None}
                one.ready.set()
                await one.until(lambda reader: reader.held == {0, 1} - {theirs})

    run(scenario())


def test_a_commit_that_is_under_way_does_not_outlive_its_generation(
    make_topic: MakeTopic, name: str, group: str
) -> None:
    """The broker checks the generation, not who has the partition: a late one would be taken."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 2)) as one:
            await one.holds({0, 1})
            await send(one.topic, *numbered(0, 3, 0), *numbered(0, 3, 1))
            records = await one.read(6)
            lock = inside(one)._coordinator._commit_lock
            await lock.acquire()  # as another commit does that takes its time
            committing = asyncio.create_task(one.commit(*(r for r in records if r.value == b"2")))
            async with Reader(make_topic(name, group, 2)) as two:
                await two.until(lambda reader: len(reader.held) == 1)
                await one.until(lambda reader: len(reader.held) == 1)
                lock.release()
                await committing
                (theirs,) = two.held
                assert await two.values(1) == [b"0"]
            await one.holds({0, 1})
            assert one.assignments[-1].added[theirs] is None

    run(scenario())


@pytest.mark.parametrize("instance_id", [None, "a"], ids=["dynamic", "static"])
def test_a_member_that_was_expelled_is_told_so(
    instance_id: str | None, make_topic: MakeTopic, name: str, group: str
) -> None:
    """A loop that stood still for longer than the session has lost its partitions."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1, group_instance_id=instance_id)) as reader:
            await reader.holds({0})
            await send(reader.topic, *numbered(0, 3))
            first = await reader.read(2)
            await reader.commit(first[0])
            epoch = reader.epoch
            time.sleep(8.0)  # noqa: ASYNC251  # this is what a handler must not do
            await reader.until(lambda it: any(a.lost for a in it.assignments))
            await reader.topic.commit({0: first[1].offset}, epoch)
            await reader.until(lambda it: it.held == {0} and len(it.assignments) > 2)
            assert reader.assignments[-1].added == {0: first[0].offset}
            assert await reader.values(2) == [b"1", b"2"]

    run(scenario())


@pytest.mark.parametrize(
    "task",
    [
        lambda consumer: consumer._fetcher._fetch_task,
        lambda consumer: consumer._coordinator._coordination_task,
    ],
    ids=["fetcher", "coordination"],
)
def test_a_client_that_died_is_replaced(
    task: Callable[[Any], asyncio.Task[None]],
    make_topic: MakeTopic,
    name: str,
    group: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was not committed comes again, and what comes after it."""
    monkeypatch.setattr(membership, "STUCK_SECONDS", 1.0)

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1)) as reader:
            await reader.holds({0})
            await send(reader.topic, *numbered(0, 2))
            await reader.commit((await reader.read(2))[0])
            task(inside(reader)).cancel()
            await asyncio.sleep(0)
            await send(reader.topic, *numbered(2, 4))
            records: list[Any] = []
            while len(records) < 3:
                records = [*records, *await reader.read(1)][-3:]
            assert [r.value for r in records] == [b"1", b"2", b"3"]
            assert reader.assignments[1].lost

    run(scenario())


@pytest.mark.parametrize("waits", [False, True])
def test_a_read_that_begins_while_the_client_is_replaced(
    waits: bool, make_topic: MakeTopic, name: str, group: str
) -> None:
    """It waits for the new one, whether it was to look only, or to wait for records."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1)) as reader:
            await send(reader.topic, *numbered(0, 2))
            await reader.commit((await reader.read(2))[0])
            inner = opened(reader)
            fetch, replacing = inner._fetch, list[asyncio.Task[None]]()

            async def replaced_meanwhile(places: Any, at_most: int, timeout_ms: int) -> Any:
                if not replacing and bool(timeout_ms) == waits:
                    replacing.append(asyncio.create_task(inner._joined()._rebuild("of a test")))
                    await asyncio.sleep(0)
                return await fetch(places, at_most, timeout_ms)

            inner._fetch = replaced_meanwhile
            reading = asyncio.create_task(reader.topic.read(10))
            await reader.until(lambda it: len(it.assignments) > 2)
            first = await reading
            await send(reader.topic, *numbered(2, 3))
            values = [record.value for record in first]
            assert values + await reader.values(2 - len(first)) == [b"1", b"2"]
            await asyncio.gather(*replacing)

    run(scenario())


def test_a_seek_in_the_middle_of_which_the_client_is_replaced(
    make_topic: MakeTopic, name: str, group: str
) -> None:
    """It says that it could not be done, and what is read goes on."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1)) as reader:
            await send(reader.topic, *numbered(0, 2))
            await reader.commit((await reader.read(2))[0])
            member = opened(reader)._joined()
            ends, replacing = member.ends, list[asyncio.Task[None]]()

            async def replaced_meanwhile(partitions: Collection[Any]) -> Any:
                replacing.append(asyncio.create_task(member._rebuild("of a test")))
                await asyncio.sleep(0)
                return await ends(partitions)

            member.ends = replaced_meanwhile
            with pytest.raises(ConnectError, match="its client has ended"):
                await reader.topic.seek({0: 0})
            member.ends = ends
            await asyncio.gather(*replacing)
            assert await reader.values(1) == [b"1"]

    run(scenario())


def test_what_a_cancelled_read_had_is_not_given_after_a_seek(
    make_topic: MakeTopic, name: str, group: str
) -> None:
    """A seek cancels the read that waits; what that one had just got is from the old place."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1)) as reader:
            await send(reader.topic, *numbered(0, 3))
            assert len(await reader.read(3)) == 3
            inner = opened(reader)
            fetch, reading = inner._fetch, asyncio.create_task(reader.topic.read(10))

            async def then_cancel(*arguments: Any) -> Any:
                found = await fetch(*arguments)
                if found:
                    reading.cancel()
                    await asyncio.sleep(0)
                return found

            inner._fetch = then_cancel
            await send(reader.topic, *numbered(3, 4))
            await asyncio.wait((reading,))
            assert reading.cancelled()
            inner._fetch = fetch
            await reader.topic.seek({0: 1})
            assert await reader.values(3) == [b"1", b"2", b"3"]

    run(scenario())


def test_records_that_were_deleted(
    make_topic: MakeTopic, kafka: Kafka, name: str, group: str
) -> None:
    """A position before the oldest record is an error: nothing is skipped in silence."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1)) as reader:
            await reader.holds({0})
            await send(reader.topic, *numbered(0, 10))
            await reader.commit((await reader.read(10))[2])
            async with admin(kafka) as client:
                await client.delete_records({TopicPartition(name, 0): RecordsToDelete(7)})
        async with Reader(make_topic(name, group, 1)) as reader:
            await reader.holds({0})
            with pytest.raises(SourceError, match="offset 3 of partition 0: it has been deleted"):
                await reader.read(1)
        async with Reader(make_topic(name, group + "-new", 1)) as reader:
            assert await reader.values(1) == [b"7"]

    run(scenario())


@pytest.mark.servers("kafka")
def test_a_broker_that_hangs(
    make_topic: Callable[..., Any], name: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a commit nor the end waits for it longer than agreed; then it goes on."""

    async def scenario(broker: Kafka) -> None:
        def make() -> Any:
            return make_topic(name, group, 1, bootstrap_servers=broker.address)

        async with Reader(make()) as reader:
            await reader.holds({0})
            await send(reader.topic, *numbered(0, 3))
            records = await reader.read(2)
            monkeypatch.setattr(membership, "REQUEST_SECONDS", 2.0)
            broker.pause()
            began = time.monotonic()
            with pytest.raises(ConnectError, match="no answer"):
                await reader.commit(records[0])
            assert time.monotonic() - began < 15.0
            began = time.monotonic()
        assert time.monotonic() - began < 30.0
        broker.resume()
        monkeypatch.undo()
        async with Reader(make()) as reader:
            assert await reader.values(3) == [b"0", b"1", b"2"]

    with Kafka() as broker:
        run(scenario(broker))


@pytest.mark.servers("kafka")
def test_a_broker_that_restarts(make_topic: Callable[..., Any], name: str, group: str) -> None:
    """Who waits for records gets those that come after it."""

    async def scenario(broker: Kafka) -> None:
        async with Reader(
            make_topic(name, group, 1, bootstrap_servers=broker.address), patience=40
        ) as reader:
            await reader.holds({0})
            await send(reader.topic, *numbered(0, 1))
            records = await reader.read(1)
            await reader.commit(records[0])
            await asyncio.to_thread(broker.kill)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(broker.start)
            await send(reader.topic, *numbered(1, 2))
            records += await reader.read(1)
            assert [r.value for r in records] == [b"0", b"1"]
            await reader.commit(records[-1])

    with Kafka() as broker:
        run(scenario(broker))


@pytest.mark.servers("kafka")
def test_a_client_that_is_being_replaced_can_be_closed(
    make_topic: Callable[..., Any], name: str, group: str
) -> None:
    """Though the brokers that a new one would need are gone."""

    async def scenario(broker: Kafka) -> None:
        async with Reader(make_topic(name, group, 1, bootstrap_servers=broker.address)) as reader:
            await reader.holds({0})
            await asyncio.to_thread(broker.kill)
            inside(reader)._coordinator._coordination_task.cancel()
            await asyncio.sleep(2.0)
            began = time.monotonic()
        assert time.monotonic() - began < 10.0

    with Kafka() as broker:
        run(scenario(broker))
