"""Directories: what names become, whose they are, and what is said where none can be had."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rocksdict import Options, Rdict
from slip_rocks.checkpoints import open_checkpoint_store
from slip_rocks.options import RocksCheckpointOptions, RocksStateOptions
from slip_rocks.place import directory_name
from slip_rocks.state import RocksStateStore, open_state_store

from slipcore.interfaces import (
    ConnectError,
    IStateStore,
    SlipError,
    StateFormatError,
    StateInUseError,
)
from slipcore.testing import LocalScope

Open: TypeAlias = Callable[..., RocksStateStore]
OpenNamed: TypeAlias = Callable[..., IStateStore]


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[LocalScope]:
    """The scope of one app."""
    scope = LocalScope("tests", tmp_path / ".slip")
    yield scope
    scope.close()


@pytest.fixture
def attach(scope: LocalScope) -> OpenNamed:
    """The store of a cache, attached."""

    def call(name: str, path: Path | None = None) -> IStateStore:
        options = RocksStateOptions(path=None if path is None else str(path))
        store = open_state_store(name, options, scope)
        store.attach(name)
        return store

    return call


def listing(directory: Path) -> dict[str, bytes]:
    """Every file and what is in it."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("counts", "counts"),
        ("state/x", "state%2Fx"),
        ("../../etc", "%2E%2E%2F%2E%2E%2Fetc"),
        ("orders.lock", "orders%2Elock"),
        ("é 🏆", "%C3%A9%20%F0%9F%8F%86"),
        ("", "%"),
    ],
)
def test_a_cache_has_a_directory_of_its_own(
    attach: OpenNamed, tmp_path: Path, name: str, directory: str
) -> None:
    """Among the app's state, whatever its name."""
    attach(name).write({name: {b"k": b"v"}})
    made = tmp_path / ".slip" / "rocks" / directory
    assert (made / "CURRENT").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {".slip"}
    assert {path.name for path in made.parent.iterdir()} == {directory, f"{directory}.lock"}
    assert [path.stat().st_mode & 0o777 for path in (made.parent.parent, made)] == [0o700, 0o700]


@given(st.lists(st.text(max_size=400), min_size=2, max_size=2, unique=True))
def test_two_names_are_two_directories(names: list[str]) -> None:
    """Neither leads elsewhere, is too long for a system, or meets what stands beside the other."""
    first, second = map(directory_name, names)
    assert first != second
    for encoded in (first, second):
        assert 0 < len(encoded) <= 190
        assert not {"/", ".", "\0"} & set(encoded)


def test_caches_that_name_one_path_are_written_together(attach: OpenNamed, tmp_path: Path) -> None:
    """They are spaces of one database, each with one owner."""
    first, second = attach("x", tmp_path / "db"), attach("y", tmp_path / "db")
    assert first is second
    first.write({"x": {b"k": b"1"}, "y": {b"k": b"2"}}, {"reader": {0: 1}})
    assert (second.get("x", b"k"), second.get("y", b"k")) == (b"1", b"2")
    with pytest.raises(StateInUseError, match="the state x in .*/db is in use by another cache"):
        attach("x", tmp_path / "db")


def test_many_spaces(attach: OpenNamed, tmp_path: Path) -> None:
    """The last key of one is before the first of the next, whatever their numbers."""
    names = [f"s{n}" for n in range(300)]
    for name in names:
        store = attach(name, tmp_path / "db")
    store.write({name: {b"": name.encode(), b"\xff" * 9: b"last"} for name in names})
    for name in names:
        assert store.scan(name) == [(b"", name.encode()), (b"\xff" * 9, b"last")]
        assert store.scan(name, backwards=True, limit=1) == [(b"\xff" * 9, b"last")]


def write_rocksdict(path: Path) -> None:
    with Rdict(str(path)) as database:
        database["key"] = {"a": "value"}


def write_raw_rocksdict(path: Path) -> None:
    with Rdict(str(path), Options(raw_mode=True)) as database:
        database[b"key"] = b"value"


def write_rocksdb(path: Path) -> None:
    write_raw_rocksdict(path)
    (path / "rocksdict-config.json").unlink()


def write_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE notes (text)")
    database.close()


