"""The table of faults: what was done, how often, and what it has cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from textwrap import fill
from typing import Final

from tests.faults.fault import Fault, Run

HEAD: Final = (
    "fault",
    "runs",
    "records",
    "lost",
    "repeated (bound)",
    "wrong state",
    "recovered, s: median / most (target)",
    "failed",
)
WIDTH: Final = 100
"""Of a line of a page's source."""
BEGIN: Final = "<!-- table: begin -->"
END: Final = "<!-- table: end -->"


@dataclass(frozen=True, slots=True)
class Row:
    """All runs of a fault."""

    fault: Fault
    cells: tuple[str, ...]


def rows(faults: Iterable[Fault], runs: Sequence[Run]) -> list[Row]:
    """A row for each fault that has run."""
    made = []
    for fault in faults:
        own = [run for run in runs if run.fault == fault.name]
        if own:
            made.append(Row(fault, _cells(fault, own)))
    return made


def _cells(fault: Fault, runs: Sequence[Run]) -> tuple[str, ...]:
    verdicts = [run.verdict for run in runs]
    recoveries = [each for run in runs for each in run.recoveries]
    recovered = "-"
    if recoveries:
        recovered = f"{median(recoveries):.1f} / {max(recoveries):.1f}"
        if fault.target is not None:
            recovered += f" ({fault.target:g})"
    return (
        fault.title,
        f"{len(runs)}",
        f"{sum(v.records for v in verdicts):,}",
        f"{sum(v.lost for v in verdicts)}",
        f"{sum(v.repeated for v in verdicts):,} ({sum(v.bound for v in verdicts):,})",
        f"{sum(v.wrong for v in verdicts)}",
        recovered,
        f"{sum(run.complaint is not None for run in runs)}",
    )


def shown(table: Sequence[Row]) -> str:
    """The table as text."""
    lines = [HEAD, *(row.cells for row in table)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def page(table: Sequence[Row], before: str) -> str:
    """The page with the table in the place of the former one."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells for row in table)]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    why = "\n".join(f"{fill(f'**{r.fault.title}.** {r.fault.protects}', WIDTH)}\n" for r in table)
    head, rest = before.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n\n{drawn}\n\n{why}\n{END}{tail}"
