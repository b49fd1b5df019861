"""A cache's keys as a handler in a thread has them: every access is made in the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from slipcore.engine.state import Space
from slipcore.engine.threads import on_loop

_PAGE: Final = 256
"""Pairs that a scan gets with one visit to the loop."""


class SpaceFromThread(Space):
    """A space whose pending writes and hot values belong to the loop, seen from a thread."""

    __slots__ = ("_space",)

    def __init__(self, space: Space) -> None:
        super().__init__(space.store, space.name, 0)
        self._space = space

    def get(self, key: bytes) -> bytes | None:
        return on_loop(self._space.get, key)

    def put(self, key: bytes, value: bytes | None) -> None:
        on_loop(self._put, key, value)

    def _put(self, key: bytes, value: bytes | None) -> None:
        self._space.put(key, value)
        self._space.hot.pop(key, None)

    def remember(self, key: bytes, value: object) -> None:
        """What is hot is decoded in the loop."""

    def scan(
        self, start: bytes | None, end: bytes | None, backwards: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        found = self._space.scan(start, end, backwards)
        while page := on_loop(lambda: list(islice(found, _PAGE))):
            yield from page
