"""Where the time of a record goes on its way from one Kafka topic to another.

The process is looked at from outside 250 times a second, by py-spy, while it works; what it was
found at is told by the file that the innermost frame belongs to. A share, times the CPU time that
the process took for a record, is the time that is given.

    python -m benchmarks.where [--rounds 3]
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.common import (
    Settings,
    Table,
    Turn,
    UnavailableError,
    alternate,
    compared,
    script,
)
from benchmarks.kafka import CPU, FIRST, JOBS, RECORDS, Inputs, Job, broker, turn

ALL: Final = "all"
LOOKS: Final = 250
"""Per second."""
SECONDS: Final = 2
"""That are looked at, in each turn."""

PLACES: Final = {
    "handler": r"\bown\.py",
    "state": r"slipcore/(caching|keys|codecs|engine/state)\.py|slip_rocks/",
    "decode and encode": r"slipcore/(opened|coding|backends/codecs|records)\.py|msgspec|json/",
    "engine": r"slipcore/",
    "read from Kafka": r"slip_kafka/(reading|membership|topic)\.py|aiokafka/(consumer|record)",
    "write to Kafka": r"slip_kafka/|aiokafka/producer",
    "protocol": r"aiokafka/",
    "event loop, sockets": r"asyncio/|selectors\.py|uvloop|contextvars",
}
"""Where the innermost frame can be -> its file, the first that fits."""
REST: Final = "the rest"
IDLE: Final = re.compile(r"_worker \(concurrent/futures/thread\.py:\d+\)$")
"""A thread that waits for work, which py-spy takes for one that has some."""


def place_of(stack: str) -> str:
    """Where a stack of py-spy's, `outer (file:1);inner (file:2)`, was found at work."""
    for frame in reversed(stack.split(";")):
        for place, files in PLACES.items():
            if re.search(files, frame):
                return place
    return REST


def counted(raw: str) -> Counter[str]:
    """How often each place was seen in py-spy's raw form: a line per stack, with its number."""
    seen: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, number = line.rpartition(" ")
        if not IDLE.search(stack):
            seen[place_of(stack)] += int(number)
    return seen


def look(pid: int, found: Path) -> subprocess.Popen[bytes]:
    """Begin to look at a process.

    Raises:
        UnavailableError: py-spy is not there.
    """
    spy = shutil.which("py-spy", path=Path(sys.executable).parent)
    if spy is None:
        raise UnavailableError("py-spy is not installed")
    command = [spy, "record", "--pid", str(pid), "--rate", str(LOOKS), "--duration", str(SECONDS)]
    return subprocess.Popen(
        [*command, "--format", "raw", "--output", found],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def places(inputs: Inputs, job: Job, records: int) -> dict[str, float]:
    """Microseconds of CPU per record, by place.

    Raises:
        UnavailableError: nothing could be seen.
    """
    spies: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "stacks.txt"
        seen = turn(inputs, "slipcore", job, records, lambda it: spies.append(look(it.pid, found)))
        for spy in spies:
            spy.wait(SECONDS + FIRST)
        stacks = counted(found.read_text(encoding="utf-8") if found.exists() else "")
    total = stacks.total()
    if not total:
        raise UnavailableError("py-spy saw nothing: may it look at other processes?")
    each = seen.more[CPU] * 10  # seconds per 100,000 -> microseconds per record
    return {ALL: each} | {place: each * stacks[place] / total for place in (*PLACES, REST)}


def run(settings: Settings) -> list[Table]:
    """A table for each of three jobs; none where there is little time."""
    if settings.quick:
        return []
    records = settings.size(RECORDS)
    jobs = [job for job in JOBS if job.quick]
    with broker() as bootstrap:
        inputs = Inputs(bootstrap)
        try:
            return [_table(inputs, job, records, settings.turns(3)) for job in jobs]
        finally:
            inputs.delete()


def _table(inputs: Inputs, job: Job, records: int, rounds: int) -> Table:
    seen: list[dict[str, float]] = []

    def once() -> float:
        seen.append(places(inputs, job, records))
        return seen[-1][ALL]

    taken = alternate({ALL: once}, rounds, what=f"where, {job.title}", warm_up=False)
    by_place: dict[str, list[Turn] | str] = {
        place: [Turn(each[place]) for each in seen] for place in (seen[0] if seen else ())
    }
    return compared(
        f"where.{job.name}",
        f"where a record's CPU time goes: {job.title}",
        "us/record",
        by_place or taken,
        baseline=ALL,
    )


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
