"""Break running apps in every way there is, and say what came of it.

python -m tests.faults [NAME ...] [--seeds 20] [--seed N] [--side-by-side 2] [--broken] [--list]

The exit code is 1 if a run goes wrong, or, with --broken, if no run does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.catalogue import FAULTS
from tests.faults.fault import MISSING, Fault
from tests.faults.found import Found
from tests.faults.lane import Lane
from tests.faults.runs import Job, lanes, run_all
from tests.faults.table import page, rows, shown

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "faults.md"
SHOWN = 120
"""Characters of a complaint that is expected."""
BROKEN_SEEDS = 5
"""Runs in which a protection that is missing has to be noticed."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="which faults; none: all")
    parser.add_argument("--seeds", type=int, default=20, help="how many runs of each")
    parser.add_argument("--seed", type=int, help="this one run of each")
    parser.add_argument("--side-by-side", type=int, default=1, help="how many at once")
    parser.add_argument("--broken", action="store_true", help="take the protections out instead")
    parser.add_argument("--list", action="store_true", help="say which faults there are")
    parser.add_argument("--page", action="store_true", help="write the table into the docs")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in FAULTS]
    if unknown:
        print(f"There is no fault {unknown[0]}: see --list.", file=sys.stderr)
        return 2
    faults = [FAULTS[name] for name in chosen.names or FAULTS]
    if chosen.list:
        for each in faults:
            print(f"{each.name:32}  {each.title}\n{'':34}{each.protects}")
        for name, why in MISSING.items():
            print(f"{name:32}  can't be made here: {why}")
        return 0
    logs = Path(tempfile.mkdtemp(prefix="slipcore-faults-"))
    if chosen.broken:
        return _break(faults, logs)
    seeds = range(chosen.seeds) if chosen.seed is None else (chosen.seed,)
    found = Found.read()
    jobs = [Job(fault, seed) for fault in faults for seed in found.first(fault.name, seeds)]
    with lanes(chosen.side_by_side) as on:
        runs = run_all(jobs, logs, on)
    found.keep(runs)
    table = rows(faults, runs)
    print(shown(table))
    if chosen.page or (not chosen.names and chosen.seed is None):
        PAGE.write_text(page(table, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"The table is in {PAGE.relative_to(Path.cwd())}.")
    failed = [run for run in runs if run.complaint is not None]
    for run in failed:
        print(f"\n{run.fault} --seed {run.seed}: {run.complaint}")
    if failed:
        print(f"\n{len(failed)} of {len(runs)} runs failed; their logs are in {logs}.")
    return 1 if failed else 0


def _break(faults: list[Fault], logs: Path) -> int:
    """Take each protection out; 1 if one of them is not missed."""
    unnoticed = 0
    with lanes(1) as on:
        for fault in faults:
            if fault.without is None:
                print(f"{fault.name:32}  nothing can be taken out")
                continue
            complaint = _first_complaint(fault, logs, on)
            unnoticed += complaint is None
            said = "NOT NOTICED" if complaint is None else complaint.splitlines()[0][:SHOWN]
            print(f"{fault.name:32}  without {fault.without}: {said}", flush=True)
    return 1 if unnoticed else 0


def _first_complaint(fault: Fault, logs: Path, on: Sequence[Lane]) -> str | None:
    for seed in range(BROKEN_SEEDS):
        (run,) = run_all([Job(fault, seed, broken=True)], logs, on, quiet=True)
        if run.complaint is not None and run.was_made:
            return run.complaint
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
