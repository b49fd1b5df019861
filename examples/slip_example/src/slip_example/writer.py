"""Rows into files. A row that has an origin has its place there, so that it is in it once.

A file stands for a stretch of offsets of one partition, and keeps beside the rows where each of
them comes from. Writing a row again writes that file anew, with the row in the place where it was:
what comes again after a crash, in whatever batches, leaves the directory as it was.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from slipcore.interfaces import ConfigError, ConnectError, Out, SinkError

from slip_example.files import file_name, locked, translated, write_whole
from slip_example.options import ParquetSinkOptions
from slip_example.origin import origin_of

PLACES: Final = b"slip-example-places"
"""Under this name a file's metadata has the offset and number of each row."""

_SPAN: Final = re.compile(r".+-\d+-\d+\+(\d+)\.parquet")

Place = tuple[int, int]
"""The offset of a row's record, and which of its rows it is."""


class Writer:
    """Writes outputs to the files of a directory. One thread at a time may call it."""

    def __init__(self, options: ParquetSinkOptions) -> None:
        self.directory = Path(options.path).absolute()
        self._span = options.offsets_per_file
        self._compression = options.compression
        self._last_time = 0

    def open(self) -> None:
        """Make the directory, or see that what is in it goes on in the same way.

        Raises:
            ConnectError: it can't be made.
            ConfigError: its files stand for other stretches of offsets.
        """
        with translated(ConnectError, f"write to the directory {self.directory}"):
            self.directory.mkdir(parents=True, exist_ok=True)
            with locked(self.directory / ".lock"):  # who writes holds it: these are of the dead
                for unfinished in self.directory.glob(".*.tmp"):
                    unfinished.unlink()
            names = [path.name for path in self.directory.glob("*.parquet")]
        for name in names:
            found = _SPAN.fullmatch(name)
            if found is not None and int(found[1]) != self._span:
                raise ConfigError(
                    f"the files in {self.directory} stand for {found[1]} offsets each, and "
                    f"offsets_per_file is {self._span}: set it to {found[1]}, or name another path"
                )

    def write(self, outputs: Sequence[Out]) -> None:
        """Make rows durable.

        Raises:
            SinkError: with those that are not.
        """
        left = dict(enumerate(outputs))
        try:
            with (
                translated(SinkError, f"write to the directory {self.directory}"),
                locked(self.directory / ".lock"),
            ):
                for name, numbers in self._files(outputs).items():
                    with translated(SinkError, f"write the file {self.directory / name}"):
                        self._write_file(name, [outputs[number] for number in numbers])
                    for number in numbers:
                        del left[number]
        except SinkError as error:
            raise SinkError(str(error), list(left.values())) from error

    def _files(self, outputs: Sequence[Out]) -> Mapping[str, list[int]]:
        """File -> which of the outputs go there; all those without origin to one new file."""
        files: dict[str, list[int]] = defaultdict(list)
        self._last_time = max(self._last_time + 1, time.time_ns())
        for number, output in enumerate(outputs):
            come_from = origin_of(output)
            if come_from is None:
                files[f"{self._last_time:020}.parquet"].append(number)
                continue
            first = come_from.offset // self._span * self._span
            topic = file_name(come_from.topic)
            place = f"{topic}-{come_from.partition}-{first:020}+{self._span}.parquet"
            files[place].append(number)
        return files

    def _write_file(self, name: str, outputs: Sequence[Out]) -> None:
        path = self.directory / name
        origins = [origin_of(output) for output in outputs]
        places: list[Place] = [(o.offset, o.number) for o in origins if o is not None]
        table = _table([output.value for output in outputs])
        if places:
            table, places = _merged(path, table, places)
            written = msgspec.json.encode(places)
            table = table.replace_schema_metadata({PLACES: written})
        write_whole(path, lambda path: pq.write_table(table, path, compression=self._compression))


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as columns: every column that a row has, None where a row lacks it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _merged(path: Path, table: pa.Table, places: list[Place]) -> tuple[pa.Table, list[Place]]:
    """What the file has and what is new, in the order of places; of a place the newest row."""
    if path.exists():
        former = pq.ParquetFile(path)
        with former:
            kept = former.read()
        places = _places(path, kept) + places
        table = pa.concat_tables(
            [kept.replace_schema_metadata(None), table], promote_options="permissive"
        )
    newest = {place: number for number, place in enumerate(places)}
    places = sorted(newest)
    return table.take([newest[place] for place in places]), places


def _places(path: Path, table: pa.Table) -> list[Place]:
    try:
        return msgspec.json.decode((table.schema.metadata or {})[PLACES], type=list[Place])
    except (KeyError, msgspec.DecodeError) as reason:
        raise SinkError(
            f"{path} was not written by this sink: move it away, or name another path"
        ) from reason
