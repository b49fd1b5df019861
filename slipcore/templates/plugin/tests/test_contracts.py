"""Topics and caches of acme keep the contracts that every backend keeps.

The tests are those of `slipcore.testing`. What the backend does not offer is skipped, with the
reason shown; what it offers, it is held to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from slipcore.interfaces import IStateStore, ITopic
from slipcore.testing import LocalScope, MakeTopic, StateStoreContract, TopicContract
from slipcore.testing.state import MakeStore

from slip_acme.cache import AcmeStateStore
from slip_acme.options import AcmeTopicOptions
from slip_acme.server import Server
from slip_acme.topic import AcmeTopic


class TestTopic(TopicContract):
    """Topics in one server."""

    @pytest.fixture
    def make_topic(self, tmp_path: Path) -> MakeTopic:
        scope = LocalScope("tests", tmp_path)

        def make(name: str, group: str, partitions: int, **settings: Any) -> ITopic:
            options = AcmeTopicOptions(group_id=group, partitions=partitions, **settings)
            return AcmeTopic(name, options, scope)

        return make


class TestCache(StateStoreContract):
    """State in one server."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        server = Server()

        def make() -> IStateStore:
            return AcmeStateStore(server)

        return make
