"""Outputs on their way to a real broker: whole, in order, once, or given back."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from typing import Any

import confluent_kafka
import pytest
from aiokafka import AIOKafkaProducer
from slip_kafka import producing
from slip_kafka.connecting import open_topic
from slip_kafka.producing import Producer
from slip_kafka.settings import KafkaTopicOptions

from slipcore.interfaces import Out, SinkError
from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka

from .plain import numbered, producer, records_of, run, send, values_of


@pytest.fixture
def name() -> str:
    return unique("topic")


@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
def test_any_client_reads_what_was_sent(compression: str | None, kafka: Kafka, name: str) -> None:
    """Keys, values, headers and timestamps are those of the outputs, however compressed."""
    outputs = [
        Out(b"value" * 200, b"key", (("a", b"1"), ("a", b"\xff"), ("é", b"")), 1_700_000_000_123),
        Out(None, b"tombstone"),
        Out(b"keyless"),
        Out(b"", b""),
    ]

    async def scenario() -> None:
        async with producer(kafka.address, name, compression_type=compression) as it:
            await send(it, *outputs)
            await it.flush()
        records = await records_of(kafka.address, name)
        assert [(r.key, r.value) for r in records] == [(o.key, o.value) for o in outputs]
        assert records[0].headers == outputs[0].headers
        assert records[0].timestamp == 1_700_000_000_123
        assert all(abs(r.timestamp - time.time() * 1000) < 60_000 for r in records[1:])

    run(scenario())


def test_keys_go_where_other_clients_send_them(kafka: Kafka, name: str) -> None:
    """A key has the partition that Kafka's Java client gives it, as librdkafka does too."""
    keys = [b"%d" % n for n in range(200)] + ["é🏆".encode(), b"\0" * 7]

    async def scenario() -> dict[bytes | None, int]:
        async with producer(kafka.address, name, partitions=5) as it:
            await send(it, *(Out(b"v", key) for key in keys))
            await it.flush()
        return {r.key: r.partition for r in await records_of(kafka.address, name, 5)}

    ours = run(scenario())
    theirs: dict[bytes | None, int | None] = {}

    def note(_: object, message: confluent_kafka.Message) -> None:
        theirs[message.key()] = message.partition()

    other = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.address, "partitioner": "murmur2_random"}
    )
    for key in keys:
        other.produce(name, b"v", key, on_delivery=note)
    assert other.flush(20.0) == 0
    assert ours == theirs


def test_outputs_without_a_key_are_spread(kafka: Kafka, name: str) -> None:
    """Each batch of them goes to the next partition."""

    async def scenario() -> None:
        async with producer(kafka.address, name, partitions=3) as it:
            for output in numbered(0, 9):
                it.send(output)
                await it.flush()
        records = await records_of(kafka.address, name, 3)
        assert [r.partition for r in records] == [0, 0, 0, 1, 1, 1, 2, 2, 2]

    run(scenario())


def test_many_outputs_arrive_in_order(kafka: Kafka, name: str) -> None:
    """Each partition has its outputs in the order of sending, though batches are many."""

    async def scenario() -> None:
        async with producer(kafka.address, name, partitions=3, max_batch_size=2_000) as it:
            await send(it, *(Out(b"%d" % n, partition=n % 3) for n in range(9_000)))
            await it.flush()
        for partition in range(3):
            values = [
                int(r.value)
                for r in await records_of(kafka.address, name, 3)
                if r.partition == partition
            ]
            assert values == list(range(partition, 9_000, 3))

    run(scenario())


def test_nobody_has_to_flush(kafka: Kafka, name: str) -> None:
    """What nobody flushes is sent when it has waited for `linger_ms`."""

    async def scenario() -> None:
        async with producer(kafka.address, name, linger_ms=20) as it:
            it.send(Out(b"v"))
            async with asyncio.timeout(10.0):
                while await values_of(kafka.address, name) != [b"v"]:
                    await asyncio.sleep(0.05)

    run(scenario())


