"""Benchmarks of slipcore beside loops written by hand and beside other frameworks.

Every figure that counts is a ratio, measured side by side in one run. Without options all of it is
measured, which takes an hour or two; what a contender writes is checked, and the exit code is 1 if
slipcore or a loop wrote anything wrong.

    python -m benchmarks --quick                 a few minutes, and what has changed
    python -m benchmarks --only engine,growth    some of it
    python -m benchmarks --save                  and put the figures into the documentation
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import (
    batch,
    concurrency,
    engine,
    growth,
    kafka,
    latency,
    peers,
    report,
    start,
    state,
    where,
)
from benchmarks.common import (
    Run,
    Settings,
    Table,
    WrongOutputError,
    command_line,
    interruptible,
    machine,
    parser,
    progress,
    run_of,
    settings_of,
    versions,
)

BENCHMARKS: Final[dict[str, Callable[[Settings], list[Table]]]] = {
    "engine": engine.run,
    "concurrency": concurrency.run,
    "batch": batch.run,
    "kafka": kafka.run,
    "where": where.run,
    "latency": latency.run,
    "state": state.run,
    "growth": growth.run,
    "start": start.run,
}


def main(words: list[str] | None = None) -> int:
    """Run the benchmarks that were asked for; the exit code."""
    options = parser(__doc__)
    options.add_argument(
        "--only", metavar="NAMES", help=f"some of {','.join(BENCHMARKS)}; default: all"
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    options.add_argument(
        "--save",
        action="store_true",
        help="keep the figures as the last ones: benchmarks/results.json and the documentation",
    )
    arguments = options.parse_args(words)
    names = arguments.only.split(",") if arguments.only else list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        options.error(f"no benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
    settings = settings_of(arguments)
    print(f"{machine()}\n{command_line()}")
    print(", ".join(f"{package} {number}" for package, number in versions().items()), end="\n\n")
    before = report.load()
    runs: dict[str, Run] = {}
    failures = []
    try:
        with interruptible():
            for name in names:
                try:
                    tables = BENCHMARKS[name](settings)
                except WrongOutputError as error:
                    failures.append(f"{name}: wrong output: {error}")
                    continue
                for table in tables:
                    print(report.terminal(table), end="\n\n", flush=True)
                runs[name] = run_of(tables, peers.versions() if settings.with_peers else None)
                if arguments.json:  # at once: what comes may fail, and take an hour until then
                    report.write(arguments.json, runs)
                if arguments.save:
                    report.keep({name: runs[name]})
    except KeyboardInterrupt:
        progress("")
        print("Interrupted; what was measured until then stands above.", file=sys.stderr)
        return 130
    if settings.quick:
        print(report.changes(before, runs))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
