"""Tests of apps without a server, and contract suites for those who write backends.

`AppTest` runs an app in memory, to idle, with a clock that stands still:

    def test_words():
        with AppTest(words_app) as app:
            app.send("words", "to be")
            app.run()
            assert app.sent("counts") == [("to", 1), ("be", 1)]

A subclass with one fixture runs a suite over a backend:

    class TestMyTopic(TopicContract):
        @pytest.fixture
        def make_topic(self, tmp_path):
            scope = LocalScope("tests", tmp_path)

            def make(name, group, partitions, **settings):
                options = MyOptions(group_id=group, partitions=partitions, **settings)
                return MyTopic(name, options, scope)

            return make

pytest is needed for the suites, not for `AppTest`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from slipcore.testing.app import AppTest
    from slipcore.testing.reader import MakeTopic, Reader
    from slipcore.testing.state import CheckpointStoreContract, StateStoreContract
    from slipcore.testing.topics import TopicContract

__all__ = [
    "AppTest",
    "CheckpointStoreContract",
    "LocalScope",
    "MakeTopic",
    "Reader",
    "StateStoreContract",
    "TopicContract",
]

T = TypeVar("T")

_MODULES: Final = {
    "AppTest": "app",
    "CheckpointStoreContract": "state",
    "MakeTopic": "reader",
    "Reader": "reader",
    "StateStoreContract": "state",
    "TopicContract": "topics",
}
"""Where the names are, imported at first use."""

_ASSERTING: Final = ("groups", "reader", "state", "topics")
"""Modules of suites."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _MODULES[name] in _ASSERTING:
        _show_values()
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def _show_values() -> None:
    """Have an assert of a suite that fails show its values: before the suites are imported."""
    import pytest

    new = [n for m in _ASSERTING if (n := f"{__name__}.{m}") not in sys.modules]
    pytest.register_assert_rewrite(*new)


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
