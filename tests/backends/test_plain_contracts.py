"""A source that is no topic and a sink that is none are held to their halves of the contract."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from slipcore.interfaces import (
    READ_FROM_END,
    READ_FROM_START,
    Assignment,
    Capability,
    ISink,
    ISource,
    Out,
    Positions,
    Record,
    SinkError,
    SourceError,
)
from slipcore.testing import Arrived, Failing, MakeSink, MakeSource, SinkContract, SourceContract


class LinesSource(ISource):
    """The lines of a file, once to the end; their offsets are those of their bytes."""

    capabilities = frozenset({Capability.SEEK})

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    async def read(self, max_records: int) -> Sequence[Record]:
        data = self._path.read_bytes()
        if self._at > len(data):
            raise SourceError(f"{self._path} has no line at {self._at}")
        records = []
        for line in data[self._at :].splitlines(keepends=True)[:max_records]:
            records.append(Record({"line": line.rstrip(b"\n").decode()}, offset=self._at))
            self._at += len(line)
        return records

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        if offsets.keys() != {0}:
            raise SourceError(f"{self._path} has one partition")
        data = self._path.read_bytes()
        ends = {READ_FROM_START: 0, READ_FROM_END: len(data)}
        self._at = ends.get(offsets[0], offsets[0])
        return {0: self._before(data)}

    def _before(self, data: bytes) -> int:
        return data[: self._at].rstrip(b"\n").rfind(b"\n") + 1 if self._at else -1

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        if positions.get(0, -1) >= 0:
            data = self._path.read_bytes()
            end = data.find(b"\n", positions[0])
            self._at = end + 1 if end >= 0 else positions[0]


class TestLines(SourceContract):
    """A source that ends."""

    offers = frozenset({"ends", "seek"})

    @pytest.fixture
    def make_source(self, tmp_path: Path) -> MakeSource:
        path = tmp_path / "lines"

        def make(records: Sequence[Out], **settings: Any) -> ISource:
            assert settings == {}
            with path.open("ab") as file:
                file.writelines(record.value + b"\n" for record in records)
            return LinesSource(path)

        return make

    def value_of(self, record: Record) -> Any:
        return record.value["line"].encode()


class RowsSink(ISink):
    """Rows into a list, all of a flush together."""

    def __init__(self, rows: list[tuple[Any, Any]]) -> None:
        self.fails = False
        self._rows = rows
        self._pending: list[Out] = []

    def send(self, output: Out) -> Awaitable[None] | None:
        if not isinstance(output.value, dict):
            raise SinkError(f"a row is a dict, not {output.value!r}", [output])
        self._pending.append(output)
        return None

    async def flush(self) -> None:
        outputs, self._pending = self._pending, []
        if self.fails:
            raise SinkError("the rows were not written", outputs)
        self._rows += [(output.key, output.value) for output in outputs]


class TestRows(SinkContract):
    """A sink that takes other values than bytes."""

    offers = frozenset({"faults", "refuses"})
    refused: ClassVar[Out | None] = Out("no row")

    @pytest.fixture
    def rows(self) -> list[tuple[Any, Any]]:
        """What was written."""
        return []

    @pytest.fixture
    def make_sink(self, rows: list[tuple[Any, Any]]) -> MakeSink:
        return lambda: RowsSink(rows)

    @pytest.fixture
    def arrived(self, rows: list[tuple[Any, Any]]) -> Arrived:
        return lambda: rows

    @pytest.fixture
    def failing(self) -> Failing:
        @contextmanager
        def failing(sink: ISink) -> Iterator[None]:
            assert isinstance(sink, RowsSink)
            sink.fails = True
            yield
            sink.fails = False

        return failing

    def output(self, n: int) -> Out:
        return Out({"n": n})
