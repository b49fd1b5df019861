"""One SQLite file: its format, its one writing connection, and how its errors are told."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Final

from slipcore.backends.sqlite.bells import Bells
from slipcore.interfaces import ConnectError, Scope, SlipError, StateError, StateFormatError

APPLICATION_ID: Final = 0x736C6970
"""Marks a file as ours, in the field that SQLite keeps for it ("slip" in ASCII)."""

FORMAT: Final = 1
"""Version of the tables below, kept as the file's `user_version`."""

BUSY_SECONDS: Final = 10.0
"""How long to wait while another process writes."""

_SCHEMA: Final = """
CREATE TABLE topics (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    keyless INTEGER NOT NULL DEFAULT 0);
CREATE TABLE partitions (
    topic INTEGER, partition INTEGER, next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE records (
    topic INTEGER, partition INTEGER, offset INTEGER, timestamp INTEGER NOT NULL,
    key BLOB, value BLOB, headers BLOB,
    PRIMARY KEY (topic, partition, offset)) WITHOUT ROWID;
CREATE TABLE committed (
    consumer_group TEXT, topic INTEGER, partition INTEGER, position INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)) WITHOUT ROWID;
CREATE TABLE epochs (
    consumer_group TEXT, topic INTEGER, epoch INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, topic)) WITHOUT ROWID;
CREATE TABLE members (
    joined INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE,
    consumer_group TEXT NOT NULL, topic INTEGER NOT NULL, instance_id TEXT,
    session_timeout REAL NOT NULL);
CREATE TABLE leases (
    consumer_group TEXT, topic INTEGER, partition INTEGER, token TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)) WITHOUT ROWID;
CREATE TABLE spaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE entries (
    space INTEGER, key BLOB, value BLOB NOT NULL,
    PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE TABLE positions (
    reader TEXT, partition INTEGER, position INTEGER NOT NULL,
    PRIMARY KEY (reader, partition)) WITHOUT ROWID;
CREATE TABLE checkpoints (name TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID
"""

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "free some space, then it can be tried again",
    sqlite3.SQLITE_BUSY: f"another process has been writing to it for {BUSY_SECONDS:g} s: stop it",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable for this user",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: put a backup in its place",
    sqlite3.SQLITE_IOERR: "look at the disk and its free space, then it can be tried again",
    sqlite3.SQLITE_CANTOPEN: "check that its directory is there and may be written to",
}

_CREATION: Final = Lock()
"""POSIX drops all locks of a process on a file when any descriptor of it is closed: while one
thread creates the file, no other may have SQLite lock it."""


class SlipFile:
    """The file of an app: one writing connection for all its topics and state, made while used.

    Writes of one process wait for each other here, where it costs less than in SQLite's polling.

    Attributes:
        path: where it is.
        bells: wakes who waits for something that is written to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bells = Bells()
        self._lock = Lock()
        self._writer: sqlite3.Connection | None = None
        self._users = 0

    def __repr__(self) -> str:
        return f"<SlipFile {self.path}>"

    def acquire(self) -> None:
        """Open the file for one more user, creating it if need be.

        Raises:
            ConnectError: it can't be opened or is read-only.
            StateFormatError: it is not ours, or of another format.
        """
        with self._lock:
            if self._writer is None:
                self._writer = _open(self.path)
            self._users += 1

    def release(self) -> None:
        """Let go of it; the last user closes it."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if not self._users:
                self._close_writer()

    def close(self) -> None:
        """Close it, whoever uses it. May be called twice."""
        with self._lock:
            self._users = 0
            self._close_writer()

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def reader(self) -> sqlite3.Connection:
        """A connection of one's own that only reads and that no write makes wait."""
        with self.translated(ConnectError, "open"):
            db = _connect(self.path)
            try:
                db.execute("PRAGMA query_only = ON")
            except BaseException:
                db.close()
                raise
            return db

    def acquire_reader(self) -> sqlite3.Connection:
        """`acquire`, and a `reader` for who opens at the first use."""
        self.acquire()
        try:
            return self.reader()
        except BaseException:
            self.release()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all of the block durably, or nothing of it. Blocks while another one writes."""
        with self._lock:
            db = self._writer
            if db is None:
                raise StateError(f"{self.path} is closed: open what writes to it first")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # some errors have rolled back already
                    db.execute("ROLLBACK")
                raise

    def translated(self, error: type[SlipError], doing: str) -> Translated:
        """A block whose errors are told as `error`, with what was being done to this file."""
        return Translated(self.path, error, doing)


class Translated:
    """Tells errors of SQLite and the system as `error`: what failed, why, and what helps.

    A class, since every read goes through it: as a generator it would take twice as long.
    """

    __slots__ = ("_doing", "_error", "_path")

    def __init__(self, path: Path, error: type[SlipError], doing: str) -> None:
        self._path = path
        self._error = error
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, at: object
    ) -> None:
        if isinstance(reason, sqlite3.Error):
            raise self._error(_sentence(self._path, self._doing, reason)) from reason
        if isinstance(reason, OSError) and not isinstance(reason, SlipError):
            raise self._error(f"can't {self._doing} {self._path}: {reason}") from reason


def slip_file(scope: Scope, path: str | None) -> SlipFile:
    """The one object that an app's backends share for a file.

    Args:
        scope: the app's.
        path: None for the app's own file.
    """
    place = place_of(scope, path)
    return scope.shared(("sqlite", place), lambda: SlipFile(place))


def place_of(scope: Scope, path: str | None) -> Path:
    """Where a file is; None: the app's own."""
    return Path(os.path.abspath(path)) if path is not None else scope.state_dir / "slip.db"


