"""A suite run from a program: what is said of each test, and that nobody else has a say."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from slipcore.testing import Contract, needs, overrides, promise
from slipcore.testing.verify import Result, VerifyError, verify


class Suite(Contract):
    """Two promises, one of which is kept."""

    @promise("source.order")
    def test_kept(self, tmp_path: Path) -> None:
        """Not much."""
        print("said")
        warnings.warn("nobody minds", stacklevel=1)
        assert tmp_path.is_dir()

    @promise("source.lag-counts")
    def test_broken(self) -> None:
        """Too much."""
        found = 1
        assert found == 2

    @needs("seek")
    @promise("source.order", "source.seek-moves")
    def test_out_of_reach(self) -> None:
        """Never run."""

    def test_about_nothing(self) -> None:
        """No promise."""


class Deviating(Suite):
    """One that says what it does not keep."""

    @overrides("the server counts from one")
    def test_broken(self) -> None:
        """Known."""
        super().test_broken()


EXPECTED = [
    Result("test_kept", ("source.order",), "held"),
    Result("test_broken", ("source.lag-counts",), "failed", "assert 1 == 2 (test_verify.py:30)"),
    Result(
        "test_out_of_reach",
        ("source.order", "source.seek-moves"),
        "not offered",
        "not offered: seek",
    ),
    Result("test_about_nothing", (), "held"),
]


def test_each_test_has_a_result() -> None:
    """Held, failed with the values and the line, or not offered, in the suite's order."""
    assert verify(Suite) == EXPECTED


def test_a_known_deviation_is_not_offered() -> None:
    """What a suite overrides with a reason is told by that reason."""
    broken = {result.test: result for result in verify(Deviating)}["test_broken"]
    assert (broken.outcome, broken.promises) == ("not offered", ("source.lag-counts",))
    assert broken.detail == "the server counts from one"


def test_checks_can_be_left_out() -> None:
    """With a promise go all tests that bear its id."""
    found = verify(Suite, without=["source.order"])
    assert [result.test for result in found] == ["test_broken", "test_about_nothing"]


def test_results_are_told_as_they_come() -> None:
    """How many there will be, and each."""
    told: list[Any] = []
    verify(Suite, on_start=told.append, on_result=told.append)
    assert told == [4, *EXPECTED]


def test_a_suite_may_be_made_late() -> None:
    """When pytest is there to rewrite the modules that it is from."""
    assert verify(lambda: Suite) == EXPECTED


def test_nobody_else_has_a_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No file of the directory is read or written, no variable heard or changed; all is quiet."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text("raise RuntimeError\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    before = dict(os.environ)
    assert verify(Suite) == EXPECTED
    assert dict(os.environ) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conftest.py", "pytest.ini"]
    assert capfd.readouterr() == ("", "")


def test_a_suite_that_can_not_be_made_is_an_error() -> None:
    """It says why."""

    def suite() -> type:
        raise LookupError("there is no backend")

    with pytest.raises(VerifyError, match="could not be run: .*LookupError: there is no backend"):
        verify(suite)


def test_an_interrupt_ends_the_run() -> None:
    """As it ends the program that runs the suite."""

    class Interrupted(Contract):
        def test_interrupt(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(Interrupted)
