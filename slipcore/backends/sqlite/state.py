"""State in a SQLite file: keyed bytes, and how far their sources are, in one transaction."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

from slipcore.interfaces import (
    Changes,
    ConnectError,
    IStateStore,
    Positions,
    Probed,
    Scope,
    StateError,
    StateInUseError,
    StateOptions,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

    from slipcore.backends.sqlite.file import SlipFile


class SqliteStateOptions(StateOptions, kw_only=True, forbid_unknown_fields=True):
    """The settings of state in a SQLite file."""

    one_store: ClassVar[bool] = True

    path: str | None = None
    """The database file, from the working directory; None: `slip.db` among the app's state."""

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slipcore.backends.sqlite.probing import probe

        return probe(self.path, (), scope, timeout)


class SqliteStateStore(IStateStore):
    """Spaces of a SQLite file, which is opened at the first use. Any thread may call it.

    A space is claimed by a lock on a file beside the database, which ends with its process.
    """

    def __init__(self, file: SlipFile) -> None:
        self._file = file
        self._lock = Lock()
        self._writing = Lock()
        """Held while a write is under way: no space is given up before it is over."""
        self._reader: Connection | None = None
        self._is_closed = False
        self._ids: dict[str, int] = {}
        self._claims: dict[str, int] = {}

    def attach(self, space: str) -> None:
        with self._lock:
            self._opened()
            if space in self._claims:
                raise self._in_use(space, "another cache of this app")
            claim = self._claim(space)
            try:
                with self._file.translated(ConnectError, f"open the state {space} in"):
                    self._ids[space] = self._id(space)
            except BaseException:
                os.close(claim)
                raise
            self._claims[space] = claim

    def _claim(self, space: str) -> int:
        from slipcore.backends.sqlite.locks import take_lock

        digest = hashlib.sha256(space.encode()).hexdigest()
        path = Path(f"{self._file.path}-locks") / digest[:32]
        try:
            claim = take_lock(path)
            if claim is None:
                raise self._in_use(space, _owner(path))
            os.ftruncate(claim, 0)
            os.pwrite(claim, b"%d" % os.getpid(), 0)
        except OSError as reason:
            raise ConnectError(
                f"can't claim the state {space}: {path}: {reason.strerror}; make this file and its "
                f"directory writable for this user"
            ) from reason
        return claim

    def _in_use(self, space: str, owner: str) -> StateInUseError:
        return StateInUseError(
            f"the state {space} in {self._file.path} is in use by {owner}: stop the other one, "
            f"share one Cache object, or give each a name of its own"
        )

    def _id(self, space: str) -> int:
        """The space's number in the file, a new one if need be."""
        found = self._find(space)
        if found is None:
            with self._file.transaction() as db:
                db.execute("INSERT OR IGNORE INTO spaces (name) VALUES (?)", (space,))
            found = self._find(space)
        assert found is not None
        return found

    def _find(self, space: str) -> int | None:
        rows = self._opened().execute("SELECT id FROM spaces WHERE name = ?", (space,)).fetchall()
        return int(rows[0][0]) if rows else None

    def detach(self, space: str) -> None:
        with self._writing, self._lock:
            claim = self._claims.pop(space, None)
            if claim is not None:
                os.close(claim)

    def get(self, space: str, key: bytes) -> bytes | None:
        with self._lock, self._file.translated(StateError, f"read the state {space} in"):
            rows = (
                self._opened()
                .execute(
                    "SELECT value FROM entries WHERE space = ? AND key = ?",
                    (self._known(space), key),
                )
                .fetchall()
            )
        return rows[0][0] if rows else None

    def scan(
        self,
        space: str,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        backwards: bool = False,
        limit: int = 256,
    ) -> list[tuple[bytes, bytes]]:
        query = "SELECT key, value FROM entries WHERE space = ? AND key >= ?"
        bounds: list[bytes | int] = [start if start is not None else b""]
        if end is not None:
            query += " AND key < ?"
            bounds.append(end)
        query += f" ORDER BY key {'DESC' if backwards else 'ASC'} LIMIT ?"
        with self._lock, self._file.translated(StateError, f"read the state {space} in"):
            return self._opened().execute(query, (self._known(space), *bounds, limit)).fetchall()

    def write(self, changes: Changes, positions: Mapping[str, Positions] = {}) -> None:
        with self._writing:
            with self._lock:
                self._opened()
            puts: list[tuple[int, bytes, bytes]] = []
            deletes: list[tuple[int, bytes]] = []
            for space, written in changes.items():
                if space not in self._claims:
                    raise StateError(
                        f"the state {space} is not attached: attach it before it is written"
                    )
                number = self._ids[space]
                for key, value in written.items():
                    if value is None:
                        deletes.append((number, key))
                    else:
                        puts.append((number, key, value))
            places = [
                (reader, partition, position)
                for reader, reached in positions.items()
                for partition, position in reached.items()
            ]
            doing = "write state to"
            with self._file.translated(StateError, doing), self._file.transaction() as db:
                db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", puts)
                db.executemany("DELETE FROM entries WHERE space = ? AND key = ?", deletes)
                db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", places)

    def positions(self, reader: str) -> Positions:
        with self._lock, self._file.translated(StateError, "read positions in"):
            return dict(
                self._opened().execute(
                    "SELECT partition, position FROM positions WHERE reader = ?", (reader,)
                )
            )

    def close(self) -> None:
        with self._writing, self._lock:
            self._is_closed = True
            for claim in self._claims.values():
                os.close(claim)
            self._claims.clear()
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()
                self._file.release()

    def _known(self, space: str) -> int:
        """The space's number in the file; -1 where it has none, hence no entries."""
        number = self._ids.get(space)
        if number is None:
            number = self._find(space)
            if number is None:
                return -1
            self._ids[space] = number
        return number

    def _opened(self) -> Connection:
        if self._is_closed:
            raise StateError(f"the state in {self._file.path} is closed")
        if self._reader is None:
            self._reader = self._file.acquire_reader()
        return self._reader


def open_state_store(name: str, options: SqliteStateOptions, scope: Scope) -> IStateStore:
    """The app's state in its SQLite file: one store, each cache a space of it."""
    from slipcore.backends.sqlite.file import slip_file

    file = slip_file(scope, options.path)
    return scope.shared(("sqlite-state", file.path), lambda: SqliteStateStore(file))


def _owner(path: Path) -> str:
    """Who holds a claim, as its file tells."""
    pid = path.read_text(errors="replace")
    if pid == str(os.getpid()):
        return "another object of this process"
    return f"process {pid}" if pid.isdigit() else "another process"
