"""A process that writes generations until it is killed, and what is looked at afterwards."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from slip_rocks.options import RocksStateOptions
from slip_rocks.state import RocksStateStore

GENERATIONS = 2_000
SMALL = 64 * 1024
"""A write buffer of which a few hundred generations fill several."""

WRITING = """
import os, signal, sys
from pathlib import Path
from slip_rocks.options import RocksStateOptions
from slip_rocks.state import RocksStateStore

path, buffer, generations = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = RocksStateStore(path, RocksStateOptions(write_buffer_size=buffer))
store.attach("a")
start = store.positions("reader").get(0, -1) + 1
for n in range(start, start + generations):
    changes = {b"%06d" % n: b"%d" % n + b"." * 100, b"last": b"%d" % n}
    store.write({"a": changes}, {"reader": {0: n}})
    print(n, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

Open: TypeAlias = Callable[..., RocksStateStore]
Write: TypeAlias = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Open the database `db` of the test's directory, with the space `a` attached."""
    opened: list[RocksStateStore] = []

    def call(**settings: int | bool) -> RocksStateStore:
        store = RocksStateStore(tmp_path / "db", RocksStateOptions(**settings))  # type: ignore[arg-type]  # settings of both types
        opened.append(store)
        store.attach("a")
        return store

    yield call
    for store in opened:
        store.close()


def start_writing(path: Path, buffer: int, generations: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITING, str(path), str(buffer), str(generations)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def write_generations(tmp_path: Path) -> Iterator[Write]:
    """Start a process that writes to `db`, prints each number it has written, and kills itself."""
    started: list[subprocess.Popen[str]] = []

    def call(generations: int = GENERATIONS, buffer: int = SMALL) -> subprocess.Popen[str]:
        started.append(start_writing(tmp_path / "db", buffer, generations))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Databases of killed writers: all in the log; in tables and the log."""
    directory = tmp_path_factory.mktemp("killed")
    for name, buffer in {"log": 64 * 1024 * 1024, "tables": SMALL}.items():
        start_writing(directory / name, buffer, GENERATIONS).communicate()
    return {"log": directory / "log", "tables": directory / "tables"}


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path, killed: dict[str, Path]) -> Path:
    """A copy of one of them as `db`, by the parameter."""
    shutil.copytree(killed[request.param], tmp_path / "db")
    return tmp_path / "db"


def reached(store: RocksStateStore) -> int:
    """How many generations a store holds, when its values and its position say the same."""
    position = store.positions("reader").get(0, -1)
    values = dict(store.scan("a", limit=1_000_000))
    expected = {b"%06d" % n: b"%d" % n + b"." * 100 for n in range(position + 1)}
    if position >= 0:
        expected[b"last"] = b"%d" % position
    assert values == expected
    return position + 1


@pytest.fixture(name="reached")
def count_reached() -> Callable[[RocksStateStore], int]:
    """`reached`, for tests."""
    return reached
