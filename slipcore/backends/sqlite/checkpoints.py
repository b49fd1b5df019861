"""Checkpoints in a SQLite file: small named states, each saved as one value."""

from __future__ import annotations

from collections.abc import Collection
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from slipcore.interfaces import (
    ICheckpointStore,
    Probed,
    Scope,
    StateError,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

    from slipcore.backends.sqlite.file import SlipFile


class SqliteCheckpointOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings of checkpoints in a SQLite file."""

    path: str | None = None
    """The database file, from the working directory; None: `slip.db` among the app's state."""

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slipcore.backends.sqlite.probing import probe

        return probe(self.path, (), scope, timeout)


class SqliteCheckpointStore(ICheckpointStore):
    """Named states in a SQLite file, which is opened at the first use. Any thread may call it."""

    def __init__(self, file: SlipFile) -> None:
        self._file = file
        self._lock = Lock()
        self._reader: Connection | None = None
        self._is_closed = False

    def load(self, name: str) -> bytes | None:
        query = "SELECT state FROM checkpoints WHERE name = ?"
        with self._lock, self._file.translated(StateError, f"load the checkpoint {name} from"):
            rows = self._opened().execute(query, (name,)).fetchall()
        return rows[0][0] if rows else None

    def save(self, name: str, state: bytes) -> None:
        with self._lock:
            self._opened()
        doing = f"save the checkpoint {name} to"
        with self._file.translated(StateError, doing), self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (name, state))

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()
                self._file.release()

    def _opened(self) -> Connection:
        if self._is_closed:
            raise StateError(f"the checkpoints in {self._file.path} are closed")
        if self._reader is None:
            self._reader = self._file.acquire_reader()
        return self._reader


def open_checkpoint_store(
    name: str, options: SqliteCheckpointOptions, scope: Scope
) -> ICheckpointStore:
    """The app's checkpoints in its SQLite file."""
    from slipcore.backends.sqlite.file import slip_file

    file = slip_file(scope, options.path)
    return scope.shared(("sqlite-checkpoints", file.path), lambda: SqliteCheckpointStore(file))
