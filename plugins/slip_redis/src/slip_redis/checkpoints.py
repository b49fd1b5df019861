"""Checkpoints on Redis: small named states, each saved as one value."""

from __future__ import annotations

from slip_redis.settings import RedisCheckpointOptions
from slipcore.interfaces import ICheckpointStore, Scope, StateError


class RedisCheckpointStore(ICheckpointStore):
    """Named states in a hash on a Redis server, which is called at the first use.

    Any thread may call it.

    Args:
        app: the app's name.
        options: the settings.
    """

    def __init__(self, app: str, options: RedisCheckpointOptions) -> None:
        from slip_redis.client import BlockingClient

        self._client: BlockingClient = BlockingClient(options.server())
        self._key = f"{{slip:checkpoints:{app}}}"
        self._timeout = options.connect_timeout
        self._is_closed = False

    def load(self, name: str) -> bytes | None:
        found: bytes | None = self._execute(f"load the checkpoint {name}", "HGET", self._key, name)
        return found

    def save(self, name: str, state: bytes) -> None:
        self._execute(f"save the checkpoint {name}", "HSET", self._key, name, state)

    def close(self) -> None:
        self._is_closed = True
        self._client.close()

    def _execute(self, doing: str, *words: str | bytes) -> bytes | None:
        """A command that may be given twice: it reads, or sets a whole value."""
        from slip_redis.errors import FAILURES, reason

        address = self._client.address
        if self._is_closed:
            raise StateError(f"the checkpoints on Redis at {address} are closed")
        try:
            answer: bytes | None = self._client.persist(
                lambda: self._client.execute(*words), self._timeout
            )
        except FAILURES as error:
            raise StateError(f"can't {doing} on Redis at {address}: {reason(error)}") from error
        return answer


def open_checkpoint_store(
    name: str, options: RedisCheckpointOptions, scope: Scope
) -> ICheckpointStore:
    """The app's checkpoints on its Redis."""
    return scope.shared(
        ("redis-checkpoints", options.server()),
        lambda: RedisCheckpointStore(scope.app, options),
    )
