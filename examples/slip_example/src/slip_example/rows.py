"""Rows by offset, read in batches from where the last batch ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow.parquet as pq
from slipcore.interfaces import Record, SourceError

from slip_example.catalogue import Catalogue, Entry
from slip_example.files import translated
from slip_example.options import ParquetSourceOptions

BATCH_ROWS = 4_096
"""Rows that are read and held at a time."""


class Rows:
    """The rows of a catalogue's files. Any thread may call it, one at a time is served.

    Args:
        name: what the records give as their topic.
    """

    def __init__(self, name: str, options: ParquetSourceOptions, catalogue: Catalogue) -> None:
        self._name = name
        self._options = options
        self._catalogue = catalogue
        self._lock = Lock()
        self._file: pq.ParquetFile | None = None
        self._batches: Iterator[list[Record]] = iter(())
        self._next = -1

    def open(self) -> None:
        with self._lock:
            self._catalogue.open()
            self._catalogue.refresh()

    def close(self) -> None:
        with self._lock:
            self._close_file()
            self._catalogue.close()

    def bounds(self) -> tuple[int, int]:
        """The offset of the oldest row, and the one behind the newest."""
        with self._lock:
            self._catalogue.refresh()
            return self._catalogue.oldest(), self._catalogue.end

    def from_(self, offset: int) -> list[Record]:
        """Some records, the first of which has this offset; none where there is no file yet.

        Raises:
            SourceError: a file can't be read, or the offset is out of range.
        """
        with self._lock:
            if offset != self._next:
                self._close_file()
            while True:
                for records in self._batches:
                    self._next = records[-1].offset + 1
                    return records
                self._close_file()
                entry = self._catalogue.find(offset)
                if entry is None:
                    self._catalogue.refresh()
                    entry = self._catalogue.find(offset)
                if entry is None:
                    self._check_range(offset)
                    return []
                self._batches = self._read(entry, offset)

    def _check_range(self, offset: int) -> None:
        end = self._catalogue.end
        if offset > end:
            raise SourceError(
                f"the source {self._name} can't go on at offset {offset}: the files in "
                f"{self._catalogue.directory} have offsets up to {end}; move the position back, or "
                f"bring the catalogue that it comes from"
            )

    def _read(self, entry: Entry, offset: int) -> Iterator[list[Record]]:
        path = self._catalogue.directory / entry.name
        doing = f"read the file {path}"
        if not path.exists():
            raise SourceError(
                f"{path} is gone, and its rows from offset {offset} on are not read: put it back, "
                f"or seek behind it, to {entry.first + entry.rows}"
            )
        with translated(SourceError, doing):
            timestamp = path.stat().st_mtime_ns // 1_000_000
            self._file = file = pq.ParquetFile(path)
        if file.metadata.num_rows != entry.rows:
            raise SourceError(
                f"{path} has {file.metadata.num_rows} rows and had {entry.rows}: a file must not "
                f"change when it is there; write it under another name and rename it"
            )
        with translated(SourceError, doing):
            groups, first = _groups_from(file, offset - entry.first)
            first += entry.first
            batches = file.iter_batches(BATCH_ROWS, groups, columns=self._columns(file, path))
            for batch in batches:
                rows = batch.to_pylist()
                records = [
                    self._record(row, place, timestamp, entry.name)
                    for place, row in enumerate(rows, first)
                    if place >= offset
                ]
                first += len(rows)
                if records:
                    yield records

    def _columns(self, file: pq.ParquetFile, path: Path) -> list[str] | None:
        """The columns to read; None: all of them."""
        columns, key = self._options.columns, self._options.key
        wanted = list(columns or ())
        if key is not None and key not in wanted:
            wanted.append(key)
        there = file.schema_arrow.names
        missing = [name for name in wanted if name not in there]
        if missing:
            raise SourceError(
                f"{path} has no column {missing[0]}: it has {', '.join(there)}; mend the settings "
                f"key and columns of the source {self._name}"
            )
        return None if columns is None else wanted

    def _record(self, row: Mapping[str, Any], offset: int, timestamp: int, name: str) -> Record:
        key = None if self._options.key is None else row[self._options.key]
        return Record(row, key, self._name, 0, offset, timestamp, (("file", name.encode()),))

    def _close_file(self) -> None:
        file, self._file = self._file, None
        self._batches = iter(())
        self._next = -1
        if file is not None:
            file.close()


def _groups_from(file: pq.ParquetFile, row: int) -> tuple[list[int], int]:
    """The row groups from the one that has this row on, and the number of their first row."""
    first = 0
    count = file.metadata.num_row_groups
    for group in range(count):
        rows = file.metadata.row_group(group).num_rows
        if row < first + rows:
            return list(range(group, count)), first
        first += rows
    return [], first
