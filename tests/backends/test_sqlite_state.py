"""State and checkpoints in a SQLite file: owners, processes, and a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipcore.backends.sqlite.checkpoints import SqliteCheckpointOptions, open_checkpoint_store
from slipcore.backends.sqlite.file import SlipFile, slip_file
from slipcore.backends.sqlite.state import SqliteStateOptions, open_state_store
from slipcore.interfaces import (
    ICheckpointStore,
    IStateStore,
    StateError,
    StateFormatError,
    StateInUseError,
)
from slipcore.testing import LocalScope

OWNER = """
import sys
from pathlib import Path
from slipcore.backends.sqlite.state import SqliteStateOptions, open_state_store
from slipcore.testing import LocalScope
store = open_state_store("counts", SqliteStateOptions(), LocalScope("tests", Path(sys.argv[1])))
store.attach("counts")
for n in range(1, int(sys.argv[2]) + 1):
    store.write({"counts": {b"a": b"%d" % n, b"b": b"%d" % n}}, {"reader": {0: n}})
    print(n, flush=True)
input()
"""


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[LocalScope]:
    """The scope of one app."""
    scope = LocalScope("tests", tmp_path)
    yield scope
    scope.close()


@pytest.fixture
def another(tmp_path: Path) -> Iterator[LocalScope]:
    """The scope of another app on the same state."""
    scope = LocalScope("tests", tmp_path)
    yield scope
    scope.close()


def state(scope: LocalScope, path: str | None = None) -> IStateStore:
    """The state of an app."""
    return open_state_store("counts", SqliteStateOptions(path=path), scope)


def checkpoints(scope: LocalScope, path: str | None = None) -> ICheckpointStore:
    """The checkpoints of an app."""
    return open_checkpoint_store("default", SqliteCheckpointOptions(path=path), scope)


def owner(scope: LocalScope, writes: int) -> subprocess.Popen[bytes]:
    """A process that has claimed the state and written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(scope.state_dir), str(writes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def limit(file: SlipFile, pages: int) -> None:
    """Let the file grow up to so many pages; 1: not at all."""
    with file.transaction() as db:
        db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_space_belongs_to_one_process(scope: LocalScope) -> None:
    """Another process's claim is told with its number, and ends when it is killed."""
    process = owner(scope, 1)
    store = state(scope)
    with pytest.raises(StateInUseError) as caught:
        store.attach("counts")
    assert str(caught.value) == (
        f"the state counts in {scope.state_dir / 'slip.db'} is in use by process {process.pid}: "
        "stop the other one, share one Cache object, or give each a name of its own"
    )
    store.attach("other")
    process.kill()
    process.communicate()
    store.attach("counts")
    assert store.get("counts", b"a") == b"1"


def test_a_space_belongs_to_one_object(scope: LocalScope, another: LocalScope) -> None:
    """Two apps in a process can't share a space; it is free once it is given up."""
    state(scope).attach("counts")
    with pytest.raises(StateInUseError, match="is in use by another object of this process"):
        state(another).attach("counts")
    with pytest.raises(StateInUseError, match="is in use by another cache of this app"):
        state(scope).attach("counts")
    state(scope).detach("counts")
    state(another).attach("counts")


@pytest.mark.parametrize("space", ["", ".", "..", "state/counts", "a\0b", "é" * 300])
def test_any_name_is_a_space(scope: LocalScope, another: LocalScope, space: str) -> None:
    """Names that no file could have are spaces, apart from each other."""
    store = state(scope)
    store.attach(space)
    store.write({space: {b"k": b"v"}})
    assert store.get(space, b"k") == b"v"
    with pytest.raises(StateInUseError):
        state(another).attach(space)


def test_a_killed_writer_leaves_whole_writes(scope: LocalScope) -> None:
    """After kill -9 the values and the position are of one write."""
    process = owner(scope, 100_000)
    assert process.stdout is not None
    for _ in range(50):
        last = int(process.stdout.readline())
    process.kill()
    last = max([last, *map(int, process.communicate()[0].split())])
    store = state(scope)
    position = store.positions("reader")[0]
    assert position in (last, last + 1)
    assert store.get("counts", b"a") == store.get("counts", b"b") == b"%d" % position


def test_a_full_disk(scope: LocalScope) -> None:
    """What can't be written is not there in part, and later the same object goes on."""
    store = state(scope)
    store.attach("counts")
    store.write({"counts": {b"a": b"1"}}, {"reader": {0: 1}})
    file = slip_file(scope, None)
    limit(file, 1)
    with pytest.raises(StateError) as caught:
        store.write({"counts": {b"a": b"2", b"b": b"x" * 100_000}}, {"reader": {0: 2}})
    assert str(caught.value) == (
        f"can't write state to {file.path}: database or disk is full; free some space, then it "
        "can be tried again"
    )
    assert store.scan("counts") == [(b"a", b"1")]
    assert store.positions("reader") == {0: 1}
    limit(file, 1_000_000)
    store.write({"counts": {b"a": b"2", b"b": b"x" * 100_000}}, {"reader": {0: 2}})
    assert store.get("counts", b"a") == b"2"
    assert store.positions("reader") == {0: 2}


def test_a_checkpoint_on_a_full_disk(scope: LocalScope) -> None:
    """The former state is still there."""
    store = checkpoints(scope)
    store.save("deps", b"old")
    limit(slip_file(scope, None), 1)
    with pytest.raises(StateError, match=r"can't save the checkpoint deps to .*slip.db: .*full"):
        store.save("deps", b"x" * 100_000)
    assert store.load("deps") == b"old"


def test_reading_does_not_create_or_claim(scope: LocalScope, another: LocalScope) -> None:
    """A space can be looked at without being claimed; one that is not there is empty."""
    assert state(scope).get("counts", b"a") is None
    assert state(scope).scan("counts") == []
    state(another).attach("counts")
    state(another).write({"counts": {b"a": b"1"}})
    assert state(scope).get("counts", b"a") == b"1"


def test_only_what_is_attached_is_written(scope: LocalScope) -> None:
    """A write to a space that is not claimed is refused, all of it."""
    store = state(scope)
    store.attach("mine")
    with pytest.raises(StateError, match="the state theirs is not attached"):
        store.write({"mine": {b"a": b"1"}, "theirs": {b"a": b"1"}})
    assert store.scan("mine") == []


@pytest.mark.parametrize("use", [lambda s: s.attach("a"), lambda s: s.positions("a")])
def test_a_closed_store_says_so(scope: LocalScope, use: Callable[[IStateStore], object]) -> None:
    """After `close`, which may be called twice, every use is an error."""
    store = state(scope)
    store.attach("b")
    store.close()
    store.close()
    with pytest.raises(StateError, match="is closed"):
        use(store)


def test_closed_checkpoints_say_so(scope: LocalScope) -> None:
    """After `close`, which may be called twice, every use is an error."""
    store = checkpoints(scope)
    store.close()
    store.close()
    with pytest.raises(StateError, match="are closed"):
        store.load("a")


def test_a_file_that_is_not_ours(scope: LocalScope, tmp_path: Path) -> None:
    """State and checkpoints refuse it at their first use, and may still be closed."""
    (tmp_path / "notes.txt").write_text("not a database, whatever its name")
    path = str(tmp_path / "notes.txt")
    with pytest.raises(StateFormatError):
        state(scope, path).attach("a")
    with pytest.raises(StateFormatError):
        checkpoints(scope, path).load("a")
    with pytest.raises(StateFormatError):
        state(scope, path + "/slip.db").attach("a")


def test_one_file_for_all(scope: LocalScope) -> None:
    """State and checkpoints of an app are one object each on one file, closed with the app."""
    assert state(scope) is state(scope)
    assert checkpoints(scope) is checkpoints(scope)
    state(scope).attach("a")
    checkpoints(scope).save("a", b"1")
    before = set(os.listdir(scope.state_dir))
    scope.close()
    assert before - set(os.listdir(scope.state_dir)) == {"slip.db-wal", "slip.db-shm"}
