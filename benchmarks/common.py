"""What all benchmarks share: contenders that take turns, checked, and tables of their ratios.

A figure is worth nothing by itself: machines differ, and so does one machine from minute to minute.
So every contender takes its turn in every round, and what is kept is the ratio to the baseline of
the same round: the median over the rounds, with the range.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import gettempdir
from typing import Final, Literal

import msgspec

from slipcore.config import Config

ROOT: Final = Path(__file__).parent.parent

PACKAGES: Final = (
    "slipcore",
    "slip-kafka",
    "slip-rocks",
    "slip-redis",
    "slip-avro",
    "aiokafka",
    "confluent-kafka",
    "msgspec",
    "rocksdict",
    "redis",
    "fastavro",
    "uvloop",
)


class WrongOutputError(Exception):
    """What came out of a contender is not what should have come out."""


class UnavailableError(Exception):
    """A contender can't take part here; the message says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured.

    Attributes:
        rounds: turns of each contender; None: as many as the benchmark thinks right.
        quick: few records and no peers, in a minute or so each.
        full: the peers too that take long to set up or to run.
        peers: other frameworks take part.
        scale: of the usual number of records; for trying out.
    """

    rounds: int | None = None
    quick: bool = False
    full: bool = False
    peers: bool = True
    scale: float = 1.0

    def turns(self, usual: int, quick: int = 3) -> int:
        """How many rounds there are."""
        return self.rounds or (quick if self.quick else usual)

    def size(self, usual: int, quick: int | None = None) -> int:
        """How many records there are, at least 10."""
        chosen = quick if self.quick and quick is not None else usual
        return max(10, int(chosen * self.scale))

    @property
    def with_peers(self) -> bool:
        return self.peers and not self.quick


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One contender: medians over the rounds, with their range.

    Attributes:
        contender: who.
        figure: in the unit of the table; None: it took no part, or its output was wrong.
        ratio: to the baseline of the same round.
        more: what else was seen of it, column -> text.
        note: why it took no part, or what was wrong with its output.
    """

    contender: str
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    more: dict[str, str] = {}
    note: str = ""


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one comparison.

    Attributes:
        name: which it is, among all tables, as `engine.sync-1`.
        title: what was done.
        unit: of the figures.
        baseline: the contender that the ratios are to.
        better: whether less is better or more.
        remark: what one has to know to read it.
    """

    name: str
    title: str
    unit: str
    baseline: str
    better: Literal["less", "more"]
    rows: list[Row]
    remark: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one benchmark: its tables, and on what and how it was run."""

    machine: str
    versions: dict[str, str]
    command: str
    date: str
    tables: list[Table]


class Turn(msgspec.Struct, frozen=True):
    """What a contender's turn gave.

    Attributes:
        figure: in the unit of the table.
        more: what else was measured, column -> number; of the turns the median is shown.
        fault: what was wrong with the output.
    """

    figure: float
    more: dict[str, float] = {}
    fault: str = ""


Contender = Callable[[], float | Turn]
"""Takes one turn and returns its figure.

Raises:
    WrongOutputError: it lost or changed something, and is ours: nothing is worth measuring then.
    UnavailableError: it can't take part.
"""


def alternate(
    contenders: Mapping[str, Contender], rounds: int, *, what: str, warm_up: bool = True
) -> dict[str, list[Turn] | str]:
    """Let each contender take its turn in each round.

    Args:
        what: is being measured, for the progress.
        warm_up: begin with a round that does not count, if there are several.

    Returns:
        contender -> its turns, or why it took no part.
    """
    taken: dict[str, list[Turn] | str] = {name: [] for name in contenders}
    for number in range(0 if warm_up and rounds > 1 else 1, rounds + 1):
        for name, contender in contenders.items():
            turns = taken[name]
            if isinstance(turns, str):
                continue
            progress(f"{what}: round {number} of {rounds}: {name}")
            gc.collect()
            try:
                turn = contender()
            except UnavailableError as error:
                taken[name] = str(error)
                continue
            if number:
                turns.append(turn if isinstance(turn, Turn) else Turn(turn))
    progress("")
    return taken


def compared(
    name: str,
    title: str,
    unit: str,
    taken: Mapping[str, Sequence[Turn] | Sequence[float] | str],
    *,
    baseline: str,
    better: Literal["less", "more"] = "less",
    remark: str = "",
) -> Table:
    """The table of what contenders reached, the baseline first.

    Args:
        taken: contender -> its turns in the order of the rounds, or why it took no part.
    """
    order = sorted(taken, key=lambda contender: contender != baseline)
    base = _figures(taken[baseline])
    rows = [_row(contender, taken[contender], base) for contender in order]
    return Table(
        name=name,
        title=title,
        unit=unit,
        baseline=baseline,
        better=better,
        rows=rows,
        remark=remark,
    )


