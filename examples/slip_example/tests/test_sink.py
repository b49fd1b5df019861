"""What a sink into Parquet files does with rows that come again, and with other people's files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from slipcore.interfaces import ConfigError, Headers, Out, Record, SinkError
from slipcore.testing import LocalScope

from slip_example import origin
from slip_example.options import ParquetSinkOptions
from slip_example.sink import ParquetSink


def row(offset: int, topic: str = "in", partition: int = 0, text: str = "") -> Out:
    record = Record(topic=topic, partition=partition, offset=offset)
    return Out({"n": offset, "text": text or f"row {offset}"}, headers=origin(record))


def write(tmp_path: Path, outputs: Iterable[Out], flush_every: int = 1_000, **options: Any) -> None:
    """Send outputs with a sink of their own, as a process would."""

    async def scenario() -> None:
        settings = ParquetSinkOptions(path=str(tmp_path / "out"), **options)
        async with ParquetSink("out", settings, LocalScope("tests", tmp_path)) as sink:
            for number, output in enumerate(outputs, 1):
                sink.send(output)
                if number % flush_every == 0:
                    await sink.flush()
            await sink.flush()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def contents(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """File -> its rows, in the order of names."""
    paths = sorted((tmp_path / "out").glob("*.parquet"))
    return {path.name: pq.ParquetFile(path).read().to_pylist() for path in paths}


def numbers(tmp_path: Path) -> list[int]:
    return [row["n"] for rows in contents(tmp_path).values() for row in rows]


def test_a_file_stands_for_a_stretch_of_offsets(tmp_path: Path) -> None:
    """Its name says of which topic, partition and offsets; other characters are escaped."""
    write(tmp_path, [row(0), row(9), row(10), row(3, "a/b.c", 2)], offsets_per_file=10)
    assert list(contents(tmp_path)) == [
        "a%2Fb%2Ec-2-00000000000000000000+10.parquet",
        "in-0-00000000000000000000+10.parquet",
        "in-0-00000000000000000010+10.parquet",
    ]


@pytest.mark.parametrize("flush_every", [1, 3, 7, 1_000])
def test_what_comes_again_in_other_batches_is_there_once(tmp_path: Path, flush_every: int) -> None:
    """After a crash the source begins somewhere before, and cuts its batches elsewhere."""
    write(tmp_path, map(row, range(25)), 10, offsets_per_file=10)
    before = contents(tmp_path)
    write(tmp_path, map(row, range(5, 25)), flush_every, offsets_per_file=10)
    assert contents(tmp_path) == before
    write(tmp_path, map(row, range(20, 32)), flush_every, offsets_per_file=10)
    assert numbers(tmp_path) == list(range(32))


def test_what_comes_again_in_another_order_is_there_once(tmp_path: Path) -> None:
    """Rows stand in the order of their records, in whatever order they were sent."""
    write(tmp_path, map(row, (7, 2, 5)), 1)
    write(tmp_path, map(row, (5, 1, 7, 6)), 2)
    assert numbers(tmp_path) == [1, 2, 5, 6, 7]


def test_a_row_that_comes_again_and_differs_takes_its_place(tmp_path: Path) -> None:
    """A topic that is read again with another handler leaves what that one made of it."""
    write(tmp_path, [row(1), row(2), row(2, text="again")])
    write(tmp_path, [row(1, text="again")])
    ((one, two),) = contents(tmp_path).values()
    assert (one["text"], two["text"]) == ("again", "again")


def test_a_record_may_have_several_rows(tmp_path: Path) -> None:
    """Their numbers tell them apart."""
    record = Record(topic="in", offset=4)
    rows = [Out({"n": n}, headers=origin(record, n)) for n in range(3)]
    write(tmp_path, [*rows, *rows])
    assert numbers(tmp_path) == [0, 1, 2]


def test_rows_without_origin_come_again(tmp_path: Path) -> None:
    """Nothing says that they are the same: this is at-least-once, in the order of writing."""
    write(tmp_path, [Out({"n": 1}), Out({"n": 2})])
    write(tmp_path, [Out({"n": 2}), Out({"n": 3})])
    assert numbers(tmp_path) == [1, 2, 2, 3]


def test_no_column_is_lost(tmp_path: Path) -> None:
    """What some rows lack is None there, within a write and across two of one file."""
    headers = [origin(Record(topic="in", offset=n)) for n in range(4)]
    write(tmp_path, [Out({"n": 0}, headers=headers[0]), Out({"n": 1, "x": 1}, headers=headers[1])])
    write(tmp_path, [Out({"n": 2, "y": 1.5}, headers=headers[2])])
    write(tmp_path, [Out({"n": 3, "x": 2.5}, headers=headers[3])])
    (rows,) = contents(tmp_path).values()
    assert [tuple(row.values()) for row in rows] == [
        (0, None, None),
        (1, 1.0, None),
        (2, None, 1.5),
        (3, 2.5, None),
    ]


@pytest.mark.parametrize(
    "output",
    [
        Out({"n": "text"}, headers=origin(Record(topic="in", offset=1))),
        Out({"n": object()}, headers=origin(Record(topic="in", offset=1))),
        Out({"n": 2**70}, headers=origin(Record(topic="in", offset=1))),
    ],
)
def test_what_does_not_fit_is_an_error_and_leaves_the_file(tmp_path: Path, output: Out) -> None:
    """The file is named, the rows that are not durable are carried, those before are there."""
    write(tmp_path, [row(0)])
    with pytest.raises(
        SinkError, match=r"1 row\(s\) of the sink out .*\+10000\.parquet: "
    ) as error:
        write(tmp_path, [output])
    assert error.value.outputs == (output,)
    assert numbers(tmp_path) == [0]
    assert [path.name for path in (tmp_path / "out").iterdir() if "tmp" in path.name] == []


def test_only_the_rows_of_the_failed_file_are_not_durable(tmp_path: Path) -> None:
    """Those that went to other files are not sent again."""
    bad = Out({"n": object()}, headers=origin(Record(topic="in", partition=1, offset=0)))
    with pytest.raises(SinkError) as error:
        write(tmp_path, [row(0), bad, row(1)])
    assert error.value.outputs == (bad,)
    assert numbers(tmp_path) == [0, 1]


def test_what_was_handed_over_after_a_failure_is_carried_too(tmp_path: Path) -> None:
    """The sink lets go of it: sent again in order, it is written after what failed."""
    bad = Out({"n": object()})

    async def scenario() -> None:
        options = ParquetSinkOptions(path=str(tmp_path / "out"))
        async with ParquetSink("out", options, LocalScope("tests", tmp_path)) as sink:
            sink.send(bad)
            flush = asyncio.create_task(sink.flush())
            await asyncio.sleep(0)
            sink.send(Out({"n": 1}))
            with pytest.raises(SinkError) as error:
                await flush
            assert error.value.outputs == (bad, Out({"n": 1}))
            await sink.flush()

    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert numbers(tmp_path) == []


@pytest.mark.parametrize(
    ("value", "headers", "words"),
    [
        (b"bytes", (), "takes rows.*not bytes"),
        (None, (), "takes rows.*not NoneType"),
        ({}, (), "takes rows"),
        ({1: 2}, (), "takes rows"),
        ({"n": 1}, (("slip-example-origin", b"mine"),), r"make it with origin\(record\)"),
    ],
)
def test_what_is_no_row_is_refused(
    tmp_path: Path, value: Any, headers: Headers, words: str
) -> None:
    """At once, and what is sent next arrives alone."""
    options = ParquetSinkOptions(path=str(tmp_path / "out"))
    sink = ParquetSink("out", options, LocalScope("tests", tmp_path))
    with pytest.raises(SinkError, match=words):
        sink.send(Out(value, headers=headers))


def test_other_stretches_are_refused(tmp_path: Path) -> None:
    """Rows that come again would not be found."""
    write(tmp_path, [row(0)], offsets_per_file=10)
    with pytest.raises(ConfigError, match="stand for 10 offsets each, and offsets_per_file is 20"):
        write(tmp_path, [row(0)], offsets_per_file=20)


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    """At the next start; a whole file is never among it."""
    write(tmp_path, [row(0)])
    (tmp_path / "out" / ".in-0-0+10000.parquet.123.tmp").write_text("half of a file")
    write(tmp_path, [row(1)])
    assert [path.name for path in (tmp_path / "out").glob(".*.tmp")] == []
    assert numbers(tmp_path) == [0, 1]


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """It has the name, and does not say where its rows come from."""
    write(tmp_path, [row(0)])
    (path,) = (tmp_path / "out").glob("*.parquet")
    pq.write_table(pa.table({"n": [7]}), path)
    with pytest.raises(SinkError, match="was not written by this sink"):
        write(tmp_path, [row(1)])
    assert numbers(tmp_path) == [7]
