"""The contract kit finds faults, each by the test that is about it, and none where none is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from slipcore.testing.verify import Result
from tests.kit.wrong.marks import broken_by
from tests.kit.wrong.running import name_of, runs
from tests.kit.wrong.suites import RIGHT, WRONG

Outcomes = Callable[[type[Any]], list[Result]]

DEADLINE = 120.0
"""Seconds after which a run that is not over hangs."""


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """What came of the suite of a backend; all that are asked for run side by side."""
    asked = [
        item.callspec.params.get("backend")
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    with runs() as started:
        futures: dict[type[Any], Future[list[Result]]] = {
            backend: started.start(backend) for backend in (*RIGHT, *WRONG) if backend in asked
        }
        yield lambda backend: futures[backend].result(DEADLINE)


@pytest.mark.parametrize("backend", RIGHT, ids=name_of)
def test_a_right_backend_breaks_nothing(backend: type[Any], outcomes: Outcomes) -> None:
    """No test of its suite fails."""
    assert [result for result in outcomes(backend) if result.outcome == "failed"] == []


@pytest.mark.parametrize("backend", WRONG, ids=name_of)
def test_a_wrong_backend_is_caught_by_the_right_test(
    backend: type[Any], outcomes: Outcomes
) -> None:
    """At least one test fails, and none that is not about the promise that is broken."""
    failed = [result for result in outcomes(backend) if result.outcome == "failed"]
    assert failed, f"{name_of(backend)} gets through"
    strangers = [result for result in failed if broken_by(backend) not in result.promises]
    assert strangers == []


def test_there_are_enough_wrong_backends() -> None:
    """Of each kind there are some, each with a name of its own."""
    kinds = {str(broken_by(backend)).partition(".")[0] for backend in WRONG}
    assert kinds == {"source", "sink", "topic", "cache", "codec", "checkpoint-store"}
    assert len({name_of(backend) for backend in WRONG}) == len(WRONG) >= 25