def _figures(turns: Sequence[Turn] | Sequence[float] | str) -> list[float]:
    if isinstance(turns, str):
        return []
    return [turn.figure if isinstance(turn, Turn) else turn for turn in turns]


def _row(
    contender: str, turns: Sequence[Turn] | Sequence[float] | str, base: Sequence[float]
) -> Row:
    if isinstance(turns, str):
        return Row(contender=contender, note=turns)
    figures = _figures(turns)
    ratios = [mine / its for mine, its in zip(figures, base, strict=bool(base)) if its]
    seen = [turn for turn in turns if isinstance(turn, Turn)]
    columns = dict.fromkeys(column for turn in seen for column in turn.more)
    more = {
        column: short(median(turn.more[column] for turn in seen if column in turn.more))
        for column in columns
    }
    return Row(
        contender=contender,
        figure=median(figures),
        low=min(figures),
        high=max(figures),
        ratio=median(ratios) if ratios else None,
        ratio_low=min(ratios) if ratios else None,
        ratio_high=max(ratios) if ratios else None,
        more=more,
        note=next((turn.fault for turn in seen if turn.fault), ""),
    )


def short(figure: float) -> str:
    """A figure with as many digits as anyone reads."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


# --- where and how ------------------------------------------------------------------------------


def own_config() -> Config:
    """A configuration without file and environment: a benchmark is what its source says."""
    return Config.load(cwd=Path(gettempdir()), environ={})


def machine() -> str:
    """The computer and the Python that measure."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB; "
        f"{platform.system()} {platform.release()}; "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """What takes part, with its version; slipcore's is that of the checkout."""
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        git = ["git", "describe", "--always", "--dirty"]
        said = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
        found["slipcore"] += f" ({said.stdout.strip()})"
    return found


def command_line() -> str:
    """What was typed, from the root of the checkout."""
    module = Path(sys.argv[0]).resolve()
    name = "benchmarks" if module.stem == "__main__" else f"benchmarks.{module.stem}"
    return f"python -m {name} {shlex.join(sys.argv[1:])}".strip()


def run_of(tables: list[Table], others: Mapping[str, str] | None = None) -> Run:
    """The tables of a benchmark with where and how they were made.

    Args:
        others: versions of what is installed elsewhere, for the other frameworks.
    """
    own = versions()
    theirs = {
        f"{package} (theirs)" if package in own else package: number
        for package, number in (others or {}).items()
        if own.get(package) != number
    }
    return Run(
        machine=machine(),
        versions=own | theirs,
        command=command_line(),
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        tables=tables,
    )


class _Progress:
    """What is being done, on stderr: one line that changes, or one now and then in a log."""

    PAUSE: Final = 10.0
    """Seconds between two lines where none can be written over."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)
        elif text and time.monotonic() > self._due:
            self._due = time.monotonic() + self.PAUSE
            print(text, file=sys.stderr, flush=True)


progress: Final = _Progress()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM end a benchmark as Ctrl-C does: what it has started ends with it."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, metavar="N", help="turns of each contender")
    size = made.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", action="store_true", help="few records, no other framework: for daily use"
    )
    size.add_argument(
        "--full", action="store_true", help="with Faust and Kafka Streams too, which take long"
    )
    made.add_argument(
        "--no-peers",
        action="store_true",
        help="beside loops written by hand alone: nothing is installed",
    )
    made.add_argument(
        "--scale", type=float, default=1.0, metavar="X", help="times the usual number of records"
    )
    return made


def script(
    description: str | None, run: Callable[[Settings], list[Table]], show: Callable[[Table], str]
) -> None:
    """Be the command line of one benchmark.

    Args:
        run: makes its tables.
        show: a table as text.
    """
    settings = settings_of(parser(description).parse_args())
    try:
        with interruptible():
            for table in run(settings):
                print(show(table), end="\n\n", flush=True)
    except WrongOutputError as error:
        sys.exit(f"\nWrong output: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What was asked for."""
    return Settings(
        rounds=arguments.rounds,
        quick=arguments.quick,
        full=arguments.full,
        peers=not arguments.no_peers,
        scale=arguments.scale,
    )
