"""A topic on Kafka keeps the contract that every topic keeps."""

from __future__ import annotations

import pytest

from slipcore.testing import LocalScope, MakeTopic, TopicContract
from tests.servers.kafka import Kafka

from .conftest import topics


class TestKafkaTopic(TopicContract):
    """Topics on a real broker."""

    patience = 20.0
    silence = 0.5

    @pytest.fixture
    def make_topic(self, kafka: Kafka, scope: LocalScope) -> MakeTopic:
        return topics(kafka, scope)
