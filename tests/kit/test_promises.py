"""The suites are about what the contracts promise, about all of it, and nobody gets round them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from slipcore import hookspecs
from slipcore.optiondocs import describe_options
from slipcore.plugins import Backend, Plugins
from slipcore.testing import (
    CacheContract,
    CheckpointStoreContract,
    CodecContract,
    Contract,
    SinkContract,
    SourceContract,
    TopicContract,
    ids_of,
    needs,
    overrides,
    promise,
    promised,
)
from slipcore.testing.verify import verify

SUITES: tuple[type[Contract], ...] = (
    SourceContract,
    SinkContract,
    TopicContract,
    CacheContract,
    CodecContract,
    CheckpointStoreContract,
)


def checks_of(suite: type[Contract]) -> Iterator[tuple[str, Any]]:
    """The tests of a suite, inherited ones too."""
    yield from (
        (name, test)
        for name, test in inspect.getmembers(suite, inspect.isfunction)
        if name.startswith("test_")
    )


def test_what_is_promised_is_tested_and_nothing_else() -> None:
    """The ids in the contracts' docstrings are the ids that tests bear."""
    borne = {name for suite in SUITES for _, test in checks_of(suite) for name in ids_of(test)}
    assert sorted(borne) == sorted(promised())


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_every_test_says_what_it_is_about(suite: type[Contract]) -> None:
    """It bears an id, of its own kind."""
    kinds = {
        SourceContract: ("source",),
        SinkContract: ("sink",),
        TopicContract: ("topic", "source", "sink"),
        CacheContract: ("cache",),
        CodecContract: ("codec",),
        CheckpointStoreContract: ("checkpoint-store",),
    }[suite]
    for name, test in checks_of(suite):
        ids = ids_of(test)
        assert ids, f"{name} bears no id"
        assert {one.partition(".")[0] for one in ids} <= set(kinds), name


def test_a_promise_is_a_sentence() -> None:
    """The words before an id, without those of the promise before."""
    assert promised()["source.pause-loses-nothing"] == "Nothing is dropped, and the others go on."
    assert promised()["cache.scan-limit"] == "up to `limit`."
    assert promised()["sink.failed-flush-tells-its-outputs"] == (
        "SinkError: with the outputs that are not durable, in order."
    )
    assert [name for name, sentence in promised().items() if len(sentence) < 8] == []


def test_a_topic_is_held_to_all_that_a_source_and_a_sink_are() -> None:
    """No test of theirs is lost on the way."""
    theirs = {name for suite in (SourceContract, SinkContract) for name, _ in checks_of(suite)}
    assert theirs - dict(checks_of(TopicContract)).keys() == set()


# --- hooks and options -----------------------------------------------------------------------

HOOKS = [
    hook for name, hook in inspect.getmembers(hookspecs, inspect.isfunction)
    if name.startswith("register_")
]  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_every_hook_says_what_its_factories_take_and_make(hook: Any) -> None:
    """In one line: the arguments, and the contract of what is made."""
    assert hook.__doc__ is not None
    shape, _, made = hook.__doc__.partition("->")
    assert "(options, type)" in shape or "(name: str, options, scope: Scope)" in shape
    assert any(f"I{word}" in made for word in ("Source", "Sink", "State", "Codec", "Checkpoint"))


def backends() -> list[Backend]:
    """All backends that are installed here and are this project's own."""
    plugins = Plugins.from_env({})
    names = [(kind, name) for kind in ("source", "cache", "codec", "checkpoint_store")
             for name in plugins.names(kind)]  # fmt: skip
    found = [plugins.get(kind, name) for kind, name in names]
    return [backend for backend in found if backend.distribution.startswith("slip")]


@pytest.mark.parametrize("backend", backends(), ids=lambda b: f"{b.kind}-{b.name}")
def test_every_option_says_what_it_is_for(backend: Backend) -> None:
    """As a string under its field."""
    options = backend.options_type()
    assert options is not None, "a backend without settings says so by a class without fields"
    assert options.__doc__
    assert [option.name for option in describe_options(options) if not option.help] == []


# --- nobody gets round a suite ---------------------------------------------------------------


class Small(Contract):
    """A suite of a few tests."""

    holds: ClassVar[bool] = True

    @promise("codec.round-trip")
    def test_something(self) -> None:
        """What everyone must do."""
        assert self.holds

    @needs("more")
    @promise("codec.threads")
    def test_more(self) -> None:
        """What some do."""


def outcomes(suite: type[Contract]) -> dict[str, tuple[str, str]]:
    return {result.test: (result.outcome, result.detail) for result in verify(suite)}


def test_what_is_not_offered_is_skipped_with_the_reason() -> None:
    """What is offered is run."""

    class More(Small):
        offers = frozenset({"more"})

    assert outcomes(Small) == {
        "test_something": ("held", ""),
        "test_more": ("not offered", "not offered: more"),
    }
    assert outcomes(More) == {"test_something": ("held", ""), "test_more": ("held", "")}


def test_a_word_that_no_test_is_about_can_not_be_offered() -> None:
    """A misspelled one would take its tests out without a word."""
    with pytest.raises(TypeError, match="Wrong offers 'moar', which no test .*: there are more"):
        type("Wrong", (Small,), {"offers": frozenset({"moar"})})


@pytest.mark.parametrize("way", [lambda self: None, None], ids=["function", "None"])
def test_a_test_can_not_be_overridden_silently(way: Any) -> None:
    """Neither by a subclass nor by what it inherits from besides."""
    message = "Wrong overrides the contract's test test_something: .*@overrides"
    with pytest.raises(TypeError, match=message):
        type("Wrong", (Small,), {"test_something": way})
    beside = type("Beside", (), {"test_something": way})
    with pytest.raises(TypeError, match=message):
        type("Wrong", (beside, Small), {})


def test_a_test_that_is_overridden_for_a_reason_shows_it() -> None:
    """It bears the ids of the one in whose place it is."""

    class Honest(Small):
        holds = False

        @overrides("it is told to fail")
        def test_something(self) -> None:
            super().test_something()

    assert ids_of(Honest.test_something) == ("codec.round-trip",)
    assert outcomes(Honest)["test_something"] == ("not offered", "it is told to fail")


def test_a_reason_that_is_gone_is_noticed() -> None:
    """The test passes where it is said to fail: that is a failure."""

    class Outdated(Small):
        @overrides("it was told to fail")
        def test_something(self) -> None:
            super().test_something()

    assert outcomes(Outdated)["test_something"][0] == "failed"


def test_no_suite_of_the_project_overrides_anything() -> None:
    """Wherever it stands, among what this run has collected; one that is an example may."""

    def subclasses(of: type[Contract]) -> Iterator[type[Contract]]:
        for suite in of.__subclasses__():
            yield suite
            yield from subclasses(suite)

    examples = "tests.kit.test_verify"
    own = [
        suite
        for suite in subclasses(Contract)
        if "<locals>" not in suite.__qualname__ and suite.__module__ != examples
    ]
    assert [
        f"{suite.__qualname__}.{name}"
        for suite in own
        for name, test in vars(suite).items()
        if hasattr(test, "__overrides__")
    ] == []
