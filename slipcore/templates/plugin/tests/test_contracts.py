"""Topics and caches of acme keep the contracts that every backend keeps.

The tests are those of `slipcore.testing`. What the backend does not offer is skipped, with the
reason shown; what it offers, it is held to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from slipcore.interfaces import IStateStore, ITopic
from slipcore.testing import CacheContract, LocalScope, MakeStore, MakeTopic, TopicContract

from slip_acme.cache import AcmeStateStore
from slip_acme.options import AcmeTopicOptions
from slip_acme.server import Server
from slip_acme.topic import AcmeTopic


class TestTopic(TopicContract):
    """Topics in one server."""

    # All but "partitions": add it when the topic has Capability.PARTITIONS. With "faults" and a
    # fixture `failing`, flushes are tested that do not reach the server.
    offers = frozenset({"commit", "pause", "refuses", "seek", "waits"})
    # Seconds after which what did not happen does not happen: more where there is a network.
    silence = 0.05

    @pytest.fixture
    def make_topic(self, tmp_path: Path) -> MakeTopic:
        scope = LocalScope("tests", tmp_path)

        def make(name: str, group: str, partitions: int, **settings: Any) -> ITopic:
            options = AcmeTopicOptions(group_id=group, partitions=partitions, **settings)
            return AcmeTopic(name, options, scope)

        return make


class TestCache(CacheContract):
    """State in one server."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        server = Server()

        def make() -> IStateStore:
            return AcmeStateStore(server)

        return make
