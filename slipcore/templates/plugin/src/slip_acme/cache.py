"""State in acme: keyed bytes, and how far their sources are, written together.

The core makes a `Cache` of it: it encodes keys so that their bytes sort as the keys do, encodes
values, and writes once per generation. A store sees bytes only.
"""

from __future__ import annotations

from collections.abc import Mapping

from slipcore.interfaces import (
    Changes,
    IStateStore,
    Positions,
    Scope,
    StateError,
    StateInUseError,
)

from slip_acme.options import AcmeCacheOptions
from slip_acme.server import Server


class AcmeStateStore(IStateStore):
    """Spaces of one server, in memory until you replace `Server`."""

    # `remote = True` where `get`, `scan` and `write` wait for a network.

    def __init__(self, server: Server) -> None:
        self._server = server
        self._attached: set[str] = set()

    def attach(self, space: str) -> None:
        owner = self._server.owners.setdefault(space, self)
        if owner is not self or space in self._attached:
            raise StateInUseError(
                f"the state {space} is in use by another cache: "
                f"share one Cache object, or give each a name of its own"
            )
        self._attached.add(space)

    def detach(self, space: str) -> None:
        if space in self._attached:
            self._attached.remove(space)
            del self._server.owners[space]

    def get(self, space: str, key: bytes) -> bytes | None:
        self._check(space)
        return self._server.get(space, key)

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> list[tuple[bytes, bytes]]:
        self._check(space)
        # With a server: a query by range. Here all of it is sorted each time.
        found = [
            (key, value)
            for key, value in self._server.pairs(space)
            if (start is None or key >= start) and (end is None or key < end)
        ]
        return (found[::-1] if backwards else found)[:limit]

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        # All of it or nothing: check first, then write in one transaction of the server.
        for space in changes:
            self._check(space)
        self._server.write(changes, dict(positions))

    def positions(self, reader: str) -> Positions:
        return self._server.positions(reader)

    def close(self) -> None:
        for space in list(self._attached):
            self.detach(space)

    def _check(self, space: str) -> None:
        if space not in self._attached:
            raise StateError(f"the state {space} is not attached: attach it before it is used")


def open_state_store(name: str, options: AcmeCacheOptions, scope: Scope) -> IStateStore:
    """The app's state: one store, each cache a space of it."""
    server: Server = scope.shared("acme", Server)
    return scope.shared("acme-state", lambda: AcmeStateStore(server))
