"""What `slip doctor` is told, and that it changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from slipcore.interfaces import ConnectError, Probed, Probing
from slipcore.testing import LocalScope

from slip_example.options import ParquetSinkOptions, ParquetSourceOptions


def probe(options: Probing, tmp_path: Path) -> Probed:
    return asyncio.run(options.probe(("a",), LocalScope("tests", tmp_path), 1.0))


def test_files_are_counted(tmp_path: Path) -> None:
    """Those that are read, or were written."""
    pq.write_table(pa.table({"n": [1]}), tmp_path / "a.parquet")
    (tmp_path / ".b.parquet").touch()
    for options in (
        ParquetSourceOptions(path=str(tmp_path)),
        ParquetSinkOptions(path=str(tmp_path)),
    ):
        found = probe(options, tmp_path)
        assert found.answered == f"1 Parquet files in {tmp_path}"
        assert found.version == f"pyarrow {pa.__version__}"


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A source needs its directory, a sink makes it at the first use."""
    path = str(tmp_path / "none")
    with pytest.raises(ConnectError, match="there is no directory"):
        probe(ParquetSourceOptions(path=path), tmp_path)
    (missing,) = probe(ParquetSinkOptions(path=path), tmp_path).missing
    assert missing == f"the directory {path} is not there yet; it is made at the first use"
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_directory_is_said(tmp_path: Path) -> None:
    """Of both."""
    (tmp_path / "file").touch()
    path = str(tmp_path / "file")
    with pytest.raises(ConnectError, match="there is no directory"):
        probe(ParquetSourceOptions(path=path), tmp_path)
    with pytest.raises(ConnectError, match="can't write to"):
        probe(ParquetSinkOptions(path=path), tmp_path)
