"""Damaged files are found and said, and never give values and positions that disagree."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from slip_rocks.failures import is_damaged
from slip_rocks.state import RocksStateStore

from slipcore.interfaces import SlipError, StateError

Open: TypeAlias = Callable[..., RocksStateStore]
Write: TypeAlias = Callable[..., "subprocess.Popen[str]"]
Reached: TypeAlias = Callable[[RocksStateStore], int]
Damage: TypeAlias = Callable[[Path], None]


def flip(path: Path, at: float, count: int = 1) -> None:
    """Turn over bytes at a part of the file's length."""
    data = bytearray(path.read_bytes())
    place = int(len(data) * at)
    data[place : place + count] = bytes(byte ^ 0xFF for byte in data[place : place + count])
    path.write_bytes(data)


def cut(path: Path, at: float) -> None:
    os.truncate(path, int(path.stat().st_size * at))


def last_log(database: Path) -> Path:
    return max(database.glob("*.log"))


def first_table(database: Path) -> Path:
    return min(database.glob("*.sst"))


def manifest(database: Path) -> Path:
    return database / (database / "CURRENT").read_text().strip()


def contents(database: Path) -> dict[str, bytes]:
    """What is in its files, but for the log that is for people."""
    files = {path.name: path for path in database.iterdir() if not path.name.startswith("LOG")}
    return {name: path.read_bytes() for name, path in files.items()}


def refused(open_store: Open, database: Path) -> str:
    """What is said of a database that can't be opened; it is looked at that it was moved aside."""
    before = contents(database)
    with pytest.raises(StateError) as raised:
        open_store()
    (aside,) = database.parent.glob("db.corrupt-*")
    assert not database.exists()
    assert contents(aside) == before
    sentence = str(raised.value)
    assert sentence.startswith(f"the state in {database} is damaged (")
    assert f"was moved to {aside} as it is: put a backup in its place;" in sentence
    return sentence


@pytest.mark.parametrize("database", ["log", "tables"], indirect=True)
def test_a_killed_writer_leaves_all_it_has_written(
    open_store: Open, database: Path, reached: Reached
) -> None:
    """Nothing has to be damaged for the next tests to pass by chance."""
    assert reached(open_store()) == 2_000


@pytest.mark.parametrize("database", ["log", "tables"], indirect=True)
@pytest.mark.parametrize("at", [0.3, 0.5, 0.9999])
def test_a_log_with_a_flipped_byte_is_refused(open_store: Open, database: Path, at: float) -> None:
    """What came before it is not taken for all there is."""
    flip(last_log(database), at)
    assert "checksum mismatch" in refused(open_store, database)


@pytest.mark.parametrize("database", ["log", "tables"], indirect=True)
@pytest.mark.parametrize("at", [0.1, 0.5, 0.999])
def test_a_log_without_its_end_gives_an_earlier_whole_state(
    open_store: Open, database: Path, reached: Reached, at: float
) -> None:
    """As after a loss of power: the position went back with the values, so sources go on there."""
    cut(last_log(database), at)
    assert 0 <= reached(open_store()) < 2_000


@pytest.mark.parametrize("database", ["tables"], indirect=True)
@pytest.mark.parametrize("at", [n / 20 for n in range(1, 20)])
def test_a_cut_manifest_never_gives_values_without_their_position(
    open_store: Open, database: Path, reached: Reached, at: float
) -> None:
    """It names the older tables only; the log of the newest writes must not be read on top."""
    cut(manifest(database), at)
    try:
        store = open_store()
    except StateError:
        assert not database.exists()
    else:
        assert reached(store) <= 2_000


def test_a_stretch_of_writes_that_is_gone_is_told(
    open_store: Open, write_generations: Write, tmp_path: Path
) -> None:
    """RocksDB opens such a database without an error, and deletes the tables of the stretch."""
    write_generations(700).communicate()  # several tables, and too few of them to be compacted
    written, database = (tmp_path / "db").rename(tmp_path / "written"), tmp_path / "db"
    said = []
    for part in range(49, 10, -1):  # where the notes of the flushes are is left to chance
        shutil.rmtree(database, ignore_errors=True)
        shutil.copytree(written, database)
        cut(manifest(database), part / 50)
        try:
            open_store().close()
        except StateError as error:
            said.append(str(error))
    assert any("writes between older and newer ones are gone" in sentence for sentence in said)


