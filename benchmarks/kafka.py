"""From one Kafka topic to another, acknowledged by all replicas: slipcore, bare clients, others.

Each contender is a process of its own that reads a topic from its beginning and writes one record
for each, one contender at a time. The rate is seen from outside: how the output grows from 10 % to
100 %, looked at every 25 ms. CPU is the contender's in that time. An independent reader checks what
came out: how many, a checksum, the order per key, the partition of each key.

    python -m benchmarks.kafka [--rounds 3] [--quick | --full]

A broker is started for it, unless SLIP_BENCH_KAFKA=host:port names one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from benchmarks import peers, report, streams, topics
from benchmarks.common import (
    Contender,
    Settings,
    Table,
    Turn,
    UnavailableError,
    WrongOutputError,
    alternate,
    compared,
    progress,
    script,
)
from benchmarks.processes import Process, running

RECORDS: Final = 1_000_000
VARIABLE: Final = "SLIP_BENCH_KAFKA"
BASELINE: Final = "aiokafka, batched"
CPU: Final = "CPU s per 100,000"
FIRST: Final = 60.0
"""Seconds that a contender may take until its first record, or without any new one."""


def _here() -> Path:
    return Path(sys.executable)


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who takes part, and how it is started.

    Attributes:
        module: of `benchmarks.contenders`.
        python: the interpreter that it runs in.
        command: what runs it, where that is no module.
        jobs: that it can do; (): all.
        own: of this project, or a loop by hand: its output has to be right.
        quick: takes part where there is little time.
        full: takes part only where there is a lot.
        share: of the records; a slow one gets fewer, and has as long for each.
    """

    module: str
    python: Callable[[], Path] = _here
    command: Callable[[], Sequence[str | Path]] | None = None
    jobs: tuple[str, ...] = ()
    own: bool = False
    quick: bool = False
    full: bool = False
    share: float = 1.0

    def words(self) -> Sequence[str | Path]:
        """What starts it, without its arguments.

        Raises:
            UnavailableError: it could not be installed.
        """
        if self.command is not None:
            return self.command()
        return [self.python(), "-m", f"benchmarks.contenders.{self.module}"]

    def takes_part(self, settings: Settings) -> bool:
        """Whether it does, as much as is measured."""
        if settings.quick:
            return self.quick
        return (settings.peers or self.own) and (settings.full or not self.full)


def _peer(package: str) -> Callable[[], Path]:
    return partial(peers.python, package)


ENTRANTS: Final[dict[str, Entrant]] = {
    BASELINE: Entrant("aiokafka_batched", own=True, quick=True),
    "slipcore": Entrant("own", own=True, quick=True),
    "aiokafka, naive": Entrant("aiokafka_naive", own=True, share=0.5),
    "aiokafka, batched, by record": Entrant("aiokafka_records", jobs=("json",), own=True),
    "aiokafka, batched, RocksDB": Entrant("aiokafka_rocks", jobs=("count",), own=True),
    "confluent-kafka": Entrant("confluent", own=True, quick=True),
    "Bytewax": Entrant("bytewax", _peer("bytewax")),
    "Quix Streams": Entrant("quix", _peer("quixstreams"), share=0.5),
    "FastStream, batch": Entrant("faststream", _peer("faststream"), share=0.2),
    "slipstream-async": Entrant("slipstream", _peer("slipstream"), share=0.02),
    "Faust": Entrant("faust_app", _peer("faust"), full=True, share=0.05),
    "Kafka Streams": Entrant(
        "Streams.java", command=streams.command, jobs=("pass", "json", "count"), full=True
    ),
}


@dataclass(frozen=True, slots=True)
class Job:
    """What is done to how many records of which size."""

    name: str
    title: str
    size: int = 120
    share: float = 1.0
    quick: bool = True

    @property
    def table(self) -> str:
        return f"kafka.{self.name}-{self.size}"


JOBS: Final = (
    Job("pass", "pass-through, 120 B"),
    Job("json", "JSON change, 120 B"),
    Job("typed", "typed JSON, 120 B", quick=False),
    Job("avro", "Avro, 120 B", quick=False),
    Job("count", "keyed count, durable state, 120 B"),
    Job("pass", "pass-through, 1 KB", size=1024, share=0.3, quick=False),
    Job("json", "JSON change, 1 KB", size=1024, share=0.3, quick=False),
)


