"""`slip plugins verify`: hold an installed backend to the contracts, as it is configured here."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from slipcore.cli.exits import FAILED, MISCONFIGURED
from slipcore.cli.printing import print_json, print_table, print_text, say_failure
from slipcore.interfaces import (
    ConfigError,
    MissingDependencyError,
    SlipError,
    UnknownBackendError,
)

if TYPE_CHECKING:
    from slipcore.testing.installed import Installed
    from slipcore.testing.verify import Result

WORST: Final = ("failed", "held", "not offered")
"""Outcomes of tests, the one first that decides what a promise's is."""


OUT_OF_REACH: Final = {
    "faults": "needs a server that fails",
    "refuses bytes": "known to its own tests only",
    "ends": "known to its own tests only",
}
"""What a name alone does not offer to a suite, and why."""


class PromiseRow(msgspec.Struct, frozen=True):
    """What became of one promise. Field names are stable.

    Attributes:
        promise: its id; None for tests that are about none.
        says: the sentence of the contract.
        outcome: "held", "failed" or "not offered".
        tests: the tests that bear its id.
        detail: why it failed, or why it is not offered; "" where it is held.
    """

    promise: str | None
    says: str
    outcome: str
    tests: list[str]
    detail: str


class KindReport(msgspec.Struct, frozen=True):
    """What became of one kind of a backend. Field names are stable: `--json` prints them.

    Attributes:
        owner: the distribution and the plugin that bring it.
        capabilities: what a source says that it can do.
        note: why it was not verified; None where it was.
    """

    kind: str
    name: str
    owner: str
    capabilities: list[str]
    promises: list[PromiseRow]
    note: str | None


def verify_backend(
    name: str, *, settings: Sequence[str], values: Sequence[str], patience: float, as_json: bool
) -> int:
    """Run the suites of all kinds of a backend, print what came of them, return the exit code.

    It is 0 only where a promise was held: what could not be verified is not in order.
    """
    given: dict[str, str] = {}
    try:
        with TemporaryDirectory(prefix="slip-verify-") as directory, _hypothesis_in(directory):
            _need_pytest()
            given = _settings(settings)
            found = _installed(name, given, _values(values), patience)
            _check(found, given, values)
            raised = [_raised(one, Path(directory)) for one in found]
            reports = [_report(one, why) for one, why in zip(found, raised, strict=True)]
    except SlipError as error:
        say_failure(_own_words(str(error), name, given))
        return MISCONFIGURED
    if as_json:
        print_json(reports)
    else:
        _print(reports)
    outcomes = {row.outcome for report in reports for row in report.promises}
    if "failed" in outcomes or any(raised):
        return FAILED
    return 0 if "held" in outcomes else MISCONFIGURED


@contextmanager
def _hypothesis_in(directory: str) -> Iterator[None]:
    """Have hypothesis keep what it finds elsewhere than in the working directory."""
    variable = "HYPOTHESIS_STORAGE_DIRECTORY"
    own = variable not in os.environ
    os.environ.setdefault(variable, directory)
    try:
        yield
    finally:
        if own:
            os.environ.pop(variable, None)


def _need_pytest() -> None:
    try:
        import hypothesis  # noqa: F401  # what the suites stand on
        import pytest  # noqa: F401  # what the suites stand on
    except ImportError as error:
        raise MissingDependencyError(
            f"slip plugins verify needs {error.name}, which is not installed: "
            f"install slipcore with its extra testing, pip install -e '.[testing]' in a checkout.",
            name=error.name or "",
        ) from None


def _installed(
    name: str, settings: Mapping[str, str], values: Sequence[Any], patience: float
) -> list[Installed]:
    """The backend, once for each kind that it is registered as.

    Raises:
        UnknownBackendError: there is none of that name.
        ConfigError: a setting is wrong.
    """
    from slipcore.config import Config
    from slipcore.plugins import Plugins
    from slipcore.testing.installed import Installed, kinds_of

    own = {_variable(name, key): value for key, value in settings.items()}
    config = Config.load(environ={**os.environ, **own})
    plugins = Plugins.of(config)
    backends = kinds_of(plugins, name)
    if not backends:
        raise UnknownBackendError(plugins.missing(name))
    return [
        Installed(kind, backend, plugins, config, patience, values) for kind, backend in backends
    ]


def _check(found: Sequence[Installed], settings: Mapping[str, str], values: Sequence[str]) -> None:
    """See that all that was given is right, and is used.

    Raises:
        ConfigError: it is not.
    """
    from slipcore.testing.installed import OF_TOPICS

    for key in settings:
        takers = [one for one in found if key in one.taken]
        if takers and all(key in one.decided for one in takers):
            whose = "each topic is given its own" if key in OF_TOPICS else "files are temporary"
            raise ConfigError(f"--set {key} would have no effect: {whose}.")
    if values and not any(one.kind == "codec" for one in found):
        raise ConfigError(
            f"--value is what a codec is to write, and {found[0].backend.name} is no codec."
        )
    for one in found:
        one.check()


