"""Topics and checkpoints on Kafka keep the contracts that every backend keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from slip_kafka.checkpoints import open_checkpoint_store
from slip_kafka.settings import KafkaCheckpointOptions

from slipcore.interfaces import ICheckpointStore
from slipcore.testing import (
    CheckpointStoreContract,
    LocalScope,
    MakeCheckpointStore,
    MakeTopic,
    TopicContract,
    unique,
)
from tests.servers.kafka import Kafka

from .conftest import topics


class TestKafkaTopic(TopicContract):
    """Topics on a real broker."""

    patience = 20.0
    silence = 0.5

    @pytest.fixture
    def make_topic(self, kafka: Kafka, scope: LocalScope) -> MakeTopic:
        return topics(kafka, scope)


class TestKafkaCheckpoints(CheckpointStoreContract):
    """A checkpoint store on a real broker."""

    @pytest.fixture
    def make_store(self, kafka: Kafka, tmp_path: Path) -> Iterator[MakeCheckpointStore]:
        topic = unique("checkpoints")
        scopes: list[LocalScope] = []

        def make() -> ICheckpointStore:
            scopes.append(LocalScope("tests", tmp_path))
            options = KafkaCheckpointOptions(bootstrap_servers=kafka.address, topic=topic)
            return open_checkpoint_store("", options, scopes[-1])

        yield make
        for scope in scopes:
            scope.close()
