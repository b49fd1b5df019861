"""Writing to a broker that dies, hangs, or whose answers are lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from slip_kafka.producing import Producer
from slip_kafka.settings import KafkaTopicOptions

from slipcore.interfaces import Out, Secret, SinkError
from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka
from tests.servers.proxy import Proxy

from .plain import numbered, producer, records_of, run, send, values_of

pytestmark = pytest.mark.servers("kafka")


@pytest.fixture(scope="module")
def broker() -> Iterator[Kafka]:
    """A broker that these tests may kill."""
    with Kafka() as broker:
        yield broker


@pytest.fixture
def name() -> str:
    return unique("topic")


def test_a_broker_that_is_killed_and_comes_back(broker: Kafka, name: str) -> None:
    """All that was flushed is there, once and in order, and the writer has noticed nothing."""

    async def scenario() -> None:
        async with producer(broker.address, name, partitions=2) as it:
            stop = False

            async def write() -> int:
                number = 0
                while not stop:
                    for _ in range(20):
                        await send(it, Out(b"%d" % number, partition=number % 2))
                        number += 1
                    await it.flush()
                    await asyncio.sleep(0.001)
                return number

            writing = asyncio.create_task(write())
            await asyncio.sleep(0.5)
            await asyncio.to_thread(broker.kill)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(broker.start)
            await asyncio.sleep(1.0)
            stop = True
            number = await writing
        assert number > 100
        records = await records_of(broker.address, name, 2)
        for partition in range(2):
            values = [int(r.value) for r in records if r.partition == partition]
            assert values == list(range(partition, number, 2))

    run(scenario(), 90)


def test_a_broker_that_is_away_for_longer_than_a_request_may_take(broker: Kafka, name: str) -> None:
    """Outputs fail when `delivery_timeout_ms` is over, and not with their partition's leader."""

    async def scenario() -> None:
        async with producer(broker.address, name, request_timeout_ms=1_000) as it:
            await send(it, Out(b"0"))
            await it.flush()
            stopping = asyncio.create_task(asyncio.to_thread(broker.stop))
            number = 1
            while not stopping.done():  # while it stops, its partitions have no leader
                await send(it, Out(b"%d" % number))
                number += 1
                await asyncio.sleep(0.01)
            await stopping
            await asyncio.sleep(1.5)
            await asyncio.to_thread(broker.start)
            await it.flush()
        assert await values_of(broker.address, name) == [b"%d" % n for n in range(number)]

    run(scenario(), 90)


def test_an_answer_that_is_lost_doubles_nothing(name: str) -> None:
    """The broker has written a batch, and the writer sends it again: it is there once."""
    with Proxy() as proxy, Kafka(advertised=proxy.address) as broker:
        proxy.target = broker.address

        async def scenario() -> None:
            async with producer(proxy.address, name) as it:
                for output in numbered(0, 6):
                    await send(it, output)
                    if output.value != b"0":
                        await asyncio.to_thread(proxy.drop_replies)
                    await it.flush()
            assert await values_of(proxy.address, name) == [b"%d" % n for n in range(6)]

        run(scenario())


def test_a_broker_that_hangs(broker: Kafka, name: str) -> None:
    """A flush ends when `delivery_timeout_ms` is over, with all outputs; then it goes on."""

    async def scenario() -> None:
        async with producer(broker.address, name, partitions=3, delivery_timeout_ms=1_500) as it:
            await send(it, Out(b"before", partition=0))
            await it.flush()
            broker.pause()
            try:
                outputs = [Out(b"%d" % n, partition=n % 3) for n in range(30)]
                await send(it, *outputs[:20])
                began = time.monotonic()
                flushing = asyncio.create_task(it.flush())
                await asyncio.sleep(0.1)
                await send(it, *outputs[20:])
                with pytest.raises(SinkError, match="within 1.5 s .delivery_timeout_ms") as raised:
                    await flushing
                assert 1.0 < time.monotonic() - began < 15.0
                assert raised.value.outputs == tuple(outputs)
            finally:
                broker.resume()
            for _ in range(3):
                await send(it, *(Out(b"again", partition=n) for n in range(3)))
                await it.flush()
        found = await records_of(broker.address, name, 3)
        assert [r.partition for r in found if r.value == b"again"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]

    run(scenario())


def test_a_broker_that_is_not_there_yet(broker: Kafka, name: str) -> None:
    """What is sent while it is down is written when it is back; else it is given back in time."""

    async def scenario() -> None:
        options = KafkaTopicOptions(bootstrap_servers=broker.address, delivery_timeout_ms=1_000)
        early = Producer(name, options, 1)
        outputs = numbered(0, 3)
        await send(early, *outputs)
        began = time.monotonic()
        with pytest.raises(SinkError, match="not durable: ") as raised:
            await early.flush()
        assert time.monotonic() - began < 15.0
        assert raised.value.outputs == tuple(outputs)
        await early.close()
        patient = Producer(name, KafkaTopicOptions(bootstrap_servers=broker.address), 1)
        await send(patient, *outputs)
        flushing = asyncio.create_task(patient.flush())
        await asyncio.sleep(0.5)
        await asyncio.to_thread(broker.start)
        await flushing
        await patient.close()

    async def make() -> None:
        async with producer(broker.address, name):
            pass

    run(make())
    broker.kill()
    try:
        run(scenario(), 90)
    finally:
        if not broker.running:
            broker.start()
    assert run(values_of(broker.address, name)) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_closing_while_a_broker_hangs(secure: bool, broker: Kafka, name: str) -> None:
    """It ends within some seconds, and leaves no task and no connection."""

    async def scenario() -> None:
        before = asyncio.all_tasks()
        address = broker.address
        settings: dict[str, Any] = {}
        if secure:
            address = broker.sasl_ssl_address
            settings = {
                "security_protocol": "SASL_SSL",
                "sasl_plain_username": broker.user,
                "sasl_plain_password": Secret(broker.password),
                "ssl_cafile": broker.ca_file,
            }
        async with producer(address, name, **settings) as it:
            await send(it, Out(b"v"))
            await it.flush()
            broker.pause()
            await send(it, *numbered(0, 10))
            flushing = asyncio.create_task(it.flush())
            await asyncio.sleep(0.2)
        with pytest.raises(SinkError, match="the topic was closed"):
            await flushing
        assert asyncio.all_tasks() == before

    try:
        run(scenario())
    finally:
        broker.resume()
