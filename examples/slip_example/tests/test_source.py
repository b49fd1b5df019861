"""What a source over Parquet files does with files that come, go and change."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from slipcore.interfaces import ConnectError, Record, SourceError, StateError
from slipcore.testing import LocalScope

from slip_example.options import ParquetSourceOptions
from slip_example.source import ParquetSource

T = TypeVar("T")


def put(directory: Path, name: str, *numbers: int, **settings: Any) -> None:
    directory.mkdir(exist_ok=True)
    pq.write_table(
        pa.table({"n": numbers, "id": [f"k{n}" for n in numbers]}), directory / name, **settings
    )


def make(tmp_path: Path, **settings: Any) -> ParquetSource:
    options = ParquetSourceOptions(path=str(tmp_path / "in"), **settings)
    return ParquetSource("in", options, LocalScope("tests", tmp_path / ".slip"))


async def read_all(source: ParquetSource, start: int | None = None) -> list[Record]:
    """What there is from an offset on, or from the oldest row."""
    async with source:
        await source.accept(await source.assignment(), {} if start is None else {0: start - 1})
        found: list[Record] = []
        while records := await source.read(1_000):
            found += records
        return found


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 10))


def test_a_record_is_a_row(tmp_path: Path) -> None:
    """Value, key by the setting, number as offset, and the file that it is of."""
    put(tmp_path / "in", "a.parquet", 1, 2)
    _, record = run(read_all(make(tmp_path, key="id")))
    assert (record.value, record.key) == ({"n": 2, "id": "k2"}, "k2")
    assert (record.topic, record.partition, record.offset) == ("in", 0, 1)
    assert record.headers == (("file", b"a.parquet"),)


def test_only_the_columns_that_are_named_are_read(tmp_path: Path) -> None:
    """The key's column is one of them."""
    put(tmp_path / "in", "a.parquet", 1)
    (record,) = run(read_all(make(tmp_path, columns=["n"])))
    assert record.value == {"n": 1}
    (record,) = run(read_all(make(tmp_path, columns=["n"], key="id")))
    assert (record.value, record.key) == ({"n": 1, "id": "k1"}, "k1")


def test_a_column_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With those that are."""
    put(tmp_path / "in", "a.parquet", 1)
    with pytest.raises(SourceError, match="has no column x: it has n, id"):
        run(read_all(make(tmp_path, key="x")))


def test_an_offset_is_for_ever(tmp_path: Path) -> None:
    """A file whose name sorts first but comes later is read last, in the next run too."""
    put(tmp_path / "in", "b.parquet", 1, 2)
    assert [r.offset for r in run(read_all(make(tmp_path)))] == [0, 1]
    put(tmp_path / "in", "a.parquet", 3)
    put(tmp_path / "in", "c.parquet", 4)
    found = run(read_all(make(tmp_path)))
    assert [(r.offset, r.value["n"]) for r in found] == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_files_that_were_read_may_be_removed(tmp_path: Path) -> None:
    """The others keep their offsets, and a start without a position is with the oldest left."""
    put(tmp_path / "in", "a.parquet", 1, 2)
    put(tmp_path / "in", "b.parquet", 3)
    run(read_all(make(tmp_path)))
    (tmp_path / "in" / "a.parquet").unlink()
    put(tmp_path / "in", "c.parquet", 4)
    for start in (2, None):
        found = run(read_all(make(tmp_path), start))
        assert [(r.offset, r.value["n"]) for r in found] == [(2, 3), (3, 4)]


def test_a_file_that_is_gone_unread_is_an_error(tmp_path: Path) -> None:
    """It says from where on nothing was read, and how to go on without it."""
    put(tmp_path / "in", "a.parquet", 1, 2)
    run(read_all(make(tmp_path)))
    (tmp_path / "in" / "a.parquet").unlink()
    with pytest.raises(SourceError, match=r"a.parquet is gone.*offset 1 on.*seek behind it, to 2"):
        run(read_all(make(tmp_path), 1))


def test_a_file_that_has_changed_is_an_error(tmp_path: Path) -> None:
    """Offsets would stand for other rows."""
    put(tmp_path / "in", "a.parquet", 1, 2)
    run(read_all(make(tmp_path)))
    put(tmp_path / "in", "a.parquet", 1, 2, 3)
    with pytest.raises(SourceError, match=r"a.parquet has 3 rows and had 2: .*rename"):
        run(read_all(make(tmp_path)))


def test_what_is_no_parquet_file_is_said(tmp_path: Path) -> None:
    """And nothing is read past it."""
    put(tmp_path / "in", "a.parquet", 1)
    (tmp_path / "in" / "b.parquet").write_text("half of a file")
    with pytest.raises(SourceError, match=r"can't read the file .*b\.parquet: Parquet magic"):
        run(read_all(make(tmp_path)))


def test_other_files_are_not_read(tmp_path: Path) -> None:
    """Nor are those that are hidden, as a writer's unfinished ones."""
    put(tmp_path / "in", "a.parquet", 1)
    put(tmp_path / "in", "_b.parquet", 2)
    put(tmp_path / "in", ".c.parquet", 3)
    (tmp_path / "in" / "README").write_text("text")
    assert [r.value["n"] for r in run(read_all(make(tmp_path)))] == [1]


def test_files_without_rows_are_nothing(tmp_path: Path) -> None:
    """Wherever they stand."""
    for name, numbers in {"a": (), "b": (1,), "c": (), "d": (), "e": (2,), "f": ()}.items():
        put(tmp_path / "in", f"{name}.parquet", *numbers)
    found = run(read_all(make(tmp_path)))
    assert [(r.offset, r.value["n"]) for r in found] == [(0, 1), (1, 2)]


@pytest.mark.parametrize("start", [0, 1, 4_999, 5_000, 5_001, 9_998])
def test_large_files_are_read_from_anywhere(tmp_path: Path, start: int) -> None:
    """Across row groups, batches and files."""
    put(tmp_path / "in", "a.parquet", *range(5_000), row_group_size=1_200)
    put(tmp_path / "in", "b.parquet", *range(5_000, 10_000), row_group_size=1_200)
    found = run(read_all(make(tmp_path), start))
    assert [(r.offset, r.value["n"]) for r in found] == [(n, n) for n in range(start, 10_000)]


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    """At the start."""
    with pytest.raises(ConnectError, match=r"there is no directory .*/in to read"):
        run(read_all(make(tmp_path)))


def test_a_second_reader_of_an_app_is_refused(tmp_path: Path) -> None:
    """There is one partition: both would handle every row."""
    put(tmp_path / "in", "a.parquet", 1)

    async def scenario() -> None:
        async with make(tmp_path):
            with pytest.raises(ConnectError, match="another reader of this app has"):
                await make(tmp_path).open()
        async with make(tmp_path):
            pass

    run(scenario())


def test_a_catalogue_that_is_damaged_is_an_error(tmp_path: Path) -> None:
    """Rows are not given other offsets silently."""
    put(tmp_path / "in", "a.parquet", 1)
    run(read_all(make(tmp_path)))
    (tmp_path / ".slip" / "parquet" / "in.json").write_text("[{")
    with pytest.raises(StateError, match=r"in\.json is no catalogue"):
        run(read_all(make(tmp_path)))
