"""An installed backend, as it is configured here, and the suites that hold it to its contracts.

It is given names that nobody else has, and a directory of its own for what it keeps in files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from slipcore.choice import choose
from slipcore.config import Config
from slipcore.interfaces import (
    Capability,
    ConfigError,
    ConnectError,
    ICheckpointStore,
    ICodec,
    IStateStore,
    ITopic,
)
from slipcore.plugins import Backend, Plugins
from slipcore.settings import Setting, merge, setting_names, validate
from slipcore.testing import LocalScope, unique

EXAMPLES: Final[Sequence[Any]] = (
    "text", "é 🏆", "", 0, -1, 2**40, 1.5, True, [], [1, [2]], {"n": 1.25}, {"a": [1, {"b": "c"}]},
)  # fmt: skip
"""Values of which a codec is held to those that it takes."""

BYTES: Final[Sequence[Any]] = (b"bytes", b"\0\xff", b"")
"""The same for a codec that takes none of the above; others may write bytes as something else."""

PLACES: Final = ("path",)
"""Settings that say where files are: they are not used, files go to a directory of the suite."""

OF_TOPICS: Final[Mapping[str, Any]] = {"group_id": "verify", "partitions": 1}
"""Settings that a suite gives each topic of its own."""


@dataclass(frozen=True, slots=True)
class Installed:
    """One backend of one kind.

    Attributes:
        kind: topic, source, sink, cache, codec or checkpoint_store.
        backend: as it is registered.
        config: where its settings are, under [backends.NAME].
        patience: seconds that anything which is to happen may take.
        values: what a codec is to write; without any, the examples that it takes.
    """

    kind: str
    backend: Backend
    plugins: Plugins
    config: Config
    patience: float = 30.0
    values: Sequence[Any] = ()

    @property
    def has_suite(self) -> bool:
        """Whether it can be filled and read back by its name alone."""
        return self.kind not in ("source", "sink")

    @property
    def offers(self) -> frozenset[str]:
        """What a source says that it can do."""
        offered: frozenset[Capability] = getattr(self.backend.load(), "capabilities", frozenset())
        return frozenset(capability.value for capability in offered)

    @property
    def outlives_process(self) -> bool:
        """Whether anything of this name says that it is lost with the process."""
        kinds = (backend.options_type() for backend in self.plugins.of_name(self.backend.name))
        return all(getattr(options, "outlives_process", True) for options in kinds)

    @property
    def silence(self) -> float:
        """Seconds after which what did not happen is taken not to happen."""
        return 0.6 if self.outlives_process else 0.05

    @property
    def decided(self) -> dict[str, Setting]:
        """The settings that a suite decides on itself, with values that it may give them."""
        given = {**dict.fromkeys(PLACES), **(OF_TOPICS if self.kind == "topic" else {})}
        return {name: Setting(given[name], "code") for name in given if name in self.taken}

    @property
    def taken(self) -> frozenset[str]:
        """The settings that it takes."""
        return setting_names(self.backend.options_type())

    def check(self) -> None:
        """See that it is set right, also where a suite decides.

        Raises:
            ConfigError: an unknown, missing or mistyped setting, or a value that it does not write.
        """
        choice = choose(
            self.kind,
            self.backend.name,
            plugins=self.plugins,
            config=self.config,
            backend=self.backend.name,
        )
        if not self.has_suite:
            return
        title = f"{self.kind.replace('_', ' ')} {self.backend.name}"
        validate(self.backend.options_type(), merge(self.decided, choice.settings), title)
        if self.kind != "codec" or not self.values:
            return
        for value in self.values:
            try:
                self.make_codec().encode(value)
            except Exception as error:
                raise ConfigError(
                    f"{title} does not write the value {value!r}: {type(error).__name__}: {error}"
                ) from error

    def options(self, **given: Any) -> Any:
        """Its settings.

        Raises:
            ConfigError: an unknown, missing or mistyped setting.
        """
        here = {name: None for name in PLACES if name in self.taken}
        wanted = {name: value for name, value in given.items() if name in self.taken}
        choice = choose(
            self.kind,
            unique(self.backend.name),
            plugins=self.plugins,
            config=self.config,
            backend=self.backend.name,
            conf={**here, **wanted},
        )
        return choice.options()

    def make(self, name: str, scope: LocalScope, **given: Any) -> Any:
        """An instance that is not open."""
        return self.backend.load()(name, self.options(**given), scope)

    def make_codec(self) -> ICodec:
        """A codec, which decodes into no type of anybody's."""
        made: ICodec = self.backend.load()(self.options(), None)
        return made

    def examples(self) -> list[Any]:
        """Values that a codec writes."""
        codec = self.make_codec()
        for values in (self.values, EXAMPLES, BYTES):
            taken = [value for value in values if values is self.values or _takes(codec, value)]
            if taken:
                return taken
        return []

    def reach(self, directory: Path) -> None:
        """Open it once, within the patience.

        Raises:
            SlipError: it is not set right, or can't be reached.
        """
        raised: list[BaseException] = []

        def reaching() -> None:
            try:
                self._reach(directory)
            except BaseException as error:
                raised.append(error)

        # What has no deadline of its own is left behind: nobody can stop it.
        thread = Thread(target=reaching, daemon=True)
        thread.start()
        thread.join(self.patience)
        if raised:
            raise raised[0]
        if thread.is_alive():
            raise ConnectError(
                f"{self.kind.replace('_', ' ')} {self.backend.name} was not open within "
                f"{self.patience:g} s: look at its address, or give it more with --patience."
            )

    def _reach(self, directory: Path) -> None:
        scope = LocalScope(unique("slip-verify"), directory)
        try:
            if self.kind == "codec":
                self.make_codec()
            elif self.kind == "cache":
                store = self.make(unique("cache"), scope)
                store.attach(unique("space"))
                store.close()
            elif self.kind == "checkpoint_store":
                store = self.make(unique("checkpoints"), scope)
                store.load("none")
                store.close()
            else:
                asyncio.run(_open(self.make(unique("topic"), scope, partitions=1)))
        finally:
            scope.close()


