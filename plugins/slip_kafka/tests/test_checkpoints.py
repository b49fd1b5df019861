"""Checkpoints in a compacted topic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from slip_kafka.checkpoints import open_checkpoint_store
from slip_kafka.connecting import open_topic
from slip_kafka.settings import KafkaCheckpointOptions, KafkaTopicOptions

from slipcore.interfaces import ICheckpointStore, StateError
from slipcore.testing import LocalScope, MakeCheckpointStore, unique
from tests.servers.kafka import Kafka

from .plain import records_of, run


@pytest.fixture
def topic() -> str:
    return unique("checkpoints")


@pytest.fixture
def make_store(kafka: Kafka, topic: str, tmp_path: Path) -> Iterator[MakeCheckpointStore]:
    """Stores of one topic, each of an app of its own."""
    scopes: list[LocalScope] = []

    def make() -> ICheckpointStore:
        scopes.append(LocalScope("tests", tmp_path))
        options = KafkaCheckpointOptions(bootstrap_servers=kafka.address, topic=topic)
        return open_checkpoint_store("", options, scopes[-1])

    yield make
    for scope in scopes:
        scope.close()


def test_the_topic_is_compacted(kafka: Kafka, topic: str, make_store: MakeCheckpointStore) -> None:
    """States are the last records of their names, in a topic that keeps those for ever."""
    store = make_store()
    store.save("a", b"1")
    store.save("a", b"2")

    async def policy() -> str:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
        await admin.start()
        try:
            (answer,) = await admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic)]
            )
            ((_, _, _, _, entries),) = answer.resources
            return {str(entry[0]): str(entry[1]) for entry in entries}["cleanup.policy"]
        finally:
            await admin.close()

    assert run(policy()) == "compact"
    records = run(records_of(kafka.address, topic))
    assert [(r.key, r.value) for r in records] == [(b"a", b"1"), (b"a", b"2")]


def test_a_topic_that_forgets_is_refused(
    kafka: Kafka, topic: str, make_store: MakeCheckpointStore
) -> None:
    """A topic that deletes what is old would delete what is saved seldom."""
    run(open_topic(topic, KafkaTopicOptions(bootstrap_servers=kafka.address, partitions=1)))
    for _ in range(2):
        with pytest.raises(StateError, match="cleanup.policy is delete, .* set it to compact"):
            make_store().load("a")


def test_a_topic_that_ends_with_something_else(
    kafka: Kafka, topic: str, make_store: MakeCheckpointStore
) -> None:
    """The last offset may be one that no record has: reading it to the end ends all the same."""
    store = make_store()
    store.save("a", b"1")

    async def mark() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id=topic)
        await producer.start()
        try:
            async with producer.transaction():
                await producer.send_and_wait(topic, b"2", b"b")
                await producer.send_and_wait(topic, None, b"a")
        finally:
            await producer.stop()

    run(mark())
    again = make_store()
    began = time.monotonic()
    assert (again.load("a"), again.load("b")) == (None, b"2")
    assert time.monotonic() - began < 10.0


def test_the_last_writer_wins(make_store: MakeCheckpointStore) -> None:
    """Of two processes that save one state, the next to start has what was saved last."""
    one, two = make_store(), make_store()
    one.save("a", b"one")
    two.save("a", b"two")
    assert one.load("a") == b"one"
    assert make_store().load("a") == b"two"


def test_a_state_that_is_too_large(make_store: MakeCheckpointStore) -> None:
    """It is refused with a reason, and the former state stays."""
    store = make_store()
    store.save("a", b"small")
    with pytest.raises(StateError, match="can't save the checkpoint a to the topic .* too large"):
        store.save("a", b"x" * 2_000_000)
    assert store.load("a") == b"small"
    assert make_store().load("a") == b"small"


def test_stores_of_an_app_are_one(kafka: Kafka, tmp_path: Path) -> None:
    """The topic is named after the app unless another is given."""
    scope = LocalScope(unique("app"), tmp_path)
    options = KafkaCheckpointOptions(bootstrap_servers=kafka.address)
    store = open_checkpoint_store("", options, scope)
    assert open_checkpoint_store("", options, scope) is store
    store.save("a", b"1")
    scope.close()
    assert len(run(records_of(kafka.address, f"{scope.app}-checkpoints"))) == 1
    with pytest.raises(StateError, match="it is closed"):
        store.load("a")


def test_within_a_running_loop(make_store: MakeCheckpointStore) -> None:
    """The store is plain calls, which a handler may make too."""

    async def scenario() -> None:
        store = make_store()
        store.save("a", b"1")
        assert store.load("a") == b"1"

    run(scenario())


@pytest.mark.servers("kafka")
def test_a_broker_that_is_not_there(topic: str, tmp_path: Path) -> None:
    """Loading and saving say so in bounded time, and work when it is back."""
    scope = LocalScope("tests", tmp_path)
    with Kafka() as broker:
        options = KafkaCheckpointOptions(
            bootstrap_servers=broker.address, topic=topic, connect_timeout=1.0
        )
        store = open_checkpoint_store("", options, scope)
        broker.kill()
        with pytest.raises(StateError, match=f"load the checkpoint a from the topic {topic} at"):
            store.load("a")
        broker.start()
        patient = open_checkpoint_store(
            "",
            KafkaCheckpointOptions(bootstrap_servers=broker.address, topic=topic + "-2"),
            scope,
        )
        patient.save("a", b"0")
        store.save("a", b"1")
        broker.pause()
        began = time.monotonic()
        with pytest.raises(StateError, match="save the checkpoint a to .* not durable"):
            store.save("a", b"2")
        assert time.monotonic() - began < 15.0
        assert store.load("a") == b"1"
        began = time.monotonic()
        scope.close()
        assert time.monotonic() - began < 30.0
        broker.resume()
