r'''Tests of apps without a server, and suites that hold a backend to its contract.

`AppTest` runs an app in memory, to idle, with a clock that stands still:

    def test_words():
        with AppTest(words_app) as app:
            app.send("words", "to be")
            app.run()
            assert app.sent("counts") == [("to", 1), ("be", 1)]

The rest is for those who write a backend. A subclass of a suite with one fixture is a test class,
which pytest runs like any other. This is all that a topic needs, a source and a sink in one:

    import pytest
    from slip_nats.topic import NatsOptions, NatsTopic
    from slipcore.testing import LocalScope, TopicContract

    class TestNatsTopic(TopicContract):
        """A topic on a real server."""

        silence = 0.2

        @pytest.fixture
        def make_topic(self, tmp_path):
            scope = LocalScope("tests", tmp_path)

            def make(name, group, partitions, **settings):
                options = NatsOptions(group_id=group, partitions=partitions, **settings)
                return NatsTopic(name, options, scope)

            return make

Each kind of backend has a suite. What a fixture gives is described by the type beside it:

    TopicContract            make_topic             MakeTopic
    SourceContract           make_source            MakeSource
    SinkContract             make_sink, arrived     MakeSink, Arrived
    CacheContract            make_store             MakeStore (an `IStateStore`)
    CodecContract            make_codec, examples   MakeCodec
    CheckpointStoreContract  make_store             MakeCheckpointStore

All that one fixture makes in a test shares one backend, as two processes would: what one object
has written the next one finds. What it makes is not open yet; what stores it has made it closes.

A source that is no topic is given records and makes of them whatever it reads; a sink that is no
topic tells what has arrived. Both may take other values than the suites' bytes:

    class TestLines(SourceContract):
        """Lines of a file, read once to the end."""

        offers = frozenset({"ends", "seek"})

        @pytest.fixture
        def make_source(self, tmp_path):
            path = tmp_path / "lines"

            def make(records):
                with path.open("ab") as file:
                    file.writelines(record.value + b"\n" for record in records)
                return LinesSource(path)

            return make

        def value_of(self, record):
            return record.value["line"].encode()

What a backend can do beyond what everyone must, `offers` names; a suite's docstring says what
there is. Tests of anything else are skipped with the reason "not offered: ...". What is offered
is held to. Where a backend can't keep a promise after all, it says so:

        @overrides("the server forgets who has read what")
        def test_groups_are_apart(self, places):
            super().test_groups_are_apart(places)

A test taken out without a reason is an error. The promises are sentences of the contracts'
docstrings in `slipcore.interfaces`, each with an id; a test bears the ids of those that it is
about, and `promised()` lists them all. On a slow server set `patience` and `silence`.

pytest and hypothesis, which the suites need and `AppTest` does not, come with the extra `testing`.
'''

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from slipcore.scope import AppScope

if TYPE_CHECKING:
    from slipcore.testing.app import AppTest
    from slipcore.testing.caches import CacheContract
    from slipcore.testing.checkpoints import CheckpointStoreContract, MakeCheckpointStore
    from slipcore.testing.codecs import CodecContract, MakeCodec
    from slipcore.testing.contract import Contract, needs, overrides
    from slipcore.testing.groups import SourceContract
    from slipcore.testing.places import Arrived, MakeSink, MakeSource
    from slipcore.testing.promises import ids_of, promise, promised
    from slipcore.testing.reader import MakeTopic, Reader, unique
    from slipcore.testing.sinks import Failing, SinkContract
    from slipcore.testing.state import MakeStore
    from slipcore.testing.topics import TopicContract

__all__ = [
    "AppTest",
    "Arrived",
    "CacheContract",
    "CheckpointStoreContract",
    "CodecContract",
    "Contract",
    "Failing",
    "LocalScope",
    "MakeCheckpointStore",
    "MakeCodec",
    "MakeSink",
    "MakeSource",
    "MakeStore",
    "MakeTopic",
    "Reader",
    "SinkContract",
    "SourceContract",
    "TopicContract",
    "ids_of",
    "needs",
    "overrides",
    "promise",
    "promised",
    "unique",
]

_MODULES: Final = {
    "AppTest": "app",
    "Arrived": "places",
    "CacheContract": "caches",
    "CheckpointStoreContract": "checkpoints",
    "CodecContract": "codecs",
    "Contract": "contract",
    "Failing": "sinks",
    "MakeCheckpointStore": "checkpoints",
    "MakeCodec": "codecs",
    "MakeSink": "places",
    "MakeSource": "places",
    "MakeStore": "state",
    "MakeTopic": "reader",
    "Reader": "reader",
    "SinkContract": "sinks",
    "SourceContract": "groups",
    "TopicContract": "topics",
    "ids_of": "promises",
    "needs": "contract",
    "overrides": "contract",
    "promise": "promises",
    "promised": "promises",
    "unique": "reader",
}
"""Where the names are, imported at first use."""

_ASSERTING: Final = (
    "caches",
    "checkpoints",
    "codecs",
    "groups",
    "reader",
    "sinks",
    "sources",
    "state",
    "topics",
)
"""Modules of suites."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name[0].isupper() and name != "AppTest":
        _show_values()
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def _show_values() -> None:
    """Have an assert of a suite that fails show its values: before the suites are imported."""
    import pytest

    new = [n for m in _ASSERTING if (n := f"{__name__}.{m}") not in sys.modules]
    pytest.register_assert_rewrite(*new)


class LocalScope(AppScope):
    """The scope of an app that a test makes up.

    Args:
        app: the app's name, the default consumer group.
        state_dir: where embedded state lives.
    """
