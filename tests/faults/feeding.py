"""The orders of a run: written at once, or at a rate in the background."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

KEYS: Final = 20

Pair: TypeAlias = tuple[bytes, bytes]
"""The key and the value of an order."""


class Feed:
    """Writes orders, and notes which were acknowledged.

    Args:
        write: writes pairs and gives the numbers of those that were acknowledged.

    Attributes:
        acknowledged: their ids.
    """

    def __init__(self, write: Callable[[Iterable[Pair]], set[int]]) -> None:
        self.acknowledged: list[str] = []
        self._put = write
        self._next = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def fill(self, number: int, special: Mapping[int, Mapping[str, Any]]) -> None:
        """Write so many orders; `special`: number of an order -> what else is in it."""
        first, self._next = self._next, self._next + number
        self._write([_pair(n, **special.get(n, {})) for n in range(first, self._next)])

    def begin(self, per_second: float) -> None:
        """Write orders at that rate in the background, until `end`."""

        def paced() -> Iterator[Pair]:
            began = time.monotonic()
            count = 0
            while not self._over.is_set():
                yield _pair(self._next)
                self._next += 1
                count += 1
                ahead = began + count / per_second - time.monotonic()
                if ahead > 0:
                    self._over.wait(ahead)

        self._over.clear()
        self._thread = threading.Thread(target=self._write, args=(paced(),), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin no more orders."""
        self._over.set()

    def end(self) -> None:
        """Let what was written in the background be all, and wait until it is acknowledged."""
        self.stop()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _write(self, pairs: Iterable[Pair]) -> None:
        ids: list[str | None] = []

        def noted() -> Iterator[Pair]:
            for key, value in pairs:
                ids.append(json.loads(value)["id"] if value.endswith(b"}") else None)
                yield key, value

        written = self._put(noted())
        self.acknowledged += [each for n in written if (each := ids[n]) is not None]


def _pair(number: int, **special: Any) -> Pair:
    order = {"id": f"o{number}", **special}
    unreadable = special.get("bad") == "unreadable"
    value = b"{not json" if unreadable else json.dumps(order).encode()
    return f"k{number % KEYS}".encode(), value
