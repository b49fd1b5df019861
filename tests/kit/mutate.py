"""Take each check out of the contract kit in turn, and see that a wrong backend then gets through.

    python -m tests.kit.mutate [--json]

A check is taken out where tests are collected: those that bear its promise's id are left out.
Nothing is edited. The exit code is 1 if a wrong backend is not caught with the check, or is caught
without it by another one, and else 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from slipcore.testing import promised
from slipcore.testing.verify import Result
from tests.kit.wrong.marks import broken_by
from tests.kit.wrong.running import Runs, name_of, runs
from tests.kit.wrong.suites import WRONG


class Mutation(msgspec.Struct, frozen=True):
    """What came of a wrong backend with and without the check of the promise that it breaks.

    Attributes:
        wrong: the backend.
        caught_with: the tests of the whole kit that fail.
        caught_without: the tests that fail where the check is left out.
        tests_without: how many tests are run then.
    """

    promise: str
    wrong: str
    caught_with: list[str]
    caught_without: list[str]
    tests_without: int

    @property
    def shows(self) -> bool:
        """Whether it is this check, and no other, that keeps the backend out."""
        return bool(self.caught_with) and not self.caught_without


class _Pair(msgspec.Struct, frozen=True):
    backend: type[Any]
    promise: str
    whole: Future[list[Result]]
    less: Future[list[Result]]

    def result(self) -> Mutation:
        return Mutation(
            promise=self.promise,
            wrong=name_of(self.backend),
            caught_with=_failed(self.whole.result()),
            caught_without=_failed(self.less.result()),
            tests_without=len(self.less.result()),
        )


def mutate(started: Runs) -> Iterator[Mutation]:
    """The kit without each of its checks in turn, in the order of the contracts."""
    order = list(promised())
    wrong = sorted(WRONG, key=lambda backend: order.index(str(broken_by(backend))))
    pairs = [_pair(started, backend) for backend in wrong]
    for pair in pairs:
        yield pair.result()


def unguarded() -> list[str]:
    """The promises that no wrong backend breaks."""
    broken = {broken_by(backend) for backend in WRONG}
    return [promise for promise in promised() if promise not in broken]


def main(arguments: Sequence[str]) -> int:
    """Print what came of it, as a table or as JSON; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kit.mutate")
    parser.add_argument("--json", action="store_true", help="print one object")
    as_json = parser.parse_args(arguments).json
    found = []
    with runs() as started:
        for mutation in mutate(started):
            found.append(mutation)
            if sys.stderr.isatty():
                print(f"\r{len(found)} of {len(WRONG)}", end="\r", file=sys.stderr, flush=True)
    if as_json:
        report = {"mutations": found, "not_guarded": unguarded()}
        print(msgspec.json.encode(report).decode())
    else:
        _print(found)
    return 0 if all(mutation.shows for mutation in found) else 1


def _pair(started: Runs, backend: type[Any]) -> _Pair:
    promise = str(broken_by(backend))
    return _Pair(backend, promise, started.start(backend), started.start(backend, promise))


def _failed(results: Sequence[Result]) -> list[str]:
    return [result.test for result in results if result.outcome == "failed"]


def _print(found: Sequence[Mutation]) -> None:
    head = ("CHECK", "WRONG BACKEND", "CAUGHT", "WITHOUT")
    rows = [(m.promise, m.wrong.rpartition(".")[2], *_said(m)) for m in found]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(3)]
    for row in (head, *rows):
        print("  ".join((*(f"{c:<{w}}" for c, w in zip(row, widths, strict=False)), row[-1])))
    for promise in unguarded():
        print(f"{promise}: not guarded, no wrong backend breaks it")
    print(
        f"{sum(m.shows for m in found)} of {len(found)} wrong backends are caught by their check"
        " and get through without it"
    )


def _said(mutation: Mutation) -> tuple[str, str]:
    """How many tests fail with the check, and whether one fails without."""
    caught = len(mutation.caught_with)
    without = f"by {len(mutation.caught_without)}" if mutation.caught_without else "through"
    return f"by {caught}" if caught else "no", without


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
