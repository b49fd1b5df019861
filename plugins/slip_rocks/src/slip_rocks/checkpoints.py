"""Checkpoints in RocksDB: small named states, each saved as one value."""

from __future__ import annotations

from pathlib import Path
from threading import RLock

from slip_rocks.database import Database
from slip_rocks.layout import checkpoint_key
from slip_rocks.options import SMALLEST_WRITE_BUFFER, RocksCheckpointOptions
from slip_rocks.place import Place, checkpoints_path
from slipcore.interfaces import ICheckpointStore, Scope, StateError


class RocksCheckpointStore(ICheckpointStore):
    """Named states of an app in a database that is opened at the first use. Any thread may call it.

    Args:
        path: the database's directory.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(
            Place(path, "checkpoints"), sync=True, write_buffer_size=16 * SMALLEST_WRITE_BUFFER
        )
        self._lock = RLock()
        self._is_closed = False

    def load(self, name: str) -> bytes | None:
        return self._opened().get(checkpoint_key(name), f"load the checkpoint {name} from")

    def save(self, name: str, state: bytes) -> None:
        self._opened().write([(checkpoint_key(name), state)], [], f"save the checkpoint {name} to")

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._database.close()

    def _opened(self) -> Database:
        with self._lock:
            if self._is_closed:
                raise StateError(f"the checkpoints in {self._database.place.path} are closed")
            if not self._database.is_open:
                self._database.open()
            return self._database


def open_checkpoint_store(
    name: str, options: RocksCheckpointOptions, scope: Scope
) -> ICheckpointStore:
    """The app's checkpoints in a database of their own."""
    path = checkpoints_path(options.path, scope)
    return scope.shared(("rocks-checkpoints", path), lambda: RocksCheckpointStore(path))
