"""What `slip doctor` is told of databases: nothing is opened, made or changed for it."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path

import pytest
from slip_rocks.options import RocksCheckpointOptions, RocksStateOptions
from slip_rocks.state import open_state_store

from slipcore.interfaces import Probed, StateFormatError
from slipcore.testing import LocalScope

FOUND = version("rocksdict")


def probe(
    options: RocksStateOptions | RocksCheckpointOptions, scope: LocalScope, *names: str
) -> Probed:
    return asyncio.run(options.probe(names, scope, 1.0))


def test_a_database_that_is_not_there_is_missing(tmp_path: Path) -> None:
    """It is named, and not made."""
    scope = LocalScope("shop", tmp_path / "state")
    there = f"{tmp_path}/state"
    assert probe(RocksStateOptions(), scope, "counts") == Probed(
        f"rocksdict {FOUND}",
        FOUND,
        (f"{there}/rocks/counts is not there yet; it is made at the first use",),
    )
    assert probe(RocksCheckpointOptions(), scope).missing == (
        f"{there}/rocks-checkpoints is not there yet; it is made at the first use",
    )
    assert not (tmp_path / "state").exists()


def test_a_database_in_use_is_looked_at(tmp_path: Path) -> None:
    """No lock is asked for, and no file is touched."""
    scope = LocalScope("shop", tmp_path)
    store = open_state_store("counts", RocksStateOptions(), scope)
    store.attach("counts")
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert probe(RocksStateOptions(), scope, "counts").missing == ()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files
    store.close()


def test_a_directory_of_others_is_refused(tmp_path: Path) -> None:
    """As it would be at the start."""
    (tmp_path / "theirs").write_text("theirs")
    with pytest.raises(StateFormatError, match="a directory with 1 files of others"):
        probe(RocksStateOptions(path=str(tmp_path)), LocalScope("shop", tmp_path), "counts")