@contextmanager
def broker() -> Iterator[str]:
    """`host:port` of a broker: the one that the environment names, or one of this run."""
    if given := os.environ.get(VARIABLE):
        yield given
        return
    from tests.servers.kafka import Kafka

    progress("kafka: starting a broker")
    with Kafka() as server:
        yield server.address


class Inputs:
    """Topics to read, each filled when it is first asked for."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._made: dict[tuple[bool, int, int], str] = {}

    def of(self, job: Job, records: int) -> str:
        """The input of a job of so many records."""
        avro = job.name == "avro"
        which = (avro, job.size, records)
        if which not in self._made:
            name = f"bench-in-{uuid4().hex[:8]}"
            value = topics.avro_value if avro else topics.json_value
            asyncio.run(topics.fill(self.bootstrap, name, records, value, job.size))
            self._made[which] = name
        return self._made[which]

    def delete(self) -> None:
        """Delete them."""
        if self._made:
            asyncio.run(topics.delete(self.bootstrap, *self._made.values()))
            self._made.clear()


def turn(
    inputs: Inputs,
    name: str,
    job: Job,
    records: int,
    meanwhile: Callable[[Process], None] = lambda process: None,
) -> Turn:
    """Let a contender do a job once.

    Args:
        meanwhile: called when a tenth has come out.

    Raises:
        WrongOutputError: it is ours, and what it wrote is wrong.
        UnavailableError: it is somebody else's, and failed.
    """
    entrant = ENTRANTS[name]
    command = entrant.words()
    count = max(10, int(records * entrant.share))
    source, sink = inputs.of(job, count), f"bench-out-{uuid4().hex[:8]}"
    asyncio.run(topics.create(inputs.bootstrap, sink))
    with running(command, job.name, inputs.bootstrap, source, sink) as process:

        def begin() -> None:
            process.begin()
            meanwhile(process)

        watched = topics.Watched(count, at_tenth=begin)
        watching = topics.watch(
            inputs.bootstrap, sink, watched, lambda: process.lives, patience=FIRST
        )
        if not asyncio.run(watching):
            held = watched.last[1] if watched.last else 0
            reason = f"stopped at {held:,} of {count:,} records: {process.last_words()}"
            raise WrongOutputError(f"{name}: {reason}") if entrant.own else UnavailableError(reason)
        seen = _seen(process, watched)
    fault = topics.check(inputs.bootstrap, sink, job.name, count)
    asyncio.run(topics.delete(inputs.bootstrap, sink))
    if fault and entrant.own:
        raise WrongOutputError(f"{name}, {job.title}: {fault}")
    return Turn(watched.rate / 1000, seen, fault)


def _seen(process: Process, watched: topics.Watched) -> dict[str, float]:
    peak = process.peak()
    seen = {
        CPU: process.cpu_seconds() / max(1, watched.seen) * 100_000,
        "peak MB": peak / 2**20,
    }
    return seen | ({"MB over idle": (peak - process.idle) / 2**20} if process.idle else {})


def run(settings: Settings) -> list[Table]:
    """A table for each job."""
    records = settings.size(RECORDS, quick=150_000)
    names = [name for name, entrant in ENTRANTS.items() if entrant.takes_part(settings)]
    with broker() as bootstrap:
        inputs = Inputs(bootstrap)
        try:
            return [
                _table(
                    inputs,
                    job,
                    names,
                    max(10, int(records * job.share)),
                    settings.turns(3, quick=2),
                )
                for job in JOBS
                if job.quick or not settings.quick
            ]
        finally:
            progress("")
            inputs.delete()


def _table(inputs: Inputs, job: Job, names: list[str], records: int, rounds: int) -> Table:
    contenders: dict[str, Contender] = {
        name: partial(turn, inputs, name, job, records)
        for name in names
        if not ENTRANTS[name].jobs or job.name in ENTRANTS[name].jobs
    }
    what = f"kafka, {job.title}"
    taken = alternate(contenders, rounds, what=what, warm_up=False)
    remark = f"{records:,} records; slower contenders got fewer." if len(names) > 3 else ""
    title = f"Kafka to Kafka: {job.title}"
    unit = "1,000 records/s"
    return compared(job.table, title, unit, taken, baseline=BASELINE, better="more", remark=remark)


if __name__ == "__main__":
    script(__doc__, run, report.terminal)
