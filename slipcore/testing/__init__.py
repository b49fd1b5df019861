"""Contract suites for those who write backends.

A subclass with one fixture runs a suite over a backend:

    class TestMyTopic(TopicContract):
        @pytest.fixture
        def make_topic(self, tmp_path):
            scope = LocalScope("tests", tmp_path)

            def make(name, group, partitions, **settings):
                options = MyOptions(group_id=group, partitions=partitions, **settings)
                return MyTopic(name, options, scope)

            return make

pytest is needed to import this package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

# Before the modules are imported: an assert that fails then shows its values.
pytest.register_assert_rewrite(
    "slipcore.testing.groups",
    "slipcore.testing.reader",
    "slipcore.testing.state",
    "slipcore.testing.topics",
)

from slipcore.testing.reader import MakeTopic, Reader  # noqa: E402  # see above
from slipcore.testing.state import CheckpointStoreContract, StateStoreContract  # noqa: E402
from slipcore.testing.topics import TopicContract  # noqa: E402

__all__ = [
    "CheckpointStoreContract",
    "LocalScope",
    "MakeTopic",
    "Reader",
    "StateStoreContract",
    "TopicContract",
]

T = TypeVar("T")


class LocalScope:
    """The scope of an app that a test makes up.

    Args:
        app: the app's name, the default consumer group.
        state_dir: where embedded state lives.
    """

    def __init__(self, app: str, state_dir: Path) -> None:
        self.app = app
        self.state_dir = state_dir
        self._shared: dict[object, Any] = {}

    def shared(self, key: object, make: Callable[[], T]) -> T:
        if key not in self._shared:
            self._shared[key] = make()
        found: T = self._shared[key]
        return found

    def close(self) -> None:
        """Close what is shared, the last made first, as an app does when it closes."""
        while self._shared:
            _, made = self._shared.popitem()
            close = getattr(made, "close", None)
            if close is not None:
                close()
