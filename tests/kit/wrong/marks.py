"""What a wrong backend says of itself: the one promise that it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

C = TypeVar("C", bound=type[Any])


def breaks(promise: str) -> Callable[[C], C]:
    """Mark a backend that breaks this promise, and no other."""

    def mark(backend: C) -> C:
        backend.breaks = promise
        return backend

    return mark


def broken_by(backend: type[Any]) -> str | None:
    """The promise that a backend breaks; None: it is no wrong one, or stands for several."""
    found = vars(backend).get("breaks")
    return None if found is None else str(found)
