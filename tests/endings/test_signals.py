"""SIGTERM ends a run in time whatever it is at, loses nothing, and says what is unfinished."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from slipcore import App
from slipcore.config import Config
from slipcore.interfaces import Out
from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Start: TypeAlias = Callable[..., subprocess.Popen[str]]
Write: TypeAlias = Callable[..., Path]

RECORDS = 3000
STOP, CLOSE = 1.0, 0.5
DEADLINE = STOP + 4 * CLOSE + 2.0
"""Seconds: the record in hand, the commit, the clients, with slack for a busy machine."""

APP = """
    import asyncio
    import time

    from slipcore import App, ISink, Limits

    app = App("{name}", limits=Limits(stop={stop}, close={close}, commit=0.1))
    numbers, doubled = app.topic("{name}-numbers"), app.topic("{name}-doubled")
    counts = app.cache("counts", backend="sqlite")
    hangs, last = {hangs}, {last}


    class Full(ISink):
        # takes outputs, and never has room to keep them
        def send(self, output):
            pass

        async def flush(self):
            await asyncio.Event().wait()


    full = Full()


    @app.handle(numbers, sink=[{sink}])
    async def double(record):
        counts[record.value] = (counts[record.value] or 0) + 1
        if record.value == "5":
            print("going", flush=True)
        if hangs and int(record.value) == 7:
            {hang}
        if last and int(record.value) == {records} - 1:
            app.stop()
        return record.key, record.value
