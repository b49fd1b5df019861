"""What an app's backends are told of it, and share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class AppScope:
    """What an app's backends are told, and share."""

    def __init__(self, app: str, state_dir: Path) -> None:
        self.app = app
        self.state_dir = state_dir
        self._shared: dict[object, Any] = {}

    def shared(self, key: object, make: Callable[[], T]) -> T:
        if key not in self._shared:
            self._shared[key] = make()
        made: T = self._shared[key]
        return made

    def close(self) -> None:
        """Close what is shared, the last made first, as an app does when it closes."""
        while self._shared:
            _, thing = self._shared.popitem()
            close = getattr(thing, "close", None)
            if close is not None:
                close()