def test_flushes_share_batches(kafka: Kafka, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small flushes at once do not cost a request each."""
    sent = 0
    send_batch = AIOKafkaProducer.send_batch

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal sent
        sent += 1
        return send_batch(*arguments, **named)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", counted)

    async def scenario() -> None:
        async with producer(kafka.address, name) as it:
            flushes = []
            for output in numbered(0, 500):
                it.send(output)
                flushes.append(asyncio.create_task(it.flush()))
                await asyncio.sleep(0)
            await asyncio.gather(*flushes)
        assert await values_of(kafka.address, name) == [b"%d" % n for n in range(500)]
        assert sent < 100

    run(scenario())


def test_a_cancelled_flush_loses_nothing(kafka: Kafka, name: str) -> None:
    """What it waited for goes on its way."""

    async def scenario() -> None:
        async with producer(kafka.address, name) as it:
            it.send(Out(b"v"))
            flushing = asyncio.create_task(it.flush())
            await asyncio.sleep(0)
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
            await it.flush()
        assert await values_of(kafka.address, name) == [b"v"]

    run(scenario())


def test_too_much_on_the_way(kafka: Kafka, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound `send` gives something to wait for, which ends when there is room."""
    monkeypatch.setattr(producing, "MAX_BYTES", 100_000)

    async def scenario() -> None:
        async with producer(kafka.address, name, linger_ms=60_000) as it:
            waited = 0
            for output in numbered(0, 5_000):
                waiting = it.send(output)
                if waiting is not None:
                    waited += 1
                    await waiting
                    assert it._bytes < 50_000
            await it.flush()
            assert 5 <= waited <= 50
        assert await values_of(kafka.address, name) == [b"%d" % n for n in range(5_000)]

    run(scenario())


REFUSED: dict[str, tuple[Out, str]] = {
    "large": (Out(b"v" * 3_000), "of 3[0-9]+ bytes is too large .* max_request_size is 2000"),
    "large header": (Out(b"v", headers=(("h", b"v" * 3_000),)), "is too large"),
    "value": (Out("text"), "NoneType and str: encode them"),
    "key": (Out(b"v", 7), "int and bytes: encode them"),
    "header": (Out(b"v", headers=(("h", "text"),)), "headers that are pairs"),  # type: ignore[arg-type]  # what is refused
    "headers": (Out(b"v", headers=(("h",),)), "headers that are pairs"),  # type: ignore[arg-type]  # what is refused
    "timestamp": (Out(b"v", timestamp="now"), "a timestamp in ms"),  # type: ignore[arg-type]  # what is refused
    "partition": (Out(b"v", partition=1), "has no partition 1: it has 0 to 0"),
    "negative": (Out(b"v", partition=-1), "has no partition -1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_not_be_sent_is_refused_at_once(what: str, kafka: Kafka, name: str) -> None:
    """Nothing of it is handed over, and the others go on their way."""
    output, said = REFUSED[what]

    async def scenario() -> None:
        async with producer(
            kafka.address, name, max_request_size=2_000, max_batch_size=2_000
        ) as it:
            it.send(Out(b"before"))
            with pytest.raises(SinkError, match=said) as raised:
                it.send(output)
            assert raised.value.outputs == (output,)
            it.send(Out(b"after"))
            await it.flush()
        assert await values_of(kafka.address, name) == [b"before", b"after"]

    run(scenario())


def test_less_than_all_replicas_is_said(
    kafka: Kafka, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """acks=1 and acks=0 are taken, with a warning of what they cost."""

    async def scenario(acks: int) -> None:
        async with producer(kafka.address, f"{name}-{acks}", acks=acks) as it:
            await send(it, *numbered(0, 3))
            await it.flush()
        assert await values_of(kafka.address, f"{name}-{acks}") == [b"0", b"1", b"2"]

    with caplog.at_level(logging.WARNING, "slip_kafka"):
        for acks in (0, 1):
            run(scenario(acks))
    assert [m for m in caplog.messages if "outputs are at most once" in m] == caplog.messages
    assert len(caplog.messages) == 2


# --- failures -----------------------------------------------------------------------------------

SMALL = {"max.message.bytes": 1_000}
"""A topic whose broker refuses a batch that the producer may send."""


def test_a_batch_that_is_refused_is_given_back(kafka: Kafka, name: str) -> None:
    """So is what was handed over after it, in order; nothing newer is written in its place."""

    async def scenario() -> None:
        async with producer(kafka.address, name, topic_config=SMALL) as it:
            it.send(Out(b"first"))
            await it.flush()
            large = Out(b"v" * 5_000)
            it.send(large)
            it._make_due()  # it is on its way alone
            after = [Out(b"after"), Out(b"after, too")]
            await send(it, *after)
            with pytest.raises(SinkError, match="takes no batch of this size") as raised:
                await it.flush()
            assert raised.value.outputs == (large, *after)
            assert await values_of(kafka.address, name) == [b"first"]

    run(scenario())


def test_a_partition_gets_over_a_failed_batch(kafka: Kafka, name: str) -> None:
    """Its sequence numbers have a gap after that, so another client goes on."""

    async def scenario() -> None:
        async with producer(kafka.address, name, topic_config=SMALL) as it:
            for number in range(3):
                await send(it, Out(b"%d" % number))
                await it.flush()
                await send(it, Out(b"v" * 5_000))
                with pytest.raises(SinkError):
                    await it.flush()
        assert await values_of(kafka.address, name) == [b"0", b"1", b"2"]

    run(scenario())


def test_what_others_have_written_is_not_given_back(kafka: Kafka, name: str) -> None:
    """A failure in one partition leaves alone what the broker has acknowledged in another."""

    async def scenario() -> None:
        async with producer(kafka.address, name, partitions=3, topic_config=SMALL) as it:
            await send(it, Out(b"0", partition=0), Out(b"1", partition=1))
            await send(it, Out(b"v" * 5_000, partition=2))
            with pytest.raises(SinkError) as raised:
                await it.flush()
            assert [o.partition for o in raised.value.outputs] == [2]
            await send(it, *raised.value.outputs, Out(b"2", partition=2))
            with pytest.raises(SinkError) as raised:
                await it.flush()
            assert [len(o.value) for o in raised.value.outputs] == [5_000, 1]
            await send(it, Out(b"2", partition=2))
            await it.flush()
        assert await values_of(kafka.address, name, 3) == [b"0", b"1", b"2"]

    run(scenario())


def test_what_is_on_its_way_elsewhere_may_arrive(
    kafka: Kafka, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another broker is about to acknowledge is waited for, and not written twice."""
    send_batch = AIOKafkaProducer.send_batch

    async def slow(self: Any, batch: Any, topic: str, *, partition: int) -> Any:
        if partition == 0:
            await asyncio.sleep(0.3)
        return await send_batch(self, batch, topic, partition=partition)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", slow)

    async def scenario() -> None:
        async with producer(kafka.address, name, partitions=2, topic_config=SMALL) as it:
            large = Out(b"v" * 5_000, partition=1)
            await send(it, Out(b"slow", partition=0), large)
            with pytest.raises(SinkError) as raised:
                await it.flush()
            assert raised.value.outputs == (large,)
        assert await values_of(kafka.address, name, 2) == [b"slow"]

    run(scenario())


def test_who_flushes_after_a_failure_hears_of_it(kafka: Kafka, name: str) -> None:
    """A batch that fails while nobody flushes is told of by the next flush, once to each."""

    async def scenario() -> None:
        async with producer(kafka.address, name, topic_config=SMALL, linger_ms=0) as it:
            large = Out(b"v" * 5_000)
            it.send(large)
            await asyncio.sleep(1.0)
            it.send(Out(b"after"))
            flushes = [asyncio.create_task(it.flush()) for _ in range(3)]
            for told in await asyncio.gather(*flushes, return_exceptions=True):
                assert isinstance(told, SinkError)
                assert told.outputs == (large, Out(b"after"))
            await it.flush()
            it.send(Out(b"new"))
            await it.flush()
        assert await values_of(kafka.address, name) == [b"new"]

    run(scenario())


def test_a_failure_that_nobody_asks_about_is_no_leak(
    kafka: Kafka, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who never flushes is refused in the end, when as much is held as may be on the way."""
    monkeypatch.setattr(producing, "MAX_BYTES", 10_000)

    async def scenario() -> None:
        async with producer(kafka.address, name, topic_config=SMALL, linger_ms=0) as it:
            it.send(Out(b"v" * 5_000))
            await asyncio.sleep(1.0)
            with pytest.raises(SinkError, match="takes no more"):
                for output in numbered(0, 1_000):
                    it.send(output)
            with pytest.raises(SinkError) as raised:
                await it.flush()
            assert 10 < len(raised.value.outputs) < 100

    run(scenario())


def test_closing_drops_what_is_not_flushed(kafka: Kafka, name: str) -> None:
    """A flush that waits is told so."""

    async def scenario() -> None:
        async with producer(kafka.address, name) as it:
            it.send(Out(b"v"))
            flushing = asyncio.create_task(it.flush())
            await asyncio.sleep(0)
            await it.close()
            with pytest.raises(SinkError, match="the topic was closed"):
                await flushing

    run(scenario())


def test_a_loop_that_ends_closes_what_is_open(
    kafka: Kafka, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that calls a topic and never closes it leaves no connection, and no complaint."""

    async def scenario() -> None:
        options = KafkaTopicOptions(bootstrap_servers=kafka.address, partitions=1)
        left_open = Producer(name, options, await open_topic(name, options))
        left_open.send(Out(b"v"))
        await left_open.flush()

    asyncio.run(scenario())
    gc.collect()
    assert caplog.messages == []
    assert run(values_of(kafka.address, name)) == [b"v"]
