"""Real processes: killed at any moment, told to stop, several in one group."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from slipcore import App
from slipcore.config import Config
from slipcore.interfaces import Out

COUNTING = Path(__file__).with_name("counting.py")


def app_in(directory: Path, name: str = "checker") -> App:
    return App(name, config=Config.load(cwd=directory, environ={}))


def fill(directory: Path, records: int) -> None:
    async def work() -> None:
        app = app_in(directory)
        async with app.topic("in").make() as topic:
            for n in range(records):
                waiting = topic.send(Out(str(n), f"k{n % 7}"))
                if waiting is not None:
                    await waiting
            await topic.flush()
        app.close()

    asyncio.run(work())


def outputs(directory: Path, records: int) -> Counter[str]:
    """Everything in the output topic, once all inputs are represented."""

    async def work() -> Counter[str]:
        app = app_in(directory)
        found: Counter[str] = Counter()
        async with asyncio.timeout(20):
            async for record in app.topic("out"):
                found[record.value] += 1
                if len(found) == records:
                    break
        app.close()
        return found

    return asyncio.run(work())


def counts(directory: Path) -> dict[str, int]:
    app = app_in(directory, "counting")
    found = dict(app.cache("counts").items())
    app.close()
    return found


def start(directory: Path, records: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(COUNTING), str(directory), str(records)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def reading(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """The process, once it handles its first record."""
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    return process


def test_kill_9_at_random_moments_loses_nothing_and_counts_exactly(tmp_path: Path) -> None:
    """Every output is there, and the state is exact, however often the process is killed."""
    records, seed = 30_000, random.randrange(sys.maxsize)
    chance = random.Random(seed)
    fill(tmp_path, records)
    kills = 0
    while True:
        process = start(tmp_path, records)
        try:
            process.wait(chance.uniform(0.2, 1.2) if kills < 8 else 30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        finally:
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None
                if process.poll() not in (None, 0, -signal.SIGKILL):
                    pytest.fail(f"seed {seed}: {pipe.read()}")
                pipe.close()
        break
    expected = {f"k{k}": len(range(k, records, 7)) for k in range(7)}
    assert counts(tmp_path) == expected, f"seed {seed}"
    found = outputs(tmp_path, records)
    assert set(found) == {f"{n} {n // 7 + 1}" for n in range(records)}, f"seed {seed}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order_and_repeats_nothing(tmp_path: Path, number: int) -> None:
    """What was finished is committed: every output is there once when all is done."""
    records = 40_000
    fill(tmp_path, records)
    process = reading(start(tmp_path, records))
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "ended\n", "")
    assert sum(counts(tmp_path).values()) < records
    process = reading(start(tmp_path, records))
    assert process.communicate(timeout=120)[0] == "ended\n"
    found = outputs(tmp_path, records)
    assert (len(found), set(found.values())) == (records, {1})


def test_state_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    """The second process ends with a sentence that names the state; the first goes on."""
    fill(tmp_path, 10)
    first = reading(start(tmp_path, 1_000))
    second = start(tmp_path, 1_000)
    _, err = second.communicate(timeout=120)
    first.terminate()
    first.communicate(timeout=120)
    assert second.returncode != 0
    assert "counts" in err.splitlines()[-1]
    assert str(first.pid) in err.splitlines()[-1]
