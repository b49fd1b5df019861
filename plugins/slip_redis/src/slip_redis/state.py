"""State on Redis: keyed bytes, and how far their sources are, in one script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from slip_redis.settings import RedisStateOptions
from slipcore.interfaces import (
    Changes,
    FencedError,
    IStateStore,
    Positions,
    Scope,
    StateError,
)

if TYPE_CHECKING:
    from slip_redis.claims import Claims
    from slip_redis.client import Arg, BlockingClient

T = TypeVar("T")

MAX_ARGUMENTS: Final = 1_000_000
"""The server takes 1024 * 1024 in one command."""

_REMEMBERED_MS: Final = 3_600_000
_THREADS: Final = 8
_CLOSE_SECONDS: Final = 1.0


class RedisStateStore(IStateStore):
    """Spaces of an app on a Redis server, which is called at the first use. Any thread may call it.

    A space is a sorted set of its keys and a hash of its values. Its owner has a lease, which it
    renews while it lives; each write looks whether the owner is still the same.

    Args:
        app: the app's name.
        options: the settings.
    """

    remote = True

    def __init__(self, app: str, options: RedisStateOptions) -> None:
        from slip_redis.claims import Claims
        from slip_redis.client import BlockingClient
        from slip_redis.layout import StateKeys

        self._options = options
        self._keys = StateKeys(app)
        self._client: BlockingClient = BlockingClient(options.server())
        self._claims: Claims = Claims(self._client, self._keys, options.lease)
        self._writing = Lock()
        """Held while a write is under way: no space is given up before it is over."""
        self._number = 0
        self._is_closed = False
        self._has_ended = False
        # Of its own: a server that hangs must not take the loop's threads.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="slip-redis-state")

    def attach(self, space: str) -> None:
        from slip_redis.client import unreachable
        from slip_redis.errors import FAILURES

        self._check_open()
        if space in self._claims:
            raise self._claims.in_use(space, "another cache of this app")
        try:
            self._client.persist(lambda: self._claims.take(space), self._options.connect_timeout)
        except FAILURES as error:
            raise unreachable(self._client.target, f"open the state {space}", error) from error

    def detach(self, space: str) -> None:
        with self._writing:
            self._claims.give_up([space])

    def get(self, space: str, key: bytes) -> bytes | None:
        _, values = self._keys.space(space)
        found: bytes | None = self._read_space(
            space, lambda: self._client.execute("HGET", values, key)
        )
        return found

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> list[tuple[bytes, bytes]]:
        from slip_redis.scripts import SCAN

        args: list[Arg] = [
            b"-" if start is None else b"[" + start,
            b"+" if end is None else b"(" + end,
            int(backwards),
            limit,
        ]
        found = self._read_space(
            space, lambda: self._client.run(SCAN, self._keys.space(space), args)
        )
        return list(zip(found[::2], found[1::2], strict=True))

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        self._check_open()
        self._write(changes, positions)

    def _write(self, changes: Changes, positions: Mapping[str, Positions]) -> None:
        from slip_redis.errors import FAILURES
        from slip_redis.scripts import WRITE

        with self._writing:
            if self._has_ended:
                raise self._closed()
            for space in changes:
                if space not in self._claims:
                    raise StateError(
                        f"the state {space} is not attached: attach it before it is written"
                    )
            self._number += 1
            keys, args = self._script_of(changes, positions)
            try:
                # Once only: the server knows the number of what it has written.
                self._client.persist(
                    lambda: self._client.run(WRITE, keys, args), self._options.operation_timeout
                )
            except FAILURES as error:
                raise self._failed(error) from error

    def _script_of(
        self, changes: Changes, positions: Mapping[str, Positions]
    ) -> tuple[list[str], list[Arg]]:
        token = self._claims.token
        keys = [self._keys.owners, self._keys.written(token)]
        args: list[Arg] = [token, self._number, _REMEMBERED_MS, len(changes), len(positions)]
        args += changes
        for space, written in changes.items():
            keys += self._keys.space(space)
            pairs: list[Arg] = []
            deletes: list[Arg] = []
            for key, value in written.items():
                if value is None:
                    deletes.append(key)
                else:
                    pairs += (key, value)
            args += (len(pairs) // 2, len(deletes))
            args += pairs
            args += deletes
        for reader, places in positions.items():
            keys.append(self._keys.positions(reader))
            args.append(len(places))
            for partition, position in places.items():
                args += (partition, position)
        if len(args) > MAX_ARGUMENTS:
            raise StateError(
                f"a write of {sum(map(len, changes.values()))} keys is too much for Redis at "
                f"{self._client.address}, which takes about {MAX_ARGUMENTS // 2}: write in parts"
            )
        return keys, args

    def positions(self, reader: str) -> Positions:
        key = self._keys.positions(reader)
        found = self._read(
            f"read the positions of {reader}",
            lambda: self._client.execute("HGETALL", key),
        )
        return {int(partition): int(position) for partition, position in found.items()}

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._threads.shutdown(wait=False)
        ending = Thread(target=self._end, name="slip-redis-state-end", daemon=True)
        ending.start()
        ending.join(_CLOSE_SECONDS)
        if ending.is_alive():  # the server hangs; what is under way fails, and the leases end
            self._client.abort()
            ending.join(_CLOSE_SECONDS)

    def _end(self) -> None:
        with self._writing:
            self._has_ended = True
            self._claims.close()
            self._client.close()

    async def aget(self, space: str, key: bytes) -> bytes | None:
        return await self._in_thread(lambda: self.get(space, key))

    async def ascan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> list[tuple[bytes, bytes]]:
        return await self._in_thread(
            lambda: self.scan(space, start, end, backwards=backwards, limit=limit)
        )

    async def awrite(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        await asyncio.shield(self._in_thread(lambda: self._write(changes, positions)))

    def _in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        self._check_open()
        return asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _read_space(self, space: str, call: Callable[[], Any]) -> Any:
        """Read what no newer owner has written: outputs would be made of it."""

        def read() -> tuple[Any, str]:
            return call(), self._claims.lost(space)

        found, lost = self._read(f"read the state {space}", read)
        if lost:
            raise self._failed(StateError(f"{lost} {space}"))
        return found

    def _read(self, doing: str, call: Callable[[], Any]) -> Any:
        from slip_redis.errors import FAILURES, reason

        self._check_open()
        try:
            return self._client.persist(call, self._options.operation_timeout)
        except FAILURES as error:
            raise StateError(
                f"can't {doing} on Redis at {self._client.address}: {reason(error)}"
            ) from error

    def _failed(self, error: Exception) -> StateError:
        from slip_redis.errors import is_passing, reason

        address = self._client.address
        kind, _, space = str(error).partition(" ")
        if kind == "FENCED":
            return FencedError(
                f"the state {space} on Redis at {address} has a newer owner: this one was silent "
                f"for longer than its lease of {self._options.lease:g} s; nothing was written"
            )
        if kind == "GONE":
            return StateError(
                f"the state {space} on Redis at {address} was removed, or did not outlast a "
                f"restart: have the server keep it (appendonly yes) and start anew; nothing was "
                f"written"
            )
        known = "it is not known whether it was written"
        if not is_passing(error, fails_over=self._client.target.fails_over):
            known = "nothing was written"
        return StateError(f"can't write state to Redis at {address}: {reason(error)}; {known}")

    def _check_open(self) -> None:
        if self._is_closed:
            raise self._closed()

    def _closed(self) -> StateError:
        return StateError(f"the state on Redis at {self._client.address} is closed")


def open_state_store(name: str, options: RedisStateOptions, scope: Scope) -> IStateStore:
    """The app's state on its Redis: one store, each cache a space of it."""
    key = ("redis-state", options.server(), options.lease, options.operation_timeout)
    return scope.shared(key, lambda: RedisStateStore(scope.app, options))
