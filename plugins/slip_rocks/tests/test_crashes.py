"""What ends a process, fills a disk or keeps it busy costs nothing that was written."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from slip_rocks.state import RocksStateStore

from slipcore.interfaces import StateError, StateInUseError

Open: TypeAlias = Callable[..., RocksStateStore]
Reached: TypeAlias = Callable[[RocksStateStore], int]
Write: TypeAlias = Callable[..., "subprocess.Popen[str]"]

SMALL = 64 * 1024

FILLING = """
import resource, sys
from pathlib import Path
from slip_rocks.options import RocksStateOptions
from slip_rocks.state import RocksStateStore
from slipcore.interfaces import StateError

path = Path(sys.argv[1])
options = RocksStateOptions(sync=sys.argv[2] == "sync")
store = RocksStateStore(path, options)
store.attach("a")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # all files: also what a reopening makes

def write(n):
    changes = {b"%06d" % n: b"%d" % n + b"." * 100, b"last": b"%d" % n}
    store.write({"a": changes}, {"reader": {0: n}})

n = 0
for _ in range(3):
    try:
        while True:
            write(n)
            n += 1
    except StateError as error:
        print(n, error)
    assert store.get("a", b"last") == b"%d" % (n - 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
for n in range(n, n + 100):
    write(n)
print(n + 1)
"""


STALLING = """
import sys, threading, time
from pathlib import Path
from slip_rocks.options import RocksStateOptions
from slip_rocks.state import RocksStateStore

store = RocksStateStore(Path(sys.argv[1]), RocksStateOptions(write_buffer_size=65536))
store.attach("a")
database = store.database("a")
database.set_options({"level0_file_num_compaction_trigger": "1000"})
database.set_options({"level0_slowdown_writes_trigger": "2", "level0_stop_writes_trigger": "2"})

def write():
    for n in range(20):
        store.write({"a": {b"%d" % n: bytes(65536)}}, {"reader": {0: n}})

writing = threading.Thread(target=write)
writing.start()
longest, last = 0.0, time.monotonic()
end = last + 1
while last < end:
    time.sleep(0.001)
    longest, last = max(longest, time.monotonic() - last), time.monotonic()
print(store.positions("reader")[0], longest)
database.set_options({"level0_file_num_compaction_trigger": "2"})
writing.join()
print(store.positions("reader")[0])
store.close()
"""


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_writer_that_is_killed_loses_no_write_that_has_returned(
    open_store: Open, write_generations: Write, reached: Reached, wait: float
) -> None:
    """Killed anywhere, over and over: values and position agree, and are not behind."""
    for _ in range(2):
        writer = write_generations(100_000)
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        time.sleep(wait)
        writer.kill()
        rest, _ = writer.communicate()
        acknowledged = max([acknowledged, *map(int, rest.split("\n")[:-1])])
        store = open_store()
        assert reached(store) in (acknowledged + 1, acknowledged + 2)
        store.close()


@pytest.mark.parametrize("sync", ["", "sync"])
def test_a_full_disk_refuses_writes_and_keeps_what_was_there(
    open_store: Open, tmp_path: Path, reached: Reached, sync: str
) -> None:
    """Reads go on; when there is room again writes do, in the same object, and none is torn."""
    command = [sys.executable, "-c", FILLING, str(tmp_path / "db"), sync]
    filling = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert filling.stderr == ""
    *refusals, written = filling.stdout.splitlines()
    assert len(refusals) == 3
    for refusal in refusals:
        assert f"can't write state to {tmp_path / 'db'}: " in refusal
        assert refusal.endswith(
            "File too large; free some space (or raise the limit on it), then it can be tried again"
        )
    assert reached(open_store()) == int(written) > 100


def test_a_database_has_one_process(open_store: Open, write_generations: Write) -> None:
    """The second is told the first one's process id, and gets it when that has ended."""
    writer = write_generations(1_000_000)
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(StateInUseError, match=rf"/db is in use by process {writer.pid}: stop"):
        open_store()
    writer.kill()
    writer.communicate()
    open_store()


def test_a_database_has_one_object(open_store: Open) -> None:
    """Two apps of one process are told too, and none sees the other's writes half."""
    first = open_store()
    with pytest.raises(StateInUseError, match="is in use by another object of this process"):
        open_store()
    first.close()
    open_store()


def test_a_database_that_another_program_has_open(open_store: Open, tmp_path: Path) -> None:
    """RocksDB's own lock is respected, and told."""
    from rocksdict import Options, Rdict

    open_store().close()
    other = Rdict(str(tmp_path / "db"), Options(raw_mode=True))
    with pytest.raises(StateInUseError, match="is in use by another program"):
        open_store()
    other.close()
    open_store()


def test_a_busy_disk_makes_the_writer_wait_and_nobody_else(tmp_path: Path) -> None:
    """A write that RocksDB can't take yet is tried again, while other threads run."""
    command = [sys.executable, "-c", STALLING, str(tmp_path / "db")]
    # A writer that held the interpreter's lock would never be released by the other thread.
    stalling = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert stalling.stderr == ""
    reached_while_stalled, longest_pause, reached_afterwards = stalling.stdout.split()
    assert int(reached_while_stalled) < 19
    assert float(longest_pause) < 0.3
    assert int(reached_afterwards) == 19


def test_a_disk_that_never_keeps_up_is_told(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write fails after a bounded wait, nothing of it is there, and it may be tried again."""
    monkeypatch.setattr("slip_rocks.database.STALL_SECONDS", 0.2)
    store = open_store(write_buffer_size=SMALL)
    database = store.database("a")
    database.set_options({"level0_file_num_compaction_trigger": "1000"})
    database.set_options({"level0_slowdown_writes_trigger": "2", "level0_stop_writes_trigger": "2"})
    n = 0
    with pytest.raises(StateError, match="can't write state to .*: the disk has not kept up"):
        for n in range(20):
            store.write({"a": {b"%d" % n: bytes(SMALL)}}, {"reader": {0: n}})
    assert store.positions("reader") == {0: n - 1}
    assert store.get("a", b"%d" % n) is None
    database.set_options({"level0_file_num_compaction_trigger": "2"})
    monkeypatch.setattr("slip_rocks.database.STALL_SECONDS", 30.0)
    store.write({"a": {b"%d" % n: b"v"}}, {"reader": {0: n}})
    assert store.get("a", b"%d" % n) == b"v"


def test_threads_share_a_store(open_store: Open, reached: Reached) -> None:
    """Reads and scans of several threads see whole writes of another one."""
    store = open_store(write_buffer_size=SMALL)
    failures: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set():
                position = store.positions("reader").get(0, -1)
                if position >= 0:
                    assert store.get("a", b"%06d" % position) is not None
                found = store.scan("a", backwards=True, limit=2)
                assert len(found) in (0, 2)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(1_000):
        changes = {b"%06d" % n: b"%d" % n + b"." * 100, b"last": b"%d" % n}
        store.write({"a": changes}, {"reader": {0: n}})
    over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert reached(store) == 1_000


def test_a_hundred_thousand_keys(open_store: Open) -> None:
    """All are there, in order, page by page and after a reopening, and none was evicted."""
    store = open_store()
    for first in range(0, 100_000, 1_000):
        store.write({"a": {n.to_bytes(4, "big"): b"%d" % n for n in range(first, first + 1_000)}})
    store.close()
    store = open_store()
    found: list[bytes] = []
    while page := store.scan("a", found[-1] + b"\0" if found else None, limit=10_000):
        found += [key for key, _ in page]
    assert found == [n.to_bytes(4, "big") for n in range(100_000)]
    assert store.get("a", (99_999).to_bytes(4, "big")) == b"99999"
