"""Looks at a run from outside while it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.faults.bare import Unreachable
from tests.faults.checker import Sample

BETWEEN = 0.1
"""Seconds between two looks."""


class Watch:
    """Takes samples in a thread of its own.

    Args:
        look: takes one.
    """

    def __init__(self, look: Callable[[], Sample]) -> None:
        self.samples: list[Sample] = []
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(BETWEEN):
            with suppress(Unreachable):  # what is down is looked at when it is up again
                self.samples.append(self._look())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
