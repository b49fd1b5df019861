"""Files of state that are not what they were."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.faults.bare_state import State
from tests.faults.checker import End
from tests.faults.disks import TABLES
from tests.faults.fault import fault
from tests.faults.state_deaths import RESTART
from tests.faults.topics import on_redis
from tests.faults.workers import FaultError, Worker
from tests.faults.yard import PATIENCE, Yard

REFUSALS: Final = (1, 2)
"""Exit codes of an app that can't go on with what it finds."""
PAGE: Final = 4096


def _largest(directory: Path, pattern: str) -> Path | None:
    """The largest file of a kind, if there is one with something in it."""
    files = sorted(directory.rglob(pattern), key=lambda path: path.stat().st_size)
    return files[-1] if files and files[-1].stat().st_size else None


def _flip(file: Path, chance: Random, *, first: float = 0.2, count: int = 16) -> None:
    content = bytearray(file.read_bytes())
    at = round(len(content) * chance.uniform(first, 0.8))
    for place in range(at, min(at + count, len(content))):
        content[place] ^= 0xFF
    file.write_bytes(content)


def _cut(file: Path, chance: Random) -> None:
    with file.open("r+b") as opened:
        opened.truncate(round(file.stat().st_size * chance.uniform(0.2, 0.9)))


def _remove(file: Path, chance: Random) -> None:
    file.unlink()


def _zero_a_page(file: Path, chance: Random) -> None:
    pages = file.stat().st_size // PAGE
    with file.open("r+b") as opened:
        opened.seek(chance.randrange(pages) * PAGE)
        opened.write(bytes(PAGE))


Change = Callable[[Path, Random], None]
ROCKS: Final[Mapping[str, tuple[str, Change]]] = {
    "the log with bytes flipped": ("*.log", _flip),
    "the log cut off": ("*.log", _cut),
    "the log gone": ("*.log", _remove),
    "the manifest with bytes flipped": ("MANIFEST-*", _flip),
    "the manifest cut off": ("MANIFEST-*", _cut),
    "a table with bytes flipped": ("*.sst", _flip),
    "a table cut off": ("*.sst", _cut),
    "a table gone": ("*.sst", _remove),
    "CURRENT gone": ("CURRENT", _remove),
}
SQLITE: Final[Mapping[str, tuple[str, Change]]] = {
    "the file cut off": ("slip.db", _cut),
    "a page of zeros": ("slip.db", _zero_a_page),
    "its log with bytes flipped": ("slip.db-wal", _flip),
    "its log cut off": ("slip.db-wal", _cut),
    "its log gone": ("slip.db-wal", _remove),
}


def damaged(
    yard: Yard, cache: str, ways: Mapping[str, tuple[str, Change]], state: Mapping[str, Any] | None
) -> None:
    """Damage the state of a worker that was killed; it is refused, or nothing of it is used.

    What is refused is replaced by a backup, with which the next worker goes on.
    """
    yard.prepare(topics=on_redis(yard.lane.redis), cache=cache, state=state, commit=0.2)
    yard.fill(2500)
    yard.feed(100)
    kept, backup = yard.directory / ".slip", yard.directory / "backup"
    first = yard.start()
    yard.until_handled(500)
    # What is stored here is in the file itself, or in a table: a log alone may be lost wholly,
    # which nobody can tell from a state that is new; an app that begins with it warns.
    yard.terminate(first)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(500, 1500))
    yard.kill(worker)
    shutil.copytree(kept, backup, ignore=shutil.ignore_patterns("run"))
    saved = yard.state()
    found = [(name, each) for name, each in ways.items() if _largest(kept, each[0])]
    name, (pattern, change) = yard.chance.choice(found)
    file = _largest(kept, pattern)
    assert file is not None
    change(file, yard.chance)
    # What lies behind the position of the state that is found now is handled once more.
    yard.evidence.ends += (End(each.name, False, {}) for each in (first, worker))
    moment = time.monotonic()
    second = yard.start()
    if goes_on(yard, second):
        yard.recoveries.append(time.monotonic() - moment)
    else:
        refused(second, name)
        shutil.rmtree(kept)
        shutil.copytree(backup, kept)
        yard.evidence.ends.append(End(second.name, False, positions_of(saved)))
        moment = time.monotonic()
        yard.start()
        yard.recover(moment)
    yard.finish()


def goes_on(yard: Yard, worker: Worker) -> bool:
    """Whether a worker gets anywhere; False: it ends first."""
    goal = yard.handled() + 300
    deadline = time.monotonic() + PATIENCE
    while worker.alive:
        if yard.handled() >= goal:
            return True
        if time.monotonic() > deadline:
            raise FaultError(f"A worker neither goes on nor ends. {worker.told()}")
        time.sleep(0.05)
    return False


def refused(worker: Worker, name: str) -> None:
    """See that a worker has said in a sentence what it has found."""
    code = worker.wait(PATIENCE)
    words = ("damaged", "put a backup", "no SQLite file", "Corruption")
    if code not in REFUSALS or not any(word in worker.log for word in words):
        raise FaultError(f"With {name}, a worker did not say what it found. {worker.told()}")


def positions_of(state: State | None) -> dict[int, int]:
    """Where a group is that goes on with a state."""
    return {p: at + 1 for p, at in state.positions.items()} if state is not None else {}


@fault(
    "files of RocksDB cut off, with bytes flipped, or gone",
    protects="Checksums and marks among the writes show damage; what is damaged is set aside, "
    "with a sentence that says where.",
    target=RESTART,
    without="refusal of damage",
)
def rocks_damaged(yard: Yard) -> None:
    damaged(yard, "rocks", ROCKS, TABLES)


@fault(
    "a SQLite file cut off or with a page of zeros; its log with bytes flipped, cut off or gone",
    protects="SQLite finds pages that are none, and ends its log at the first checksum that is "
    "wrong; what is missing then is missing with its position.",
    target=RESTART,
)
def sqlite_damaged(yard: Yard) -> None:
    damaged(yard, "sqlite", SQLITE, None)