def remove(find: Callable[[Path], Path]) -> Damage:
    return lambda database: find(database).unlink()


@pytest.mark.parametrize("database", ["tables"], indirect=True)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda database: flip(manifest(database), 0.6), "checksum mismatch"),
        (remove(manifest), "No such file or directory"),
        (lambda database: (database / "CURRENT").unlink(), "No such file or directory"),
        (lambda database: (database / "CURRENT").write_text(""), "CURRENT file"),
        (remove(first_table), "No such file or directory"),
        (lambda database: cut(first_table(database), 0.5), "size mismatch"),
        (lambda database: cut(first_table(database), 0), "Sst file size mismatch"),
    ],
    ids=["manifest", "no manifest", "no CURRENT", "empty CURRENT", "no table", "cut", "empty"],
)
def test_files_that_are_missing_or_damaged_are_told(
    open_store: Open, database: Path, damage: Damage, said: str
) -> None:
    """The database is moved aside whole, and the sentence says where and what to do."""
    damage(database)
    assert said in refused(open_store, database)


@pytest.mark.parametrize("database", ["tables"], indirect=True)
def test_the_start_after_a_refusal_begins_with_nothing_and_says_so(
    open_store: Open, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of the damaged database is in the new one."""
    flip(last_log(database), 0.5)
    refused(open_store, database)
    store = open_store()
    assert (store.scan("a"), store.positions("reader")) == ([], {})
    (aside,) = database.parent.glob("db.corrupt-*")
    assert [record.getMessage() for record in caplog.records] == [
        f"The state in {database} begins with nothing: it was damaged, and is in {aside}."
    ]


def test_a_damaged_block_is_an_error_wherever_it_is_read(open_store: Open, tmp_path: Path) -> None:
    """A scan that meets it raises: it neither stops early nor skips what it can't read."""
    store = open_store(write_buffer_size=64 * 1024)
    for first in range(0, 20_000, 500):
        keys = range(first, first + 500)
        store.write({"a": {b"%06d" % n: os.urandom(20) for n in keys}})
    store.database("a").flush()
    store.database("a").compact_range(None, None)
    store.close()
    flip(max((tmp_path / "db").glob("*.sst"), key=lambda table: table.stat().st_size), 0.4)
    store = open_store()

    def all_keys(backwards: bool) -> int:
        return len(store.scan("a", backwards=backwards, limit=1_000_000))

    told = []
    for backwards in (False, True):
        with pytest.raises(
            StateError, match="can't read the state a in .*/db: .*put a backup"
        ) as e:
            all_keys(backwards)
        told.append(e)
    store.close()
    store = open_store()  # though the errors are still held, and where they came from
    unread = 0
    for n in range(20_000):
        try:
            assert store.get("a", b"%06d" % n) is not None
        except StateError:
            unread += 1
    assert 0 < unread < 20_000


@pytest.mark.parametrize(
    ("reason", "damaged"),
    [
        ("Corruption: checksum mismatch", True),
        ("Corruption: IO error: While open a file: 9.sst: No such file or directory", True),
        ("Corruption: IO error: While open a file: 9.sst: Permission denied", False),
        ("Corruption: IO error: While open a file: 9.sst: Too many open files", False),
        ("IO error: No space left on device: While appending to file: 9.log", False),
    ],
)
def test_what_is_out_of_reach_is_not_damaged(reason: str, damaged: bool) -> None:
    """RocksDB tells as corruption too what the system does not let it open."""
    assert is_damaged(reason) is damaged


def test_damage_that_is_found_while_it_runs_does_not_begin_anew(
    open_store: Open, tmp_path: Path
) -> None:
    """A database that can't be opened again after a failure ends with an error, every time."""
    store = open_store()
    store.write({"a": {b"k": b"v"}}, {"reader": {0: 1}})
    store.database("a").close()
    with pytest.raises(StateError, match="is closed"):
        store.write({"a": {b"k": b"w"}})
    (tmp_path / "db" / "CURRENT").unlink()
    with pytest.raises(StateError, match="is damaged"):
        store.write({"a": {b"k": b"w"}})
    for _ in range(2):
        with pytest.raises(SlipError, match="is closed"):
            store.get("a", b"k")
        with pytest.raises(SlipError, match="is closed"):
            store.write({"a": {b"k": b"w"}})
    assert not (tmp_path / "db").exists()
