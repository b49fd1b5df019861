"""State, caches and checkpoints in RocksDB keep the contracts that every backend keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from slip_rocks.checkpoints import open_checkpoint_store
from slip_rocks.options import RocksCheckpointOptions, RocksStateOptions
from slip_rocks.state import open_state_store

from slipcore.interfaces import ICheckpointStore, IStateStore
from slipcore.testing import (
    CacheContract,
    CheckpointStoreContract,
    LocalScope,
    MakeCheckpointStore,
    MakeStore,
)


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[LocalScope]:
    """The scope of one app, since a database is one process's and one object's."""
    scope = LocalScope("tests", tmp_path)
    yield scope
    scope.close()


class TestState(CacheContract):
    """Several spaces of one database."""

    @pytest.fixture(params=[False, True], ids=["", "sync"])
    def make_store(self, scope: LocalScope, request: pytest.FixtureRequest) -> MakeStore:
        def make() -> IStateStore:
            return open_state_store("cache", RocksStateOptions(sync=request.param), scope)

        return make


class TestCheckpoints(CheckpointStoreContract):
    """Checkpoints in a database of their own."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[MakeCheckpointStore]:
        scopes: list[LocalScope] = []

        def make() -> ICheckpointStore:
            scopes.append(LocalScope("tests", tmp_path))
            return open_checkpoint_store("checkpoints", RocksCheckpointOptions(), scopes[-1])

        yield make
        for scope in scopes:
            scope.close()
