"""Disks that are slow, and disks that are full."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.faults.bare_kafka import KafkaLog
from tests.faults.fault import fault
from tests.faults.lag import late_and_all
from tests.faults.shim import MISSING, Shim
from tests.faults.state_deaths import RESTART
from tests.faults.topics import on_redis
from tests.faults.workers import FaultError, Worker
from tests.faults.yard import PATIENCE, Yard

BUFFER: Final = 65536
"""Bytes of a small write buffer: RocksDB writes tables often."""
SLOW: Final = 0.5
"""Seconds that a sync takes on a slow disk."""
TABLES: Final[dict[str, Any]] = {"write_buffer_size": BUFFER}
FAILED: Final = 1


def shimmed(yard: Yard, below: Path | None = None) -> Shim:
    """A shim for the workers of a run."""
    shim = Shim(yard.directory, below)
    yard.also.callback(shim.close)
    yard.environment = shim.environment
    return shim


class Lags:
    """Whether a worker's loop is late more often than it was before.

    A busy machine makes it late as well: what was before says how often.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        late, ticks = late_and_all(worker.log)
        self._usual = late / max(ticks, 1)
        self._from = late, ticks

    def judge(self, yard: Yard) -> None:
        """Complain where more than 1 % of its ticks were late."""
        late, ticks = late_and_all(self._worker.log)
        late, ticks = late - self._from[0], ticks - self._from[1]
        allowed = max(0.01, 3 * self._usual)
        if late > max(2, allowed * ticks):
            yard.complain(f"the loop was more than 100 ms late in {late} of {ticks} ticks")


def slowed(yard: Yard, cache: str, state: dict[str, Any] | None, sync: float) -> None:
    """Let the disk be slow for some seconds, and see that a member of a group stays one."""
    shim = shimmed(yard)
    yard.prepare(cache=cache, state=state, ticks=True, commit=0.2)
    assert isinstance(yard.log, KafkaLog)
    yard.fill(500)
    yard.feed(200)
    worker = yard.start()
    yard.until_handled(400)
    members = yard.log.members(yard.name)
    lags = Lags(worker)
    shim.slow_disk(sync)
    time.sleep(max(5.0, 4 * sync))
    lags.judge(yard)
    shim.slow_disk(0.0)
    yard.recover(time.monotonic())
    if yard.log.members(yard.name) != members:
        yard.complain("the worker was expelled from its group")
    yard.finish()


@fault(
    "a disk whose syncs take half a second",
    protects="State is written in a thread of its own: the loop and the heartbeats go on.",
    target=5.0,
    without="state in a thread",
    missing=MISSING,
)
def slow_disk(yard: Yard) -> None:
    cache = yard.chance.choice(("rocks", "sqlite"))
    slowed(yard, cache, {**TABLES, "sync": True} if cache == "rocks" else None, SLOW)


@fault(
    "RocksDB stalls writes, since it can't write its tables as fast",
    protects="A write that would have to wait gives up, and is tried again in its thread.",
    target=10.0,
    without="state in a thread",
    missing=MISSING,
)
def write_stall(yard: Yard) -> None:
    slowed(yard, "rocks", TABLES, 2.0)
    (log,) = (yard.directory / ".slip").rglob("LOG")
    text = log.read_text(errors="replace")
    if "Stopping writes" not in text and "Stalling writes" not in text:
        yard.complain("RocksDB has stalled no write")


class Tmpfs:
    """A small file system of its own, and a file that takes what room there is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "slip", str(path)], check=True)

    def fill_disk(self) -> None:
        with suppress(OSError), (self._path / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free_disk(self) -> None:
        (self._path / "ballast").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self._path)], check=True)


def small_disk(yard: Yard) -> Shim | Tmpfs:
    """A disk that can be filled, for the state: a real one where this user may make it."""
    if os.geteuid() == 0 and yard.chance.random() < 0.5:
        with suppress(subprocess.CalledProcessError, FileNotFoundError):
            disk = Tmpfs(yard.directory / ".slip")
            yard.also.callback(disk.close)
            return disk
    return shimmed(yard, yard.directory / ".slip")


def runs_out(worker: Worker) -> None:
    """Wait until a worker ends for want of room, and see that it says so in one sentence."""
    code = worker.wait(PATIENCE)
    said = ("free some space", "look at the disk and its free space")  # where even to open it fails
    lines = [line for line in worker.log.splitlines() if any(each in line for each in said)]
    if code not in (FAILED, 2) or not lines:
        raise FaultError(f"A worker did not say that the disk is full. {worker.told()}")


@fault(
    "the disk of the state is full",
    protects="What could not be stored is not committed; the app ends, and says what to do.",
    target=RESTART,
    without="state that was refused",
    missing=MISSING,
    quick=True,
)
def full_disk(yard: Yard) -> None:
    disk = small_disk(yard)
    cache = yard.chance.choice(("rocks", "sqlite"))
    yard.prepare(topics=on_redis(yard.lane.redis), cache=cache, commit=0.1)
    yard.fill(500)
    yard.feed(200)
    worker = yard.start()
    yard.until_handled(yard.chance.randrange(1, 600))
    disk.fill_disk()
    runs_out(worker)
    again = yard.start() if yard.chance.random() < 0.5 else None
    if again is not None:
        runs_out(again)
    disk.free_disk()
    for each in (worker, again):
        if each is not None:
            yard.ended(each, orderly=False)
    state = yard.state()
    for partition, offset in yard.committed().items():
        if state is None or state.positions.get(partition, -1) < offset - 1:
            yard.complain(f"partition {partition} was committed beyond what is stored")
    moment = time.monotonic()
    yard.start()
    yard.recover(moment)
    yard.finish()