"""


class Run:
    """An app on a topic of numbers, and what has come of them."""

    def __init__(self, directory: Path, write: Write, settings: str) -> None:
        self.name = unique("end")
        self._directory = directory
        self._write = write
        write("slip.toml", f'[app]\nname = "reader"\n{settings}')

    def app(
        self,
        *,
        hang: str = "pass",
        sink: str = "doubled",
        last: bool = False,
        stop: float = STOP,
    ) -> None:
        """Write the app: what it does with the seventh number, where its outputs go."""
        text = APP.format(
            name=self.name,
            stop=stop,
            close=CLOSE,
            hang=hang,
            hangs=hang != "pass",
            last=last,
            sink=sink,
            records=RECORDS,
        )
        self._write("app.py", text)

    async def fill(self) -> None:
        """Send the numbers."""
        app = App(unique("filler"), config=Config.load(self._directory, {}))
        async with app.topic(f"{self.name}-numbers").make() as numbers:
            for number in range(RECORDS):
                waiting = numbers.send(Out(str(number), "k"))
                if waiting is not None:
                    await waiting
            await numbers.flush()
        app.close()

    async def outputs(self) -> list[int]:
        """What was sent on, up to the last number."""
        app = App(unique("looker"), config=Config.load(self._directory, {}))
        found: list[int] = []
        async with asyncio.timeout(20):
            async for record in app.topic(f"{self.name}-doubled"):
                found.append(int(record.value))
                if found[-1] == RECORDS - 1:
                    break
        app.close()
        return found

    def counts(self) -> Counter[int]:
        """How often each number is in the state."""
        app = App(self.name, config=Config.load(self._directory, {}))
        try:
            cache = app.cache("counts", backend="sqlite")
            return Counter({int(key): value for key, value in cache.items()})
        finally:
            app.close()


@pytest.fixture
def run(tmp_path: Path, write: Write) -> Run:
    """On SQLite."""
    made = Run(tmp_path, write, "")
    asyncio.run(made.fill())
    return made


def stopped(process: subprocess.Popen[str], before: Callable[[], object] | None = None) -> str:
    """Stop a run that is under way with SIGTERM, in time, and give what it said last."""
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    if before is not None:
        before()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=20)
    assert time.monotonic() - began < DEADLINE
    assert "Traceback" not in stderr
    return stderr.splitlines()[-1]


def finish(run: Run, slip: Slip) -> None:
    """Run it again, to the last number."""
    run.app(last=True)
    result = slip("run", "app.py", "-q")
    assert result.returncode == 0, result.stderr


EXACTLY_ONCE = Counter(dict.fromkeys(range(RECORDS), 1))


def test_under_full_load(run: Run, start_slip: Start, slip: Slip) -> None:
    """What is finished is committed: nothing comes twice, nothing is lost, and it says so."""
    run.app()
    process = start_slip("run", "app.py")
    assert re.match(r"Ended in order after .*; records handled: .*\d\.$", stopped(process))
    assert process.returncode == 0
    first = run.counts()
    assert 0 < len(first) < RECORDS
    finish(run, slip)
    assert run.counts() == EXACTLY_ONCE
    assert asyncio.run(run.outputs()) == list(range(RECORDS))


@pytest.mark.parametrize(
    "hang", ["await asyncio.sleep(0.6)", "time.sleep(0.6)"], ids=["async", "blocking"]
)
def test_with_a_slow_handler(run: Run, start_slip: Start, slip: Slip, hang: str) -> None:
    """The record in hand is waited for, within the deadline, and is finished."""
    run.app(hang=hang)
    process = start_slip("run", "app.py")
    assert stopped(process, lambda: time.sleep(0.2)).startswith("Ended in order after ")
    assert process.returncode == 0
    assert run.counts()[7] == 1
    finish(run, slip)
    assert run.counts() == EXACTLY_ONCE
    assert asyncio.run(run.outputs()) == list(range(RECORDS))


@pytest.mark.parametrize(
    "hang", ["await asyncio.sleep(3600)", "time.sleep(3600)"], ids=["async", "blocking"]
)
def test_with_a_hung_handler(run: Run, start_slip: Start, slip: Slip, hang: str) -> None:
    """It is given up: what came before it is committed, it comes again, and its topic is named."""
    run.app(hang=hang)
    process = start_slip("run", "app.py")
    last = stopped(process, lambda: time.sleep(0.2))
    assert last.startswith("Error: Stopped after 1 s with unfinished work: ")
    assert f"a record was still in hand in sqlite:{run.name}-numbers" in last
    assert process.returncode == 3
    assert run.counts() == Counter(dict.fromkeys(range(7), 1))
    finish(run, slip)
    assert run.counts() == EXACTLY_ONCE
    assert set(asyncio.run(run.outputs())) == set(range(RECORDS))


@pytest.mark.parametrize(
    "hang", ["await asyncio.sleep(3600)", "time.sleep(3600)"], ids=["async", "blocking"]
)
def test_a_second_signal_does_not_wait_for_the_deadline(
    run: Run, start_slip: Start, slip: Slip, hang: str
) -> None:
    """A handler that hangs is given up at once, one that blocks a second later."""
    run.app(hang=hang, stop=60.0)
    process = start_slip("run", "app.py")

    def first() -> None:
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)

    last = stopped(process, first)
    assert f"a record was still in hand in sqlite:{run.name}-numbers" in last
    assert process.returncode == 3
    finish(run, slip)
    assert run.counts() == EXACTLY_ONCE


def test_with_a_handler_that_can_not_be_interrupted(
    run: Run, start_slip: Start, slip: Slip
) -> None:
    """The process ends all the same, and says so."""
    run.app(
        hang="""
            while True:
                try:
                    time.sleep(3600)
                except BaseException:
                    pass
    """
    )
    process = start_slip("run", "app.py")
    last = stopped(process, lambda: time.sleep(0.2))
    assert last.startswith("Error: Stopped with unfinished work: a call blocks the event loop")
    assert process.returncode == 3
    finish(run, slip)
    assert run.counts() == EXACTLY_ONCE


def test_with_a_full_sink(run: Run, start_slip: Start, slip: Slip) -> None:
    """What it has not taken is unfinished: its records come again, its state is not kept."""
    run.app(sink="full, doubled")
    process = start_slip("run", "app.py")
    last = stopped(process)
    assert re.match(r"Error: Stopped after 1 s with unfinished work: \d+ records were not d", last)
    assert process.returncode == 3
    assert run.counts() == Counter()
    finish(run, slip)
    assert run.counts() == EXACTLY_ONCE
    assert set(asyncio.run(run.outputs())) == set(range(RECORDS))


SETTINGS = {
    "kafka": 'bootstrap_servers = "{address}"\nsession_timeout_ms = 6000',
    "redis": 'url = "redis://{address}/0"\nsession_timeout = 2.0\nlease = 2.0',
}
"""With which the member that could not say goodbye is soon forgotten."""


@pytest.mark.servers("kafka", "redis")
@pytest.mark.parametrize("backend", ["kafka", "redis"])
def test_with_a_dead_broker(
    tmp_path: Path, write: Write, start_slip: Start, slip: Slip, backend: str
) -> None:
    """The run ends in time without it; with the broker back, what was not committed comes again."""
    server: Kafka | Redis = Kafka() if backend == "kafka" else Redis()
    with server:
        at = SETTINGS[backend].format(address=server.address)
        run = Run(tmp_path, write, f'[defaults]\ntopic = "{backend}"\n[backends.{backend}]\n{at}\n')
        asyncio.run(run.fill())
        run.app(hang="await asyncio.sleep(0.3)")
        process = start_slip("run", "app.py")
        last = stopped(process, server.kill)
        assert process.returncode in (1, 3), last
        assert last.startswith("Error: ")
        server.start()
        finish(run, slip)
        assert run.counts() == EXACTLY_ONCE
        assert set(asyncio.run(run.outputs())) == set(range(RECORDS))
