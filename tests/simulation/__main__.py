"""Run many scenarios, and say what is wrong with the engine.

python -m tests.simulation [--seeds 10000] [--first 0] [--bugs]

The exit code is 1 if a scenario fails, or, with --bugs, if a deliberate bug is not noticed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from random import Random
from time import monotonic
from typing import Final

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.scenario import Scenario, draw
from tests.simulation.shrinking import shrink, story
from tests.simulation.simulation import simulate

BUG_SEEDS: Final = 1_000
"""Scenarios within which a deliberate bug has to be noticed."""

_EVERY: Final = 1_000
"""Scenarios between two lines of progress."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many scenarios")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--bugs", action="store_true", help="try deliberate bugs instead")
    chosen = parser.parse_args(arguments)
    if chosen.bugs:
        return _try_bugs()
    return _try_scenarios(range(chosen.first, chosen.first + chosen.seeds))


def _try_scenarios(seeds: range) -> int:
    began = monotonic()
    failed: list[int] = []
    for count, seed in enumerate(seeds, 1):
        scenario = draw(Random(seed))
        if (complaint := simulate(scenario)) is not None:
            failed.append(seed)
            _report(seed, scenario, complaint)
        if count % _EVERY == 0 or count == len(seeds):
            seconds = monotonic() - began
            print(f"{count:7,} scenarios in {seconds:.0f} s, {len(failed)} failed", flush=True)
    return 1 if failed else 0


def _report(seed: int, scenario: Scenario, complaint: str) -> None:
    kind = _kind(complaint)

    def fails_alike(other: Scenario) -> bool:
        found = simulate(other)
        return found is not None and _kind(found) == kind

    small = shrink(scenario, fails_alike)
    print(
        f"\nScenario {seed} fails: {complaint}\n"
        f"It is repeated with: make simulate SEED={seed}\n"
        f"Made smaller, it fails with: {simulate(small)}\n{story(small)}\n"
        f"It is kept as a test in tests/simulation/found.py:\n{small}\n",
        flush=True,
    )


def _kind(complaint: str) -> str:
    """A complaint without its numbers, as far as it says what is wrong."""
    return re.sub(r"[\d\W]+", " ", complaint)[:30]


def _try_bugs() -> int:
    width = max(len(bug.__name__) for bug in BUGS)
    print(f"{'deliberate bug':{width}}  noticed at  by")
    unnoticed = 0
    for bug in BUGS:
        noticed = first_noticed(bug, range(BUG_SEEDS))
        if noticed is None:
            unnoticed += 1
            print(f"{bug.__name__:{width}}  {'never':>10}", flush=True)
        else:
            seed, complaint = noticed
            print(f"{bug.__name__:{width}}  {seed:>10}  {complaint}", flush=True)
    return 1 if unnoticed else 0


def first_noticed(bug: Bug, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first scenario that fails with a deliberate bug, and what is wrong there."""
    with bug():
        for seed in seeds:
            complaint = simulate(draw(Random(seed)))
            if complaint is not None:
                return seed, complaint
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