def _raised(installed: Installed, directory: Path) -> str | None:
    """What a backend raised when it was opened that no contract knows; None: it is open to suites.

    Raises:
        SlipError: it is not set right, or can't be reached.
    """
    if not installed.has_suite:
        return None
    try:
        installed.reach(directory)
    except SlipError:
        raise
    except Exception as error:  # a mistake of its own, which the other kinds may not have
        return f"It can't be opened, which raised {type(error).__name__}: {error}"
    return None


def _settings(given: Sequence[str]) -> dict[str, str]:
    """`key=value`: text, as it is in the environment.

    Raises:
        ConfigError: it is not of that form.
    """
    found = {}
    for setting in given:
        key, separator, value = setting.partition("=")
        if not separator or not key.isidentifier():
            raise ConfigError(f"--set takes KEY=VALUE, not '{setting}'.")
        found[key.lower()] = value
    return found


def _variable(name: str, key: str) -> str:
    return f"SLIP_BACKENDS__{re.sub('[^A-Za-z0-9]', '_', name).upper()}__{key.upper()}"


def _own_words(sentence: str, name: str, settings: Mapping[str, str]) -> str:
    """A sentence about settings, with those of --set as they were given."""
    for key in settings:
        variable = re.escape(f"environment {_variable(name, key)}")
        sentence = re.sub(rf"{variable}\b", f"--set {key}", sentence)
    return sentence.replace("give it in code, in slip.toml", "give it with --set, in slip.toml")


def _values(given: Sequence[str]) -> list[Any]:
    try:
        return [msgspec.json.decode(value) for value in given]
    except msgspec.DecodeError as error:
        raise ConfigError(f"--value takes JSON, such as '{{\"id\": 1}}': {error}.") from None


# --- running ------------------------------------------------------------------------------


def _report(installed: Installed, raised: str | None) -> KindReport:
    from slipcore.testing.installed import suite_of, why_not
    from slipcore.testing.verify import VerifyError, verify

    note = raised or why_not(installed)
    results: list[Result] = []
    if note is None:
        suite = partial(suite_of, installed)
        with _progress(f"{_said(installed.kind)} {installed.backend.name}") as (started, came):
            try:
                results = verify(suite, on_start=started, on_result=came)
            except VerifyError as error:
                raise SlipError(str(error)) from error
    return KindReport(
        kind=installed.kind,
        name=installed.backend.name,
        owner=installed.backend.owner,
        capabilities=sorted(installed.offers),
        promises=list(_rows(results)),
        note=note,
    )


def _rows(results: Sequence[Result]) -> Iterator[PromiseRow]:
    """A row for each promise in the order of the contracts, and one for each test of none."""
    from slipcore.testing.promises import promised

    borne: dict[str, list[Result]] = {}
    for result in results:
        for promise in result.promises:
            borne.setdefault(promise, []).append(result)
    for promise, says in promised().items():
        if promise in borne:
            yield _row(promise, says, borne[promise])
    for result in results:
        if not result.promises:
            yield _row(None, "", [result])


def _row(promise: str | None, says: str, results: Sequence[Result]) -> PromiseRow:
    outcome = next(o for o in WORST if any(result.outcome == o for result in results))
    details = [f"{r.test}: {r.detail}" for r in results if r.outcome == outcome == "failed"]
    if outcome == "not offered":
        details = list(dict.fromkeys(result.detail for result in results))
    return PromiseRow(promise, says, outcome, [r.test for r in results], "; ".join(details))


@contextmanager
def _progress(what: str) -> Iterator[tuple[Callable[[int], None], Callable[[Result], None]]]:
    """Show how far a suite is, if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(file=sys.stderr)  # pytest puts another one in its place while tests run
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not console.is_terminal or console.is_dumb_terminal
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        disable=hidden,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield (
            lambda total: bar.update(task, total=total),
            lambda result: bar.advance(task),
        )


# --- printing -----------------------------------------------------------------------------


def _print(reports: Sequence[KindReport]) -> None:
    for number, report in enumerate(reports):
        if number:
            click.echo()
        counted = Counter(row.outcome for row in report.promises)
        title = f"{_said(report.kind)} {report.name}, of {report.owner}"
        if report.note is not None:
            print_text(f"{title}: not verified. {report.note}")
            continue
        said = ", ".join(f"{counted[outcome]} {outcome}" for outcome in sorted(WORST, key=_order))
        print_text(f"{title}: {said}")
        if report.capabilities:
            print_text(f"capabilities: {', '.join(report.capabilities)}")
        rows = [(row.promise or row.tests[0], row.outcome, _short(row)) for row in report.promises]
        whole = ("PROMISE", "OUTCOME")
        if any(why for _, _, why in rows):
            print_table((*whole, "WHY"), rows, whole=whole)
        else:
            print_table(whole, [row[:2] for row in rows], whole=whole)
        for row in report.promises:
            if row.outcome == "failed":
                print_text("", f"{row.promise or 'no promise'}: {row.says}", f"  {row.detail}")


def _short(row: PromiseRow) -> str:
    """What fits into a table; failures are told below it."""
    if row.outcome != "not offered":
        return ""
    missing = row.detail.removeprefix("not offered: ")
    return OUT_OF_REACH.get(missing, missing)


def _order(outcome: str) -> int:
    return ("held", "failed", "not offered").index(outcome)


def _said(kind: str) -> str:
    return kind.replace("_", " ")
