"""Topics in a SQLite file: what is durable when, and between processes."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipcore.backends.sqlite.file import SlipFile, slip_file
from slipcore.backends.sqlite.topic import MAX_PENDING, SqliteTopic, SqliteTopicOptions
from slipcore.interfaces import (
    ConfigError,
    Out,
    Record,
    SinkError,
    StateFormatError,
    partition_for,
)
from slipcore.testing import LocalScope, Reader


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


def send(topic: SqliteTopic, *numbers: int, size: int = 0) -> None:
    """Hand numbers over, padded to some bytes."""
    for n in numbers:
        topic.send(Out(b"%d" % n + b" " * size))


def numbers(outputs: tuple[Out, ...]) -> list[int]:
    """The numbers in outputs."""
    return [int(output.value) for output in outputs]


# --- what is durable when -----------------------------------------------------------------


def test_nothing_is_written_before_a_flush(scope: LocalScope) -> None:
    """`send` only hands over, and a flush writes all of it."""

    async def scenario() -> None:
        async with make(scope) as topic:
            send(topic, 1, 2)
            assert values(scope.state_dir / "slip.db") == []
            await topic.flush()
            assert values(scope.state_dir / "slip.db") == [b"1", b"2"]

    asyncio.run(scenario())


def test_what_was_not_flushed_is_dropped(scope: LocalScope) -> None:
    """Closing writes nothing that no flush was called for."""

    async def scenario() -> None:
        async with make(scope) as topic:
            send(topic, 1)
        assert values(scope.state_dir / "slip.db") == []

    asyncio.run(scenario())


def test_too_much_on_the_way(scope: LocalScope) -> None:
    """Beyond the limit `send` gives something to wait for, after which it is durable."""

    async def scenario() -> None:
        async with make(scope) as topic:
            waits = [topic.send(Out(b"v")) for _ in range(MAX_PENDING)]
            assert set(waits) == {None}
            waiting = topic.send(Out(b"last"))
            assert waiting is not None
            await waiting
            assert len(values(scope.state_dir / "slip.db")) == MAX_PENDING + 1

    asyncio.run(scenario())


def test_flushes_that_wait_go_together(scope: LocalScope) -> None:
    """What is flushed while a write is under way is one write: keyless outputs share it."""

    async def scenario() -> None:
        file = slip_file(scope, None)
        async with make(scope, partitions=4) as topic:
            flushes = []
            with file.transaction():
                for n in range(6):
                    send(topic, n)
                    flushes.append(asyncio.create_task(topic.flush()))
                    await asyncio.sleep(0.01)
            await asyncio.gather(*flushes)
        assert stored(file.path) == [
            (0, 0, b"0"),
            (1, 0, b"1"),
            (1, 1, b"2"),
            (1, 2, b"3"),
            (1, 3, b"4"),
            (1, 4, b"5"),
        ]

    asyncio.run(scenario())


def test_keyless_outputs_take_turns_over_restarts(scope: LocalScope) -> None:
    """Each flush without keys goes to the next partition, whoever flushes."""

    async def scenario() -> None:
        for n in range(4):
            async with make(scope, partitions=3) as topic:
                send(topic, n, n)
                await topic.flush()
        places = [(partition, value) for partition, _, value in stored(topic_path)]
        assert places == [
            (0, b"0"),
            (0, b"0"),
            (0, b"3"),
            (0, b"3"),
            (1, b"1"),
            (1, b"1"),
            (2, b"2"),
            (2, b"2"),
        ]

    topic_path = scope.state_dir / "slip.db"
    asyncio.run(scenario())


def test_a_cancelled_flush_goes_on(scope: LocalScope) -> None:
    """What a cancelled flush was writing is written, once."""

    async def scenario() -> None:
        file = slip_file(scope, None)
        async with make(scope) as topic:
            send(topic, 1)
            with file.transaction():
                flush = asyncio.create_task(topic.flush())
                await asyncio.sleep(0.02)
                flush.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await flush
            send(topic, 2)
            await topic.flush()
        assert values(file.path) == [b"1", b"2"]

    asyncio.run(scenario())


# --- what can't be written ----------------------------------------------------------------


@contextmanager
def full(file: SlipFile) -> Iterator[None]:
    """The file may not grow."""
    with file.transaction() as db:
        db.execute("PRAGMA max_page_count = 1")  # as many as there are
    yield
    with file.transaction() as db:
        db.execute("PRAGMA max_page_count = 1000000")


@contextmanager
def writes_fail(file: SlipFile) -> Iterator[None]:
    """The system refuses to write beyond what there is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = Path(f"{file.path}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("trouble", [full, writes_fail])
def test_a_flush_that_fails(scope: LocalScope, trouble: Any) -> None:
    """Its outputs and all later ones come back in order; nothing of them is written.

    When there is space again, the same object goes on, with contiguous offsets.
    """

    async def scenario() -> None:
        file = slip_file(scope, None)
        async with make(scope) as topic:
            send(topic, 0)
            await topic.flush()
            with trouble(file):
                send(topic, *range(1, 200), size=1000)
                flush = asyncio.create_task(topic.flush())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                send(topic, 200, 201)
                with pytest.raises(SinkError, match=r"output\(s\) of the topic orders") as caught:
                    await flush
                assert numbers(caught.value.outputs) == list(range(1, 202))
                assert str(file.path) in str(caught.value)
            assert values(file.path) == [b"0"]
            await topic.flush()
            assert values(file.path) == [b"0"]
            for output in caught.value.outputs:
                topic.send(output)
            await topic.flush()
        rows = stored(file.path)
        assert [int(value) for _, _, value in rows] == list(range(202))
        assert [offset for _, offset, _ in rows] == list(range(202))

    asyncio.run(scenario())


def test_a_full_disk_is_said(scope: LocalScope) -> None:
    """The sentence names the file, what is wrong, and what to do."""

    async def scenario() -> None:
        file = slip_file(scope, None)
        async with make(scope) as topic:
            with full(file):
                send(topic, 1, size=100_000)
                with pytest.raises(SinkError) as caught:
                    await topic.flush()
        assert str(caught.value) == (
            f"1 output(s) of the topic orders are not durable: can't write to {file.path}: "
            f"database or disk is full; free some space, then it can be tried again"
        )

    asyncio.run(scenario())


def test_every_flush_that_waited_is_told(scope: LocalScope) -> None:
    """Two flushes under way both fail, and the next one succeeds."""

    async def scenario() -> None:
        file = slip_file(scope, None)
        async with make(scope) as topic:
            with full(file):
                send(topic, 1, size=100_000)
                first = asyncio.create_task(topic.flush())
                await asyncio.sleep(0)
                send(topic, 2)
                second = asyncio.create_task(topic.flush())
                failures = await asyncio.gather(first, second, return_exceptions=True)
            assert [type(failure) for failure in failures] == [SinkError, SinkError]
            send(topic, 3)
            await topic.flush()
        assert values(file.path) == [b"3"]

    asyncio.run(scenario())


def test_a_failure_nobody_waited_for_is_told_later(scope: LocalScope) -> None:
    """Where the flush was cancelled and its write failed, the next flush brings the outputs."""

    async def scenario() -> None:
        file = slip_file(scope, None)
        async with make(scope) as topic:
            with full(file):
                send(topic, 1, size=100_000)
                flush = asyncio.create_task(topic.flush())
                await asyncio.sleep(0)
                flush.cancel()
                await asyncio.sleep(0.1)
            send(topic, 2)
            with pytest.raises(SinkError) as caught:
                await topic.flush()
            assert numbers(caught.value.outputs) == [1, 2]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (Out("text"), "takes a key and a value of bytes or None, not NoneType and str"),
        (Out(b"v", 7), "takes a key and a value of bytes or None, not int and bytes"),
        (Out(b"v", partition=2), "has no partition 2: it has 0 to 1"),
        (Out(b"v", partition=-1), "has no partition -1: it has 0 to 1"),
    ],
)
def test_what_is_refused_at_once(scope: LocalScope, output: Out, says: str) -> None:
    """An output that can't be taken is refused by `send`, and those before it are not touched."""

    async def scenario() -> None:
        async with make(scope, partitions=2) as topic:
            send(topic, 1)
            with pytest.raises(SinkError, match=says) as caught:
                topic.send(output)
            assert caught.value.outputs == (output,)
            await topic.flush()
        assert values(scope.state_dir / "slip.db") == [b"1"]

    asyncio.run(scenario())