def write_sqlite_within(path: Path) -> None:
    path.mkdir()
    write_sqlite(path / "slip.db")


def write_files(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("of another program")


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (write_rocksdict, "a database of rocksdict"),
        (write_raw_rocksdict, "a database of rocksdict"),
        (write_rocksdb, "a RocksDB database of another program"),
        (write_sqlite, "a SQLite file"),
        (write_sqlite_within, "a directory with the SQLite file slip.db"),
        (write_files, "a directory with 1 files of others, such as notes.txt"),
    ],
)
def test_what_another_program_has_written_is_refused_and_left_alone(
    open_store: Open, tmp_path: Path, make: Callable[[Path], None], found: str
) -> None:
    """Both are named, and not a byte is changed."""
    path = tmp_path / "db"
    make(path)
    before = listing(tmp_path)
    with pytest.raises(StateFormatError) as raised:
        open_store()
    assert str(raised.value) == (
        f"{path} is {found}, not the state of slip-rocks (format 1): name another path, or move it "
        f"away"
    )
    assert {**listing(tmp_path), "db.lock": b""} == {**before, "db.lock": b""}


def test_a_newer_format_is_refused_and_left_alone(open_store: Open, tmp_path: Path) -> None:
    """Both versions are told."""
    open_store().close()
    (tmp_path / "db" / "SLIP-ROCKS").write_text("slip-rocks 2 state\n")
    before = listing(tmp_path / "db")
    with pytest.raises(StateFormatError, match="'slip-rocks 2 state', and .* 'slip-rocks 1 state'"):
        open_store()
    assert listing(tmp_path / "db") == before


def test_a_newer_format_is_known_by_the_database_too(open_store: Open, tmp_path: Path) -> None:
    """Where the file beside it says otherwise, what is inside counts."""
    open_store().close()
    with Rdict(str(tmp_path / "db"), Options(raw_mode=True)) as database:
        database[b"f"] = b"slip-rocks 2 state"
    with pytest.raises(StateFormatError, match="'slip-rocks 2 state', and .* 'slip-rocks 1 state'"):
        open_store()


def test_checkpoints_are_no_state(scope: LocalScope, attach: OpenNamed, tmp_path: Path) -> None:
    """A cache that is given their directory is refused."""
    options = RocksCheckpointOptions(path=str(tmp_path / "db"))
    store = open_checkpoint_store("app", options, scope)
    store.save("a", b"state")
    store.close()
    with pytest.raises(StateFormatError, match="'slip-rocks 1 checkpoints', and"):
        attach("x", tmp_path / "db")


def test_a_database_that_was_not_made_to_the_end_is_made_anew(
    open_store: Open, tmp_path: Path
) -> None:
    """A process that is killed while it makes one leaves nothing that has to be cleared away."""
    open_store().close()
    (tmp_path / "db" / "SLIP-ROCKS").write_text("slip-rocks 1 state unfinished\n")
    (tmp_path / "db" / "CURRENT").unlink()
    store = open_store()
    store.write({"a": {b"k": b"v"}})
    assert store.get("a", b"k") == b"v"


def test_a_directory_that_is_there_and_empty_is_used(open_store: Open, tmp_path: Path) -> None:
    """A volume that was made for it, for example."""
    (tmp_path / "db").mkdir()
    assert open_store().scan("a") == []


def test_many_openings_keep_few_marks(open_store: Open) -> None:
    """What shows lost writes does not grow with the number of starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slip_rocks.database._MARKS_KEPT", 3)
        for n in range(20):
            store = open_store()
            assert store.positions("reader") == ({0: n - 1} if n else {})
            store.write({"a": {b"k": b"v"}}, {"reader": {0: n}})
            keys: list[Any] = list(store.database("a").keys())
            kept = [key for key in keys if key.startswith(b"m")]
            assert 0 < len(kept) <= 4
            store.close()


def file_in_the_way(path: Path) -> Path:
    path.write_text("not a directory")
    return path


def file_above(path: Path) -> Path:
    path.write_text("not a directory")
    return path / "within"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (file_in_the_way, "it is a file, and is to be a directory; move the file away"),
        (file_above, "one of the directories above it is a file; move the file away"),
    ],
)
def test_a_file_where_a_directory_is_to_be(
    attach: OpenNamed, tmp_path: Path, place: Callable[[Path], Path], said: str
) -> None:
    """The path is named, with the way out."""
    path = place(tmp_path / "db")
    with pytest.raises(ConnectError, match=f"can't open the state in {path}: {said}"):
        attach("x", path)


READING_ONLY = """
import sys
from pathlib import Path
from slip_rocks.options import RocksStateOptions
from slip_rocks.state import RocksStateStore
from slipcore.interfaces import ConnectError

