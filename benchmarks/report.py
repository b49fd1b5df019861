"""Tables for a terminal and for the documentation, and what has changed since the last figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import pictures
from benchmarks.common import ROOT, Row, Run, Table, short

RESULTS: Final = ROOT / "benchmarks" / "results.json"
PAGES: Final = ROOT / "docs" / "explanation" / "performance"
"""Where the page on performance has its tables and pictures."""

STEADY: Final = 0.10
"""Of a ratio: what changes by less has not changed."""


def load(path: Path = RESULTS) -> dict[str, Run]:
    """Benchmark -> its last committed run; {} if there is none."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Run])


def write(path: Path, runs: Mapping[str, Run]) -> None:
    """Write runs as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(runs), indent=1) + b"\n")


def keep(runs: Mapping[str, Run], results: Path = RESULTS, pages: Path = PAGES) -> None:
    """Make these the committed figures: in results.json, and on the page on performance.

    Benchmarks that have not been run keep theirs.
    """
    write(results, dict(sorted({**load(results), **runs}.items())))
    pages.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        (pages / f"{name}.md").write_text(markdown(name, run), encoding="utf-8")
        (pages / f"{name}.svg").write_text(pictures.ratios(run.tables), encoding="utf-8")


# --- tables -------------------------------------------------------------------------------------


def terminal(table: Table) -> str:
    """A table as text."""
    lines = [_columns(table), *(_cells(row, table) for row in table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [f"{table.title} [{table.name}]"]
    for line in lines:
        first, *rest = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        text.append("  ".join([first, *rest]).rstrip())
    return "\n".join([*text, *([table.remark] if table.remark else [])])


def markdown(name: str, run: Run) -> str:
    """The tables of a benchmark as a part of a page, with machine, versions and command."""
    packages = ", ".join(f"{package} {number}" for package, number in run.versions.items())
    parts = [
        f"![{name}: the ratios as bars](performance/{name}.svg)",
        *(_markdown(table) for table in run.tables),
        _wrapped(f"Measured {run.date} on {run.machine}, by `{run.command}`, with {packages}."),
    ]
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> str:
    columns = _columns(table)
    rule = ["---", *["---:"] * (len(columns) - 2), "---"]
    rows = [columns, rule, *(_cells(row, table) for row in table.rows)]
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    text = [f"**{table.title}**", "\n".join(lines)]
    return "\n\n".join([*text, *([_wrapped(table.remark)] if table.remark else [])])


def _wrapped(text: str, width: int = 96) -> str:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _columns(table: Table) -> list[str]:
    return ["", table.unit, f"x {table.baseline}", "range", *_more(table), ""]


def _more(table: Table) -> list[str]:
    return list(dict.fromkeys(column for row in table.rows for column in row.more))


def _cells(row: Row, table: Table) -> list[str]:
    figure = short(row.figure) if row.figure is not None else "-"
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else "-"
    between = f"{row.ratio_low:.2f} .. {row.ratio_high:.2f}" if row.ratio is not None else ""
    more = [row.more.get(column, "") for column in _more(table)]
    return [row.contender, figure, ratio, between, *more, row.note]


# --- changes ------------------------------------------------------------------------------------


def changes(then: Mapping[str, Run], now: Mapping[str, Run]) -> str:
    """How the ratios of slipcore have moved since other runs.

    The figures themselves are not compared: another machine or another hour has others.
    """
    former = {
        (table.name, row.contender): row
        for run in then.values()
        for table in run.tables
        for row in table.rows
    }
    lines = [
        line
        for run in now.values()
        for table in run.tables
        for line in _changed(table, former)
        if former
    ]
    if not lines:
        return "There are no committed figures to compare with."
    width = max(len(what) for what, _ in lines)
    return "\n".join(
        ["Change of the ratios against benchmarks/results.json:"]
        + [f"  {what:<{width}}  {how}" for what, how in lines]
    )


def _changed(table: Table, former: Mapping[tuple[str, str], Row]) -> Iterable[tuple[str, str]]:
    for row in table.rows:
        if row.ratio is None or "slipcore" not in row.contender:
            continue
        before = former.get((table.name, row.contender))
        if before is None or not before.ratio:
            yield f"{table.name}: {row.contender}", f"{row.ratio:.2f} (new)"
            continue
        change = row.ratio / before.ratio - 1
        yield (
            f"{table.name}: {row.contender}",
            f"{before.ratio:.2f} -> {row.ratio:.2f}  {change:+.0%} {_verdict(table, row, before)}",
        )


def _verdict(table: Table, row: Row, before: Row) -> str:
    assert row.ratio is not None
    assert before.ratio is not None
    if abs(row.ratio / before.ratio - 1) < STEADY or _overlap(row, before):
        return ""
    return "better" if (row.ratio < before.ratio) == (table.better == "less") else "WORSE"


def _overlap(one: Row, other: Row) -> bool:
    """Whether the ranges of two rows have ratios in common: then nothing can be told."""
    lows: Sequence[float | None] = (one.ratio_low, other.ratio_low)
    highs: Sequence[float | None] = (one.ratio_high, other.ratio_high)
    return max(low or 0.0 for low in lows) <= min(high or 0.0 for high in highs)
