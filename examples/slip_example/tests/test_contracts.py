"""Source and sink over Parquet files keep the contracts that every backend keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from slipcore.interfaces import ISink, ISource, Out, Record
from slipcore.testing import (
    Arrived,
    LocalScope,
    MakeSink,
    MakeSource,
    SinkContract,
    SourceContract,
)

from slip_example import origin
from slip_example.options import ParquetSinkOptions, ParquetSourceOptions
from slip_example.sink import ParquetSink
from slip_example.source import ParquetSource


class TestFollowingSource(SourceContract):
    """A source that waits for further files."""

    offers = frozenset({"pause", "seek", "waits"})
    silence = 0.1
    follow = True

    @pytest.fixture
    def make_source(self, tmp_path: Path) -> MakeSource:
        directory = tmp_path / "in"
        directory.mkdir()
        files = count()

        def make(records: Sequence[Out], **settings: Any) -> ISource:
            if records:
                unfinished = directory / "unfinished.tmp"
                pq.write_table(pa.table({"value": [out.value for out in records]}), unfinished)
                unfinished.rename(directory / f"{next(files):04}.parquet")
            options = ParquetSourceOptions(
                path=str(directory), follow=self.follow, poll_interval=0.01
            )
            return ParquetSource("in", options, LocalScope("tests", tmp_path / ".slip"))

        return make

    def value_of(self, record: Record) -> Any:
        return record.value["value"]


class TestEndingSource(TestFollowingSource):
    """A source that ends with the last file."""

    offers = frozenset({"ends", "pause", "seek"})
    follow = False


def rows_in(directory: Path) -> list[dict[str, Any]]:
    """The rows of all files, in the order of their names."""
    return [row for path in sorted(directory.glob("*.parquet")) for row in rows_of(path)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        rows: list[dict[str, Any]] = file.read().to_pylist()
        return rows


class TestSink(SinkContract):
    """Rows without an origin: each flush is a file of its own."""

    offers = frozenset({"faults", "refuses"})
    refused = Out("no row")
    many = 3_000

    @pytest.fixture
    def make_sink(self, tmp_path: Path) -> MakeSink:
        def make() -> ISink:
            options = ParquetSinkOptions(path=str(tmp_path / "out"), offsets_per_file=20)
            return ParquetSink("out", options, LocalScope("tests", tmp_path))

        return make

    @pytest.fixture
    def arrived(self, tmp_path: Path) -> Arrived:
        return lambda: [(None, row) for row in rows_in(tmp_path / "out")]

    @pytest.fixture
    def failing(self, tmp_path: Path) -> Callable[[ISink], AbstractContextManager[None]]:
        @contextmanager
        def no_directory(sink: ISink) -> Iterator[None]:
            """Have a file in the place of the directory for a while."""
            out, aside = tmp_path / "out", tmp_path / "aside"
            out.rename(aside)
            out.touch()
            yield
            out.unlink()
            aside.rename(out)

        return no_directory

    def output(self, n: int) -> Out:
        return Out({"n": n, "text": f"row {n}"})


class TestSinkOfRowsWithOrigin(TestSink):
    """Rows that have an origin: each has its place, in the order of the records."""

    # The tests of failures send a later row first; in the directory it comes later all the same.
    offers = frozenset({"refuses"})
    many = 300

    def output(self, n: int) -> Out:
        return Out({"n": n, "text": f"row {n}"}, headers=origin(Record(topic="in", offset=n)))