@contextmanager
def scopes(directory: Path, *, apart: bool) -> Iterator[Any]:
    """What gives the scope of an app, and closes what was given.

    Args:
        apart: each is one of its own, as of another run of the app.
    """
    app = unique("slip-verify")
    made: list[LocalScope] = []

    def scope() -> LocalScope:
        if apart or not made:
            made.append(LocalScope(app, directory))
        return made[-1]

    try:
        yield scope
    finally:
        for one in made:
            one.close()


def _takes(codec: ICodec, value: Any) -> bool:
    try:
        codec.encode(value)
    except Exception:
        return False
    return True


async def _open(thing: Any) -> None:
    try:
        await thing.open()
    finally:
        await thing.close()


def kinds_of(plugins: Plugins, name: str) -> list[tuple[str, Backend]]:
    """The kinds that a name is registered as; a source and sink by one factory is a topic.

    Raises:
        BackendConflictError: two plugins registered one of them.
    """
    kinds = {b.kind: plugins.get(b.kind, name) for b in plugins.of_name(name)}
    source, sink = kinds.get("source"), kinds.get("sink")
    if source is not None and sink is not None and source.factory == sink.factory:
        del kinds["sink"]
        kinds = {"topic" if kind == "source" else kind: of for kind, of in kinds.items()}
    return list(kinds.items())


def why_not(installed: Installed) -> str | None:
    """Why there is no suite for a backend by its name alone; None: there is one."""
    if not installed.has_suite:
        face = "SourceContract" if installed.kind == "source" else "SinkContract"
        return (
            f"What is not both source and sink can't be filled or read back by its name alone: "
            f"its own tests subclass {face}."
        )
    if installed.kind == "codec" and not installed.examples():
        return "It writes none of the examples: name values that it is to write with --value JSON."
    return None


def suite_of(installed: Installed) -> type:
    """The contract suite of a backend, to be run by `verify`."""
    return _SUITES[installed.kind](installed)


def _topic_suite(installed: Installed) -> type:
    from slipcore.testing import MakeTopic, TopicContract

    class InstalledTopic(TopicContract):
        """A topic by its name."""

        offers = TopicContract.offers - _CAPABILITIES | installed.offers & _CAPABILITIES
        patience = installed.patience
        silence = installed.silence

        @pytest.fixture
        def make_topic(self, tmp_path: Path) -> Iterator[MakeTopic]:
            with scopes(tmp_path, apart=False) as scope:

                def make(name: str, group: str, partitions: int, **settings: Any) -> ITopic:
                    given = {"group_id": group, "partitions": partitions, **settings}
                    topic: ITopic = installed.make(name, scope(), **given)
                    return topic

                yield make

    return InstalledTopic


def _cache_suite(installed: Installed) -> type:
    from slipcore.testing import CacheContract

    one_store = getattr(installed.backend.options_type(), "one_store", False)

    class InstalledCache(CacheContract):
        """A state store by its name."""

        patience = installed.patience

        @pytest.fixture
        def make_store(self, tmp_path: Path) -> Iterator[Callable[[], IStateStore]]:
            # Another run of the app finds a store that is shared; one for each cache is its own.
            apart = installed.outlives_process and one_store
            with scopes(tmp_path, apart=apart) as scope:
                yield lambda: installed.make("cache", scope())

    return InstalledCache


def _checkpoint_suite(installed: Installed) -> type:
    from slipcore.testing import CheckpointStoreContract

    class InstalledCheckpoints(CheckpointStoreContract):
        """A checkpoint store by its name."""

        patience = installed.patience

        @pytest.fixture
        def make_store(self, tmp_path: Path) -> Iterator[Callable[[], ICheckpointStore]]:
            with scopes(tmp_path, apart=installed.outlives_process) as scope:
                yield lambda: installed.make("checkpoints", scope())

    return InstalledCheckpoints


def _codec_suite(installed: Installed) -> type:
    from slipcore.testing import CodecContract

    class InstalledCodec(CodecContract):
        """A codec by its name."""

        offers = frozenset({"refuses values"})
        examples = installed.examples()
        unfit = (lambda: None,)
        patience = installed.patience

        @pytest.fixture
        def make_codec(self) -> Callable[[], ICodec]:
            return installed.make_codec

    return InstalledCodec


_CAPABILITIES: Final = frozenset({"commit", "partitions", "seek"})
"""What a suite is told that a source can do; the rest has no tests, or goes for all topics."""

_SUITES: Final[dict[str, Callable[[Installed], type]]] = {
    "topic": _topic_suite,
    "cache": _cache_suite,
    "checkpoint_store": _checkpoint_suite,
    "codec": _codec_suite,
}
