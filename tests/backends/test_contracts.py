"""The embedded backends keep the contracts that every backend keeps."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from slipcore.backends import memory
from slipcore.backends.sqlite.checkpoints import SqliteCheckpointOptions, open_checkpoint_store
from slipcore.backends.sqlite.state import SqliteStateOptions, open_state_store
from slipcore.backends.sqlite.topic import SqliteTopic, SqliteTopicOptions
from slipcore.interfaces import ICheckpointStore, ISink, IStateStore, ITopic
from slipcore.testing import (
    CacheContract,
    CheckpointStoreContract,
    Failing,
    LocalScope,
    MakeCheckpointStore,
    MakeStore,
    MakeTopic,
    TopicContract,
)


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[LocalScope]:
    """The scope of one app."""
    scope = LocalScope("tests", tmp_path)
    yield scope
    scope.close()


class TestMemoryTopic(TopicContract):
    """Topics in memory."""

    silence = 0.02

    @pytest.fixture
    def make_topic(self, scope: LocalScope) -> MakeTopic:
        def make(name: str, group: str, partitions: int, **settings: Any) -> ITopic:
            options = memory.MemoryTopicOptions(group_id=group, partitions=partitions, **settings)
            return memory.MemoryTopic(name, options, scope)

        return make


class TestMemoryState(CacheContract):
    """State in memory."""

    @pytest.fixture
    def make_store(self, scope: LocalScope) -> MakeStore:
        def make() -> IStateStore:
            return memory.open_state_store("cache", memory.MemoryStateOptions(), scope)

        return make


class TestMemoryCheckpoints(CheckpointStoreContract):
    """Checkpoints in memory."""

    @pytest.fixture
    def make_store(self, scope: LocalScope) -> MakeCheckpointStore:
        def make() -> ICheckpointStore:
            options = memory.MemoryCheckpointOptions()
            return memory.open_checkpoint_store("checkpoints", options, scope)

        return make


class TestSqliteTopic(TopicContract):
    """Topics in a file."""

    offers = TopicContract.offers | {"faults"}

    @pytest.fixture
    def failing(self, tmp_path: Path) -> Failing:
        @contextmanager
        def failing(sink: ISink) -> Iterator[None]:
            with closing(sqlite3.connect(tmp_path / "slip.db")) as db:
                db.execute(
                    "CREATE TRIGGER refuse BEFORE INSERT ON records "
                    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )
                yield
                db.execute("DROP TRIGGER refuse")

        return failing

    @pytest.fixture
    def make_topic(self, scope: LocalScope) -> MakeTopic:
        def make(name: str, group: str, partitions: int, **settings: Any) -> ITopic:
            options = SqliteTopicOptions(group_id=group, partitions=partitions, **settings)
            return SqliteTopic(name, options, scope)

        return make


class TestSqliteState(CacheContract):
    """State in a file."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[MakeStore]:
        scopes: list[LocalScope] = []

        def make() -> IStateStore:
            scopes.append(LocalScope("tests", tmp_path))
            return open_state_store("cache", SqliteStateOptions(), scopes[-1])

        yield make
        for scope in scopes:
            scope.close()


class TestSqliteCheckpoints(CheckpointStoreContract):
    """Checkpoints in a file."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[MakeCheckpointStore]:
        scopes: list[LocalScope] = []

        def make() -> ICheckpointStore:
            scopes.append(LocalScope("tests", tmp_path))
            return open_checkpoint_store("checkpoints", SqliteCheckpointOptions(), scopes[-1])

        yield make
        for scope in scopes:
            scope.close()