def test_a_closed_topic_takes_nothing(scope: LocalScope) -> None:
    """Sending to a topic that is not open is an error that says so."""
    with pytest.raises(SinkError, match="the topic orders is not open"):
        make(scope).send(Out(b"v"))


# --- settings -----------------------------------------------------------------------------


def test_a_topic_keeps_its_partitions(scope: LocalScope) -> None:
    """An existing topic keeps its number; naming another one is an error."""

    async def scenario() -> None:
        async with make(scope, partitions=3):
            pass
        async with make(scope) as topic, make(scope, partitions=3):
            topic.send(Out(b"v", partition=2))
        with pytest.raises(ConfigError) as caught:
            await make(scope, partitions=4).open()
        assert str(caught.value) == (
            f"the topic orders in {scope.state_dir / 'slip.db'} has 3 partitions, not 4: leave "
            f"partitions out, or name what it has"
        )

    asyncio.run(scenario())


@pytest.mark.parametrize("setting", ["partitions", "session_timeout", "poll_interval"])
def test_settings_that_make_no_sense(setting: str) -> None:
    """Zero partitions or seconds are refused."""
    options: dict[str, Any] = {setting: 0}
    with pytest.raises(ValueError, match=f"{setting} is .*not 0"):
        SqliteTopicOptions(**options)


