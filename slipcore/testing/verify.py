"""Run a contract suite from a program and get what came of each test.

results = verify(TestMyTopic)
broken = [result for result in results if result.outcome == "failed"]
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Final, Literal, TypeAlias

import pytest

__all__ = ["Outcome", "Result", "VerifyError", "verify"]

Outcome: TypeAlias = Literal["held", "failed", "not offered"]

_SUITE: Final = "contract.suite"

_ISOLATED: Final = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": None,
    "PYTEST_PLUGINS": None,
    "PYTEST_CURRENT_TEST": None,
}
"""Variables that make a run depend on who runs it; None: not set while it lasts."""

_ARGUMENTS: Final = (
    "--noconftest",
    "--capture=sys",
    *("-W", "always"),  # nothing is an error that is none to those who run the backend
    *("-p", "no:cacheprovider"),
    *("-p", "no:terminal"),
    *("-p", "no:faulthandler"),  # it would end that of a pytest around this one
)


class VerifyError(Exception):
    """A suite that could not be run: it can't be collected, or pytest itself failed."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test of a suite.

    Attributes:
        test: the test's name, with its parameters.
        promises: the ids that it bears.
        outcome: a promise is held, failed, or not offered.
        detail: why it failed, or why it is not offered.
    """

    test: str
    promises: tuple[str, ...]
    outcome: Outcome
    detail: str = ""


def verify(
    suite: type | Callable[[], type],
    *,
    without: Collection[str] = (),
    on_start: Callable[[int], None] | None = None,
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run a contract suite in this process, from any directory, also within a run of pytest.

    No configuration, conftest or plugin of anybody else has a say, and nothing is printed. Not
    for several threads at once: pytest holds on to what a process has one of.

    Args:
        suite: a subclass of a contract, with the fixtures that it asks for; or what makes one
            when pytest is there, so that the asserts of modules it imports show their values.
        without: ids of promises; tests that bear one of them are left out.
        on_start: told how many tests there are.
        on_result: told of each result as it comes.

    Raises:
        VerifyError: the suite could not be run.
        KeyboardInterrupt: the run was interrupted.
    """
    plugin = _Plugin(suite, frozenset(without), on_start, on_result)
    with TemporaryDirectory(prefix="slip-verify-") as directory, _environment():
        root = Path(directory).resolve()
        (root / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        (root / _SUITE).touch()
        arguments = (
            *_ARGUMENTS,
            *("-c", str(root / "pytest.ini")),
            f"--rootdir={root}",
            f"--basetemp={root / 'tmp'}",
            str(root / _SUITE),
        )
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # what pytest says itself
            code = pytest.main(list(arguments), plugins=[plugin])
    if plugin.error:
        raise VerifyError(f"the suite could not be run: {plugin.error}")
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        raise VerifyError(f"the suite could not be run: pytest ended with {code!r}")
    return plugin.results


@contextmanager
def _environment() -> Iterator[None]:
    """Take out of the environment what others say to pytest, and put it back."""
    before = {name: os.environ.get(name) for name in _ISOLATED}
    _set(_ISOLATED)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class _Plugin:
    """Gives pytest the suite, and keeps what it reports."""

    def __init__(
        self,
        suite: type | Callable[[], type],
        without: frozenset[str],
        on_start: Callable[[int], None] | None,
        on_result: Callable[[Result], None] | None,
    ) -> None:
        self.results: list[Result] = []
        self.error = ""
        self._suite = suite
        self._without = without
        self._on_start = on_start
        self._on_result = on_result
        self._promises: dict[str, tuple[str, ...]] = {}
        self._outcome: tuple[Outcome, str] = ("held", "")

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        if file_path.name != _SUITE:
            return None
        suite = self._suite if isinstance(self._suite, type) else self._suite()
        module = ModuleType(suite.__module__)
        module.TestContract = suite  # type: ignore[attr-defined]  # a name that is collected
        collector = pytest.Module.from_parent(parent, path=file_path)
        collector.obj = module
        return collector

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._promises = {item.nodeid: _promises(item) for item in items}
        items[:] = [item for item in items if self._without.isdisjoint(_promises(item))]
        if self._on_start is not None:
            self._on_start(len(items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.error = report.longreprtext.strip().splitlines()[-1]

    def pytest_internalerror(self, excrepr: object) -> None:
        self.error = str(excrepr).strip().splitlines()[-1]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._outcome = ("failed", _failure(report))
        elif report.skipped:
            self._outcome = ("not offered", _reason(report))
        if report.when != "teardown":
            return
        test = report.nodeid.rpartition("::TestContract::")[2]
        outcome, detail = self._outcome
        self._outcome = ("held", "")
        result = Result(test, self._promises[report.nodeid], outcome, detail)
        self.results.append(result)
        if self._on_result is not None:
            self._on_result(result)


def _promises(item: pytest.Item) -> tuple[str, ...]:
    return tuple(getattr(getattr(item, "function", None), "__promises__", ()))


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped, or is known to fail."""
    expected = getattr(report, "wasxfail", None)
    if expected is not None:
        return str(expected).removeprefix("reason: ")
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return report.longreprtext


def _failure(report: pytest.TestReport) -> str:
    """One line on what was wrong, and where."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return report.longreprtext.strip().splitlines()[-1]
    said = " ".join(crash.message.split())
    if said in ("AssertionError", "assert"):
        # The suite was imported by others, before pytest could make its asserts talk.
        said = linecache.getline(crash.path, crash.lineno).strip()
    return f"{said} ({Path(crash.path).name}:{crash.lineno})"