def make_directory(path: Path) -> None:
    """Make a directory for the owner only, and those above it, durably."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _sentence(path: Path, doing: str, reason: sqlite3.Error) -> str:
    code = getattr(reason, "sqlite_errorcode", None)
    advice = _ADVICE.get(code & 0xFF) if code is not None else None
    return f"can't {doing} {path}: {reason}" + (f"; {advice}" if advice else "")


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def _open(path: Path) -> sqlite3.Connection:
    """A writing connection to a file that is known to be ours."""
    try:
        _create(path)
    except (FileExistsError, NotADirectoryError) as reason:
        raise StateFormatError(
            f"can't create {path}: {path.parent} is a file, and is to be a directory; move the "
            f"file away, or name another path"
        ) from reason
    except OSError as reason:
        raise ConnectError(
            f"can't create {path}: {reason.strerror}; name another path, or make its directory "
            f"writable for this user"
        ) from reason
    for place in (path, path.parent):
        if not os.access(place, os.W_OK):
            raise ConnectError(
                f"can't write to {path}: {place} is read-only; make the file and its directory "
                f"writable for this user"
            )
    try:
        db = _connect(path)
        try:
            _claim(db, path)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as reason:
        if getattr(reason, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise StateFormatError(_foreign(path, "no SQLite file")) from reason
        raise ConnectError(_sentence(path, "open", reason)) from reason
    return db


def _create(path: Path) -> None:
    """Make an empty file for the owner only, if there is none."""
    if path.is_dir():
        raise StateFormatError(
            f"{path} is a directory, as backends other than sqlite keep, and no SQLite file: "
            f"name another path, or the backend that wrote it"
        )
    make_directory(path.parent)
    with _CREATION:
        if not path.exists():
            with suppress(FileExistsError):  # another process was faster
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _claim(db: sqlite3.Connection, path: Path) -> None:
    """Check that the file is ours and of this format; make it so if it is empty."""
    fresh = check_format(db, path)
    _use_wal(db)
    if not fresh:
        return
    db.execute("BEGIN IMMEDIATE")
    if _is_fresh(db, path):  # another thread or process may have been faster
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
    db.execute("COMMIT")


def check_format(db: sqlite3.Connection, path: Path) -> bool:
    """Whether a file is empty; one that is not has to be ours.

    Raises:
        StateFormatError: it is not, or it is of another format.
    """
    db.execute("BEGIN")  # one look: another may be filling the file
    try:
        return _is_fresh(db, path)
    finally:
        db.execute("ROLLBACK")


def _is_fresh(db: sqlite3.Connection, path: Path) -> bool:
    ((tables,),) = db.execute("SELECT count(*) FROM sqlite_master").fetchall()
    ((application,),) = db.execute("PRAGMA application_id").fetchall()
    ((version,),) = db.execute("PRAGMA user_version").fetchall()
    if application == APPLICATION_ID:
        if version != FORMAT:
            raise StateFormatError(
                f"{path} has format {version}, and this slipcore reads format {FORMAT}: use the "
                f"slipcore that wrote it, or name another path"
            )
        return False
    if application or version or tables:
        raise StateFormatError(
            _foreign(path, f"a SQLite file with application id {application:#x}")
        )
    return True


def _foreign(path: Path, found: str) -> str:
    return (
        f"{path} is {found}, not a file of slipcore (application id {APPLICATION_ID:#x}, format "
        f"{FORMAT}): name another path, or move it away"
    )


def _use_wal(db: sqlite3.Connection) -> None:
    # The change of the journal mode does not wait for others as everything else does.
    deadline = monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as reason:
            if reason.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
        sleep(0.01)
