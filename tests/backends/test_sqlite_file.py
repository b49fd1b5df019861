"""What a SQLite file must be to be used, and what is said of one that can't be."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import pytest

from slipcore.backends.sqlite.file import SlipFile, check_format
from slipcore.interfaces import StateError, StateFormatError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where no file is yet, nor its directory."""
    return tmp_path / "state" / "slip.db"


def opened(path: Path) -> None:
    """Open a file and close it."""
    file = SlipFile(path)
    try:
        file.acquire()
    finally:
        file.close()


def test_only_the_owner_may_read_what_is_made(path: Path) -> None:
    """The directory is made with mode 0700 and the file, its log too, with 0600."""
    file = SlipFile(path)
    file.acquire()
    modes = {p.name: p.stat().st_mode & 0o777 for p in (path.parent, *path.parent.iterdir())}
    file.close()
    assert modes == {"state": 0o700, "slip.db": 0o600, "slip.db-wal": 0o600, "slip.db-shm": 0o600}


def test_every_commit_is_synced(path: Path) -> None:
    """The file is in WAL mode, and each commit waits for the disk."""
    file = SlipFile(path)
    file.acquire()
    with file.transaction() as db:
        assert db.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        assert db.execute("PRAGMA synchronous").fetchall() == [(2,)]
    file.close()


def test_a_file_bears_its_format(path: Path) -> None:
    """The application id and the version are where tools look for them."""
    opened(path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA application_id").fetchall() == [(0x736C6970,)]
    assert db.execute("PRAGMA user_version").fetchall() == [(1,)]
    db.close()


def test_a_newer_format_is_refused(path: Path) -> None:
    """The sentence names the file and both versions, and the file stays as it is."""
    opened(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 7")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StateFormatError) as caught:
        opened(path)
    assert str(caught.value) == (
        f"{path} has format 7, and this slipcore reads format 1: use the slipcore that wrote it, "
        "or name another path"
    )
    assert path.read_bytes() == before


def test_a_file_of_another_program_is_refused(path: Path) -> None:
    """Tables that are not ours are left alone, and so is their journal mode."""
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StateFormatError, match=r"a SQLite file with application id 0x0, not"):
        opened(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"name,age\nada,36\n", b"\0" * 5000])
def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    """A file that SQLite can't read is named as such."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StateFormatError, match="is no SQLite file, not a file of slipcore"):
        opened(path)
    assert path.read_bytes() == content


def test_a_directory_is_another_backends(path: Path) -> None:
    """Where a directory is, another backend keeps its state."""
    path.mkdir(parents=True)
    with pytest.raises(StateFormatError, match="is a directory, as backends other than sqlite"):
        opened(path)


def test_an_empty_file_becomes_ours(path: Path) -> None:
    """What somebody has touched beforehand, for its mode, is used."""
    path.parent.mkdir()
    path.touch()
    opened(path)
    assert path.stat().st_size > 0


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    """A file in the place of a directory is named, and left alone."""
    (tmp_path / "taken").touch()
    with pytest.raises(StateFormatError, match=r"can't create .*taken/slip.db: .*taken is a file"):
        opened(tmp_path / "taken" / "slip.db")


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from slipcore.backends.sqlite.file import SlipFile, check_format
from slipcore.interfaces import ConnectError
path = Path(sys.argv[1])
SlipFile(path).acquire()
os.chmod(path.parent, 0o755)
os.chmod(path, 0o444)
if os.getuid() == 0:
    os.setuid(65534)
try:
    SlipFile(path).acquire()
except ConnectError as error:
    print(error)
"""


def test_a_read_only_file() -> None:
    """A file that may not be written to is a ConnectError with the way out."""
    place = Path(mkdtemp())  # pytest's own is closed to other users
    path = place / "slip.db"
    try:
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(path)],
            capture_output=True,
            check=True,
            text=True,
            timeout=30,
        )
    finally:
        for file in place.glob("*"):
            file.unlink()
        place.rmdir()
    assert done.stdout == (
        f"can't write to {path}: {path} is read-only; make the file and its directory writable "
        f"for this user\n"
    )


def test_a_file_that_is_filled_while_it_is_looked_at(path: Path) -> None:
    """What is seen of it is from one moment, here from before."""
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")

    def fill(statement: str) -> None:
        if "user_version" in statement:
            db.set_trace_callback(None)
            opened(path)

    db.set_trace_callback(fill)
    assert check_format(db, path)
    assert not check_format(db, path)
    db.close()


def test_a_failed_block_leaves_nothing(path: Path) -> None:
    """What raises within a transaction is undone, and the next one goes on."""
    file = SlipFile(path)
    file.acquire()
    with pytest.raises(ZeroDivisionError), file.transaction() as db:
        db.execute("INSERT INTO spaces (name) VALUES ('x')")
        raise ZeroDivisionError
    with file.transaction() as db:
        assert db.execute("SELECT * FROM spaces").fetchall() == []
    file.close()


def test_the_last_user_closes(path: Path) -> None:
    """A file is open as long as one who uses it is left; what is closed says so."""
    file = SlipFile(path)
    file.acquire()
    file.acquire()
    file.release()
    with file.transaction():
        pass
    file.release()
    with pytest.raises(StateError, match="is closed"), file.transaction():
        pass
    file.close()
    file.close()
