"""What a fault is: what is done, which protection it tries, how soon all has to be well again."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.checker import Verdict
from tests.faults.lane import Lane
from tests.faults.workers import FaultError
from tests.faults.yard import Yard

FAULTS: Final[dict[str, Fault]] = {}
"""All there are, by name."""
MISSING: Final[dict[str, str]] = {}
"""Those that can't be made on this machine, and why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table.

    Attributes:
        name: what it is called on the command line.
        title: what is done, in a few words.
        protects: what keeps it from doing harm.
        target: seconds from its end to the next result; None: there is nothing to wait for.
        without: the name of the protection that can be taken out; None: none can.
        quick: whether it takes a few seconds, with one seed.
        run: does it.
    """

    name: str
    title: str
    protects: str
    target: float | None
    without: str | None
    quick: bool
    run: Callable[[Yard], None]


def fault(
    title: str,
    *,
    protects: str,
    target: float | None = None,
    without: str | None = None,
    quick: bool = False,
    missing: str | None = None,
) -> Callable[[Callable[[Yard], None]], Callable[[Yard], None]]:
    """Make a function a fault, named as it is; see `Fault`. With what is missing it is none."""

    def keep(run: Callable[[Yard], None]) -> Callable[[Yard], None]:
        name = run.__name__.replace("_", "-")
        if missing is not None:
            MISSING[name] = missing
            return run
        FAULTS[name] = Fault(name, title, protects, target, without, quick, run)
        return run

    return keep


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a fault has come to.

    Attributes:
        recoveries: seconds from each end of the fault to the next result.
        complaint: what is wrong; None: nothing.
        was_made: whether the run could be made at all, as far as it is the yard's to make it.
    """

    fault: str
    seed: int
    verdict: Verdict
    recoveries: list[float] = field(default_factory=list)
    complaint: str | None = None
    was_made: bool = True
    seconds: float = 0.0


def try_fault(fault: Fault, seed: int, lane: Lane, directory: Path, *, broken: bool = False) -> Run:
    """Run a fault once.

    Args:
        directory: of this run's own; its logs stay there.
        broken: whether the protection is taken out.
    """
    began = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    lane.mend()
    recoveries: list[float] = []
    verdict = Verdict()
    complaint: str | None = None
    was_made = True
    try:
        with Yard(lane, directory, seed, fault.without if broken else None) as yard:
            fault.run(yard)
            recoveries = yard.recoveries
            verdict = yard.verdict()
        complaint = "; ".join(verdict.complaints) or None
    except FaultError as error:
        complaint = str(error)
    except Exception:
        complaint = traceback.format_exc()
        was_made = False
    seconds = time.monotonic() - began
    return Run(fault.name, seed, verdict, recoveries, complaint, was_made, seconds)
