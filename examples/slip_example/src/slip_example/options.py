"""The settings of sources and sinks over directories of Parquet files."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec
from slipcore.interfaces import Probed, Scope, Seconds

from slip_example.probing import probe_sink, probe_source


class ParquetSourceOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings of a source."""

    path: str
    """The directory, from the working directory. It has to be there."""
    key: str | None = None
    """The column whose values are the keys of the records; None: they have none."""
    columns: list[str] | None = None
    """The columns to read; None: all of them."""
    follow: bool = False
    """Whether to wait for further files after the last one; else the source ends there."""
    poll_interval: Seconds = 1.0
    """Between two looks for further files."""

    def __post_init__(self) -> None:
        check_path(self.path)
        if self.poll_interval <= 0:
            raise ValueError(f"poll_interval is more than 0 seconds, not {self.poll_interval:g}")

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        return probe_source(self.path)


class ParquetSinkOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings of a sink."""

    path: str
    """The directory, from the working directory; made if it is not there."""
    offsets_per_file: int = 10_000
    """How many offsets of a partition a file stands for, where rows have an origin. It can't be
    changed for a directory that has files."""
    compression: Literal["none", "snappy", "gzip", "zstd"] = "zstd"
    """How columns are compressed."""

    def __post_init__(self) -> None:
        check_path(self.path)
        if self.offsets_per_file < 1:
            raise ValueError(f"offsets_per_file is at least 1, not {self.offsets_per_file}")

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        return probe_sink(self.path)


def check_path(path: str) -> None:
    """Refuse what names no directory.

    Raises:
        ValueError: it is empty.
    """
    if path == "":
        raise ValueError('path names a directory; it is ""')
