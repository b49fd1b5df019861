"""Start-up: what an import and a command cost beside a bare interpreter.

python -m benchmarks.start [--rounds 20]
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from time import perf_counter
from typing import Final

from benchmarks import report
from benchmarks.common import (
    ROOT,
    Contender,
    Settings,
    Table,
    Turn,
    WrongOutputError,
    alternate,
    compared,
    script,
)

BARE: Final = "a bare interpreter"

COMMANDS: Final = {
    BARE: ["-c", "pass"],
    "import asyncio": ["-c", "import asyncio"],
    "import slipcore": ["-c", "import slipcore"],
    "slip --help (slipcore)": ["-m", "slipcore.cli", "--help"],
    "slip plugins (slipcore)": ["-m", "slipcore.cli", "plugins"],
}


def run(settings: Settings) -> list[Table]:
    """One table: milliseconds of each command."""
    bare: list[float] = []
    contenders: dict[str, Contender] = {
        name: partial(milliseconds, name, command, bare) for name, command in COMMANDS.items()
    }
    taken = alternate(contenders, settings.turns(20, quick=7), what="start")
    remark = "A process from its start to its end. asyncio is what every async program imports."
    return [
        compared("start.up", "Start-up", "ms", taken, baseline=BARE, remark=remark),
    ]


def milliseconds(name: str, command: list[str], bare: list[float]) -> Turn:
    """How long a command takes.

    Args:
        bare: milliseconds of the bare interpreter in its turns until now.

    Raises:
        WrongOutputError: it failed.
    """
    began = perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, check=False)
    took = perf_counter() - began
    if done.returncode:
        raise WrongOutputError(f"{name} ended with {done.returncode}: {done.stderr.decode()}")
    if name == BARE:
        bare.append(took * 1e3)
    return Turn(took * 1e3, {"ms more": took * 1e3 - bare[-1]})


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