store = RocksStateStore(Path(sys.argv[1]), RocksStateOptions())
try:
    store.attach("a")
except ConnectError as error:
    print(error)
"""


def test_a_directory_without_the_right_to_write(open_store: Open, tmp_path: Path) -> None:
    """Nothing is moved or changed, and the sentence says what right is missing."""
    open_store().close()
    path = tmp_path / "db"
    script = [sys.executable, "-c", READING_ONLY, str(path)]
    if os.getuid() == 0:  # who may write anywhere needs a file system that says no
        mount = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}"
        script = ["unshare", "-m", "sh", "-c", f'({mount}) || exit 77; exec "$@"', "sh", *script]
    else:
        tmp_path.chmod(0o500)
        path.chmod(0o500)
        (tmp_path / "db.lock").chmod(0o400)
    result = subprocess.run(script, capture_output=True, text=True, timeout=30, check=False)
    tmp_path.chmod(0o700)
    path.chmod(0o700)
    (tmp_path / "db.lock").chmod(0o600)
    if result.returncode == 77 or "unshare" in result.stderr:
        pytest.skip("root, and no file system can be made read-only here")
    assert result.stderr == ""
    assert result.stdout.startswith(f"can't open the state in {path}: ")
    assert result.stdout.endswith("its files and the one above it writable for this user\n")
    assert list(tmp_path.glob("db.corrupt-*")) == []


FEW_FILES = """
import resource, sys
from pathlib import Path
import slip_rocks.database
from slip_rocks.options import RocksStateOptions
from slip_rocks.state import RocksStateStore
from slipcore.interfaces import ConnectError

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
for files in [*range(3, 30), soft]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    store = RocksStateStore(Path(sys.argv[1]), RocksStateOptions())
    try:
        store.attach("a")
        print("opened")
    except ConnectError as error:
        print(error)
    store.close()
"""


def test_too_many_open_files_are_no_damage(tmp_path: Path, open_store: Open) -> None:
    """What the system can't give now is said, and the database stays where it is."""
    store = open_store(write_buffer_size=64 * 1024)
    for n in range(40):
        store.write({"a": {b"%d-%d" % (n, m): os.urandom(1_000) for m in range(30)}})
    store.close()
    command = [sys.executable, "-c", FEW_FILES, str(tmp_path / "db")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    refusals = [line for line in lines if line != "opened"]
    assert len(refusals) > 3
    assert {line.rpartition("; ")[2] for line in refusals} == {
        "raise the limit on open files (ulimit -n)"
    }
    assert lines[-1] == "opened"
    assert list(tmp_path.glob("db.corrupt-*")) == []
    assert len(open_store().scan("a", limit=2_000)) == 1_200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"path": ""}, 'path names a directory; it is ""'),
        ({"write_buffer_size": 0}, "write_buffer_size is in bytes, at least 65536, not 0"),
    ],
)
def test_settings_that_can_not_be(settings: dict[str, Any], said: str) -> None:
    """They are refused where they are given."""
    with pytest.raises(ValueError, match=said):
        RocksStateOptions(**settings)


def test_a_store_that_is_closed_says_so(open_store: Open) -> None:
    """Reads and writes are errors, not surprises."""
    store = open_store()
    store.write({"a": {b"k": b"v"}}, {"reader": {0: 1}})
    store.close()
    for use in (
        lambda: store.get("a", b"k"),
        lambda: store.scan("a"),
        lambda: store.write({"a": {b"k": b"w"}}),
        lambda: store.positions("reader"),
        lambda: store.database("a"),
    ):
        with pytest.raises(SlipError, match="is closed|is not attached"):
            use()