def test_a_path_of_its_own(scope: LocalScope, tmp_path: Path) -> None:
    """A topic may live in another file than the app's."""

    async def scenario() -> None:
        path = tmp_path / "elsewhere" / "log.db"
        async with make(scope, path=str(path)) as topic:
            await topic(None, b"v")
        assert values(path) == [b"v"]
        assert not (tmp_path / "slip.db").exists()

    asyncio.run(scenario())


def test_a_topic_that_can_not_open(scope: LocalScope, tmp_path: Path) -> None:
    """What is wrong with the file is raised by `open`, which leaves nothing to be closed."""

    async def scenario() -> None:
        (tmp_path / "notes.txt").write_text("not a database")
        topic = make(scope, path=str(tmp_path / "notes.txt"))
        with pytest.raises(StateFormatError):
            await topic.open()
        await topic.close()
        with pytest.raises(StateFormatError):
            await make(scope, path=str(tmp_path / "notes.txt" / "slip.db")).open()

    asyncio.run(scenario())


# --- contents -----------------------------------------------------------------------------

_bytes = st.none() | st.binary(max_size=20) | st.binary(max_size=2).map(lambda b: b * 3_000)
_headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple)
_outputs = st.builds(
    Out,
    _bytes,
    _bytes,
    headers=_headers,
    timestamp=st.integers(-(2**63), 2**63 - 1),
    partition=st.none() | st.integers(0, 2),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(_outputs, max_size=6), max_size=4), limit=st.integers(1, 5))
def test_what_goes_in_comes_out(scope: LocalScope, batches: list[list[Out]], limit: int) -> None:
    """Whatever is sent in whatever batches is read whole and in order, by offsets from 0."""

    async def scenario() -> None:
        async with Reader(make(scope, f"topic-{monotonic()}", partitions=3)) as reader:
            await reader.joined()
            for batch in batches:
                for output in batch:
                    reader.topic.send(output)
                await reader.topic.flush()
            read = await reader.read(sum(map(len, batches)), max_records=limit)
        found: dict[int, list[tuple[Any, ...]]] = {0: [], 1: [], 2: []}
        for record in read:
            assert record.offset == len(found[record.partition])
            found[record.partition].append(whole(record))
        assert found == model(batches)

    asyncio.run(scenario())


def whole(item: Out | Record) -> tuple[Any, ...]:
    """What must survive."""
    return (item.value, item.key, item.headers, item.timestamp)


def model(batches: list[list[Out]]) -> dict[int, list[tuple[Any, ...]]]:
    """Where the contract puts outputs."""
    places: dict[int, list[tuple[Any, ...]]] = {0: [], 1: [], 2: []}
    turn = -1
    for batch in batches:
        if any(output.partition is None and output.key is None for output in batch):
            turn = (turn + 1) % 3
        for output in batch:
            if output.partition is not None:
                place = output.partition
            else:
                place = turn if output.key is None else partition_for(output.key, 3)
            places[place].append(whole(output))
    return places
