"""Bars of ratios as SVG, in colours that can be read on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from benchmarks.common import Row, Table

WIDTH: Final = 800
LABELS: Final = 270
"""Pixels that the contenders' names have."""
BAR: Final = 18
GAP: Final = 6
TITLE: Final = 34
SPAN: Final = WIDTH - LABELS - 90
"""Pixels of the longest bar."""

STYLE: Final = """\
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.bar { fill: #8c959f; } .own { fill: #0969da; } .range, .one { stroke: #57606a; }
.one { stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .bar { fill: #6e7681; } .own { fill: #58a6ff; }
  .range, .one { stroke: #b1bac4; }
}"""


def ratios(tables: Sequence[Table]) -> str:
    """A picture of tables one under the other, each bar a contender beside its baseline.

    The scale is logarithmic where contenders are more than ten times apart.
    """
    parts: list[str] = []
    top = 8
    for table in tables:
        rows = [row for row in table.rows if row.ratio]
        if len(rows) < 2:
            continue
        parts += _table(table, rows, top)
        top += TITLE + len(rows) * (BAR + GAP) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
        f'width="{WIDTH}" height="{top}" role="img">\n<style>\n{STYLE}\n</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _table(table: Table, rows: Sequence[Row], top: int) -> Iterator[str]:
    found = [ratio for row in rows for ratio in (row.ratio, row.ratio_high) if ratio]
    lowest = min(ratio for row in rows for ratio in (row.ratio, row.ratio_low) if ratio)
    logarithmic = max(found) / lowest > 10
    reach = max(found)

    def x(ratio: float | None) -> float:
        if not ratio:
            return float(LABELS)
        share = math.log(ratio / (lowest / 2)) / math.log(reach / (lowest / 2))
        return LABELS + SPAN * (share if logarithmic else ratio / reach)

    more = f"x {table.baseline}, {table.better} is better"
    hint = f"{more}, logarithmic" if logarithmic else more
    yield f'<text class="title" x="0" y="{top + 18}">{escape(table.title)} ({escape(hint)})</text>'
    top += TITLE - GAP
    first = top
    for row in rows:
        middle = top + BAR / 2
        own = "own" if "slipcore" in row.contender else "bar"
        yield f'<text x="0" y="{middle + 4:.0f}">{escape(row.contender)}</text>'
        yield (
            f'<rect class="{own}" x="{LABELS}" y="{top}" height="{BAR}" '
            f'width="{x(row.ratio) - LABELS:.1f}"/>'
        )
        yield (
            f'<line class="range" x1="{x(row.ratio_low):.1f}" x2="{x(row.ratio_high):.1f}" '
            f'y1="{middle:.0f}" y2="{middle:.0f}"/>'
        )
        yield (
            f'<text x="{x(row.ratio_high or row.ratio) + 6:.1f}" y="{middle + 4:.0f}">'
            f"{row.ratio:.2f}</text>"
        )
        top += BAR + GAP
    yield f'<line class="one" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{first}" y2="{top - GAP}"/>'
