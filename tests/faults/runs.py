"""Many runs, one after the other on each lane, with a line of progress for each."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from tests.faults.fault import Fault, Run, try_fault
from tests.faults.lane import Lane


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is to be made."""

    fault: Fault
    seed: int
    broken: bool = False


@contextmanager
def lanes(number: int) -> Iterator[Sequence[Lane]]:
    """So many lanes, whose servers are gone in the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(Lane()) for _ in range(number)]


def run_all(
    jobs: Sequence[Job], logs: Path, on: Sequence[Lane], *, quiet: bool = False
) -> list[Run]:
    """Make these runs; the logs of those that fail are kept.

    Args:
        on: where they are made, as many at once.
    """
    free: Queue[Lane] = Queue()
    done: list[Run] = []
    said = threading.Lock()
    for lane in on:
        free.put(lane)

    def one(job: Job) -> Run:
        directory = logs / f"{job.fault.name}-{job.seed}{'-broken' if job.broken else ''}"
        lane = free.get()
        try:
            run = try_fault(job.fault, job.seed, lane, directory, broken=job.broken)
        finally:
            free.put(lane)
        if run.complaint is None:
            shutil.rmtree(directory)
        with said:
            done.append(run)
            if not quiet:
                print(f"{len(done):4}/{len(jobs)}  {_line(run)}", flush=True)
        return run

    with ThreadPoolExecutor(len(on)) as threads:
        return list(threads.map(one, jobs))


def _line(run: Run) -> str:
    state = "ok" if run.complaint is None else "FAILED"
    return f"{f'{run.fault} --seed {run.seed}':42} {run.seconds:5.1f} s  {state}"
