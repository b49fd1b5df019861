"""All wrong backends, and the suite that is to find each of them out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from slipcore.backends.codecs import JsonCodec, RawCodec
from slipcore.backends.memory import MemoryTopicOptions
from slipcore.backends.memory.state import MemoryCheckpointStore, MemoryStateStore
from slipcore.interfaces import ICheckpointStore, ICodec, ISink, IStateStore, ITopic
from slipcore.testing import (
    CacheContract,
    CheckpointStoreContract,
    CodecContract,
    LocalScope,
    MakeTopic,
    TopicContract,
)
from tests.kit.wrong import caches, checkpoints, codecs, groups, sinks, sources, topics
from tests.kit.wrong.marks import broken_by
from tests.kit.wrong.right import RightTopic

PATIENCE: Final = 3.0
"""Seconds that anything of a wrong backend may take: much of it never happens."""

_JSON: Final = ("refuses values", "refuses bytes", "ends")

RIGHT: Final = (RightTopic, MemoryStateStore, MemoryCheckpointStore, JsonCodec, RawCodec)
"""Backends that break nothing."""

WRONG: Final = tuple(
    backend
    for module in (sources, groups, sinks, topics, caches, codecs, checkpoints)
    for backend in vars(module).values()
    if isinstance(backend, type) and broken_by(backend) is not None
)
"""Backends that break one promise each."""


def suite_of(backend: type[Any]) -> type:
    """The suite that holds a backend to its contract."""
    if issubclass(backend, RightTopic):
        return _topic_suite(backend)
    if issubclass(backend, IStateStore):
        return _cache_suite(backend)
    if issubclass(backend, ICheckpointStore):
        return _checkpoint_suite(backend)
    return _codec_suite(backend)


def _topic_suite(backend: type[RightTopic]) -> type:
    class TopicSuite(TopicContract):
        """A topic in memory, whose flushes can fail."""

        offers: ClassVar[frozenset[str]] = TopicContract.offers | {"faults"}
        patience = PATIENCE
        silence = backend.silence

        @pytest.fixture
        def make_topic(self, tmp_path: Path) -> MakeTopic:
            scope = LocalScope("tests", tmp_path)

            def make(name: str, group: str, partitions: int, **settings: Any) -> ITopic:
                options = MemoryTopicOptions(group_id=group, partitions=partitions, **settings)
                return backend(name, options, scope)

            return make

        @pytest.fixture
        def failing(self) -> Callable[[ISink], AbstractContextManager[None]]:
            return lambda sink: sink.failing()  # type: ignore[attr-defined]  # a RightTopic

    return TopicSuite


def _cache_suite(backend: type[IStateStore]) -> type:
    class CacheSuite(CacheContract):
        """State in memory, shared by all objects of a test."""

        patience = PATIENCE

        @pytest.fixture
        def make_store(self) -> Callable[[], IStateStore]:
            store = backend()
            return lambda: store

    return CacheSuite


def _checkpoint_suite(backend: type[ICheckpointStore]) -> type:
    class CheckpointSuite(CheckpointStoreContract):
        """Checkpoints in memory, shared by all objects of a test."""

        @pytest.fixture
        def make_store(self) -> Callable[[], ICheckpointStore]:
            store = backend()
            return lambda: store

    return CheckpointSuite


def _codec_suite(backend: type[ICodec]) -> type:
    passes = issubclass(backend, RawCodec)

    class CodecSuite(CodecContract):
        """A codec without settings."""

        offers = frozenset({"refuses values"} if passes else _JSON)
        examples = (b"bytes", b"\0\xff") if passes else ("text", [1, 2.5], {"a": [{"b": True}]})
        unfit = (lambda: None, {1, float("nan")})
        foreign = (b"\xff", b"text", b"")

        @pytest.fixture
        def make_codec(self) -> Callable[[], ICodec]:
            return backend

    return CodecSuite
