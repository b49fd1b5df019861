"""Asking whether a SQLite file is there and of use, without making or changing it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from slipcore.backends.sqlite.file import check_format, place_of
from slipcore.interfaces import ConnectError, Probed, Scope, StateFormatError


def probe(path: str | None, topics: Collection[str], scope: Scope, timeout: float) -> Probed:
    """Look at the file that an app's backends share.

    Args:
        path: None for the app's own file.
        topics: those that are looked for in it.
        scope: the app's.
        timeout: seconds to wait while another process writes.

    Raises:
        ConnectError: it can't be read, or neither written nor made.
        StateFormatError: it is not ours, or of another format.
    """
    place, version = place_of(scope, path), sqlite3.sqlite_version
    _check_rights(place)
    if not place.exists():
        missing = f"the file {place} is not there yet; it is made at the first use"
        return Probed(f"SQLite {version}", version, (missing,))
    # To read a file with a log SQLite makes one where none is left, and leaves it there.
    has_log = Path(f"{place}-wal").exists()
    look = f"{place.as_uri()}?{'mode=ro' if has_log else 'immutable=1'}"
    try:
        with closing(sqlite3.connect(look, timeout, uri=True)) as db:
            known = {name for (name,) in _topics(db, place)}
    except sqlite3.DatabaseError as reason:
        if getattr(reason, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise StateFormatError(
                f"{place} is no SQLite file: name another path, or move it away"
            ) from reason
        raise ConnectError(f"can't read {place}: {reason}") from reason
    absent = [name for name in sorted(topics) if name not in known]
    return Probed(
        f"SQLite {version}, {place}",
        version,
        tuple(f"the topic {name} is not there yet; it is made at the start" for name in absent),
    )


def _topics(db: sqlite3.Connection, place: Path) -> list[tuple[str]]:
    is_fresh = check_format(db, place)
    return [] if is_fresh else db.execute("SELECT name FROM topics").fetchall()


def _check_rights(place: Path) -> None:
    """That the file may be written; or made, with the directories above it."""
    for there in (place, *place.parents):
        if there.exists():
            break
    if there.is_dir() == (there == place):
        found, wanted = ("file", "directory") if there != place else ("directory", "file")
        raise StateFormatError(f"{there} is a {found}, and is to be a {wanted}: name another path")
    for one in {there, there if there.is_dir() else there.parent}:
        if not os.access(one, os.W_OK):
            raise ConnectError(
                f"can't write to {place}: {one} is read-only; make the file and its directory "
                "writable for this user"
            )
