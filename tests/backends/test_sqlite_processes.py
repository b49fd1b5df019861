"""One SQLite file written and read by several processes and threads."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest

from slipcore.backends.sqlite.topic import SqliteTopic, SqliteTopicOptions
from slipcore.interfaces import Out
from slipcore.testing import LocalScope, Reader

PATIENCE = 10.0


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[LocalScope]:
    """The scope of one app."""
    scope = LocalScope("tests", tmp_path)
    yield scope
    scope.close()


def make(scope: LocalScope, name: str = "orders", **options: Any) -> SqliteTopic:
    """A topic that is not open yet."""
    return SqliteTopic(name, SqliteTopicOptions(**options), scope)


def stored(path: Path, name: str = "orders") -> list[tuple[int, int, bytes]]:
    """Partition, offset and value of all that the file has, read by other means."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(
            "SELECT partition, offset, value FROM records JOIN topics ON topics.id = topic"
            " WHERE name = ? ORDER BY partition, offset",
            (name,),
        ).fetchall()


def values(path: Path) -> list[bytes]:
    """The values in the file, in order."""
    return [value for _, _, value in stored(path)]


PRODUCER = """
import asyncio, sys
from pathlib import Path
from slipcore.backends.sqlite.topic import SqliteTopic, SqliteTopicOptions
from slipcore.interfaces import Out
from slipcore.testing import LocalScope

async def main(directory, name, flushes, size):
    scope = LocalScope("tests", Path(directory))
    async with SqliteTopic("orders", SqliteTopicOptions(partitions=3), scope) as topic:
        for flush in range(int(flushes)):
            for n in range(int(size)):
                topic.send(Out(f"{name} {flush} {n}".encode(), name.encode()))
            await topic.flush()
            print(flush, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def producer(scope: LocalScope, name: str, flushes: int, size: int) -> subprocess.Popen[bytes]:
    """A process that writes to the topic."""
    return subprocess.Popen(
        [sys.executable, "-c", PRODUCER, str(scope.state_dir), name, str(flushes), str(size)],
        stdout=subprocess.PIPE,
    )


def test_several_processes_write(scope: LocalScope) -> None:
    """Offsets are contiguous whoever writes, and each writer's order stays."""
    names = ["a", "b", "c"]
    processes = [producer(scope, name, flushes=15, size=10) for name in names]
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0
    rows = stored(scope.state_dir / "slip.db")
    for partition in range(3):
        offsets = [offset for place, offset, _ in rows if place == partition]
        assert offsets == list(range(len(offsets)))
    for name in names:
        mine = [value.decode() for _, _, value in rows if value.startswith(name.encode())]
        assert mine == [f"{name} {flush} {n}" for flush in range(15) for n in range(10)]


def test_a_writer_is_killed(scope: LocalScope) -> None:
    """After kill -9 all is there that a flush had returned for, and no flush is there in part."""
    process = producer(scope, "a", flushes=100_000, size=50)
    assert process.stdout is not None
    for _ in range(20):
        process.stdout.readline()
    process.kill()
    flushed = 20 + len(process.communicate(timeout=10)[0].splitlines())
    found = values(scope.state_dir / "slip.db")
    assert len(found) in (flushed * 50, flushed * 50 + 50)
    assert found == [
        f"a {flush} {n}".encode() for flush in range(len(found) // 50) for n in range(50)
    ]

    async def scenario() -> None:
        async with make(scope) as topic:
            topic.send(Out(b"next", b"a"))
            await topic.flush()

    asyncio.run(scenario())
    assert values(scope.state_dir / "slip.db")[-1] == b"next"


def test_what_another_process_writes_is_read(scope: LocalScope) -> None:
    """A read that waits gets what another process has written."""

    async def scenario() -> None:
        async with Reader(make(scope, partitions=3), patience=PATIENCE) as reader:
            await reader.joined()
            waiting = asyncio.create_task(reader.read(2))
            await asyncio.sleep(0.1)
            process = producer(scope, "a", flushes=1, size=2)
            assert [r.value for r in await waiting] == [b"a 0 0", b"a 0 1"]
            await asyncio.to_thread(process.communicate)

    asyncio.run(scenario())


def test_another_loop_wakes_a_reader(scope: LocalScope) -> None:
    """What is flushed in one thread's loop is read in another's without waiting for a look."""
    waits = Event()
    taken: list[float] = []

    async def read() -> None:
        async with Reader(make(scope, poll_interval=60.0)) as reader:
            await reader.joined()
            waiting = asyncio.create_task(reader.read(1))
            await asyncio.sleep(0.05)
            waits.set()
            await waiting
            taken.append(monotonic())

    async def write() -> float:
        async with make(scope) as topic:
            await topic(None, b"v")
            return monotonic()

    thread = Thread(target=lambda: asyncio.run(read()))
    thread.start()
    assert waits.wait(PATIENCE)
    written = asyncio.run(write())
    thread.join(PATIENCE)
    assert taken[0] - written < 5


def test_a_writer_does_not_keep_a_reader_waiting(scope: LocalScope) -> None:
    """Reading goes on while a transaction is open elsewhere."""

    async def scenario() -> None:
        async with Reader(make(scope), patience=PATIENCE) as reader:
            await reader.joined()
            await reader.topic(None, b"v")
            with closing(sqlite3.connect(scope.state_dir / "slip.db")) as other:
                other.execute("BEGIN IMMEDIATE")
                assert await reader.values(1) == [b"v"]

    asyncio.run(scenario())


def test_importing_the_topic_does_not_import_sqlite() -> None:
    """Listing backends with their options costs no database library."""
    script = (
        "import sys; import slipcore; before = 'sqlite3' in sys.modules\n"
        "import slipcore.backends.sqlite.topic, slipcore.backends.sqlite.state\n"
        "import slipcore.backends.sqlite.checkpoints\n"
        "print(before, 'sqlite3' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, timeout=30
    )
    assert done.stdout == b"False False\n"
