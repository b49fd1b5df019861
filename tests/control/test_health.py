"""Health is told from progress: what hangs is reported, by log, status and HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from prometheus_client.parser import text_string_to_metric_families

from slipcore import App, Limits
from slipcore.config import Config
from slipcore.control.report import Health
from slipcore.interfaces import (
    Assignment,
    Capability,
    ConnectError,
    ISink,
    ISource,
    Out,
    Positions,
    Record,
)
from slipcore.plugins import Plugins

Write: TypeAlias = Callable[..., Path]
Start: TypeAlias = Callable[..., subprocess.Popen[str]]
Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

DEADLINE = 60.0

HANGING = """
import asyncio, time
from slipcore import App, Limits, Topic

app = App("hanging", limits=Limits(hung=0.5, stop=0.2, close=0.2))
numbers = app.topic("numbers")

async def fed():
    for number in range(5):
        yield number

@app.handle(fed(), sink=[numbers])
def feed(number):
    return str(number)

async def never_answers():
    await asyncio.sleep(600)

@app.handle(numbers)
async def ask(number):
    if number.value == "3":
        await never_answers()
"""


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
    return found


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 where nobody listens yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(condition: Callable[[], Any]) -> Any:
    """What a condition gives as soon as it is true."""
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.05)
    return found


def test_an_app_that_gets_on_is_live_and_ready(start_slip: Start, write: Write, port: int) -> None:
    """200 with no problem; the metrics say how far it is, beside those of the process."""
    write("counting.py", Path("counting.py"))
    start_slip("run", "counting.py", "-q", "--http", str(port))
    until(lambda: get(port, "/ready")[0] == 200)
    assert json.loads(get(port, "/ready")[1]) == {"ready": True, "problems": []}
    assert json.loads(get(port, "/live")[1]) == {"live": True, "problems": []}

    def metrics() -> dict[tuple[str, str], float]:
        families = text_string_to_metric_families(get(port, "/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return {(s.name, s.labels.get("binding", "")): s.value for s in samples}

    found = until(
        lambda: (
            (m := metrics()).get(("slipcore_position", "count")) == 5.0
            and ("slipcore_commit_age_seconds", "") in m
            and m
        )
    )
    assert found["slipcore_records_handled_total", "count"] == 6.0
    assert found["slipcore_lag_records", "count"] == 0.0
    assert found["slipcore_in_flight_records", "count"] == 0.0
    assert found["slipcore_retries_total", "count"] == 0.0
    assert found["slipcore_ready", ""] == 1.0
    assert found["slipcore_commit_age_seconds", ""] < DEADLINE
    assert ("process_cpu_seconds_total", "") in found


def test_a_handler_that_does_not_come_back_is_reported_once_with_its_stack(
    start_slip: Start, slip: Slip, write: Write, port: int
) -> None:
    """In the log, in the status and in /ready; the loop answers, so that it is live."""
    write("hanging.py", HANGING)
    process = start_slip("run", "hanging.py:app", "-q", "--http", str(port))
    until(lambda: get(port, "/ready")[0] == 503 and "in hand for" in get(port, "/ready")[1])
    assert get(port, "/live")[0] == 200
    (app,) = json.loads(slip("status", "--json").stdout)
    (hung,) = app["hung"]
    assert (hung["binding"], hung["record"]) == ("ask", "numbers[0]@3")
    assert hung["seconds"] >= 0.5
    assert "await never_answers()" in hung["stack"]
    assert "await asyncio.sleep(600)" in hung["stack"]
    row = next(row for row in app["bindings"] if row["name"] == "ask")
    (place,) = row["partitions"]
    finished = 0 if place["position"] is None else place["position"] + 1
    assert (row["state"], row["in_flight"]) == ("hung", 4 - finished)
    assert (place["end"], place["lag"]) == (4, 1)
    assert "Not ready: ask has had numbers[0]@3 in hand for" in slip("status").stdout
    time.sleep(1.2)
    assert slip("stop").returncode == 0
    _, stderr = process.communicate(timeout=DEADLINE)
    assert process.returncode == 3
    assert stderr.count("it stands at:") == 1
    assert "WARNING slipcore.control.monitor: ask has had numbers[0]@3 in hand for" in stderr


def test_a_handler_that_blocks_the_loop_is_reported_too(
    start_slip: Start, slip: Slip, write: Write, port: int
) -> None:
    """The thread's stack is shown; nothing answers but what stands beside the loop: not live."""
    write("hanging.py", HANGING, replace={"await never_answers()": "time.sleep(600)"})
    process = start_slip("run", "hanging.py:app", "-q", "--http", str(port))
    until(lambda: get(port, "/live")[0] == 503)
    code, body = get(port, "/ready")
    assert code == 503
    assert "the event loop has not answered for" in body
    assert "ask has numbers[0]@3 in hand" in body
    (app,) = json.loads(slip("status", "--json").stdout)
    assert app["unanswered_seconds"] >= 0.5
    (hung,) = app["hung"]
    assert (hung["binding"], hung["record"]) == ("ask", "numbers[0]@3")
    assert "time.sleep(600)" in hung["stack"]
    late = slip("pause", "--timeout", "1")
    assert late.returncode == 3
    assert late.stderr == (
        "Error: The event loop of hanging is busy with something else; it will pause when that is "
        "over.\n"
    )
    process.kill()
    _, stderr = process.communicate(timeout=DEADLINE)
    assert stderr.count("it stands at:") == 1


@pytest.mark.parametrize("text", ["http", "0", "70000", "a:b:1", "127.0.0.1"])
def test_an_address_that_is_none_is_refused(slip: Slip, write: Write, text: str) -> None:
    """Exit code 2, and what to write."""
    write("ending.py", Path("ending.py"))
    result = slip("run", "ending.py", "-q", "--http", text)
    assert result.returncode == 2
    assert result.stderr == (
        f"Error: --http {text}: write a port, --http 8080, or HOST:PORT, --http 0.0.0.0:8080.\n"
    )


def test_a_port_that_is_taken_is_refused_before_anything_is_read(slip: Slip, write: Write) -> None:
    """Exit code 2 and a sentence."""
    write("ending.py", Path("ending.py"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = slip("run", "ending.py", "-q", "--http", address)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: --http {address}: can't listen there: ")


def app_in(directory: Path, **limits: Any) -> App:
    return App(
        "inside",
        config=Config.load(directory, {}),
        plugins=Plugins(entry_points=[]),
        limits=Limits(**limits),
    )


def test_an_app_in_anyones_process_can_be_observed(tmp_path: Path) -> None:
    """From start to end there is a socket, and nothing afterwards, for each of its runs."""
    app = app_in(tmp_path)
    seen: list[str | bool] = []

    async def once() -> AsyncIterator[int]:
        yield 1

    @app.handle(once())
    def look(number: int) -> None:
        seen.extend(p.name for p in (tmp_path / ".slip" / "run").glob("*.sock"))
        seen.append(any(t.name == "slip-control" for t in threading.enumerate()))

    app.observe()
    asyncio.run(app.stream())
    assert seen == ["inside.sock", True]
    assert list((tmp_path / ".slip" / "run").glob("*.sock")) == []
    assert not any(t.name == "slip-control" for t in threading.enumerate())


def test_health_can_be_asked_for_in_the_process(tmp_path: Path) -> None:
    """Without a socket or a thread: before, during and after a run."""
    app = app_in(tmp_path, hung=0.2)
    found: list[Health] = []

    async def numbers() -> AsyncIterator[int]:
        yield 1

    @app.handle(numbers(), name="slow")
    async def slow(number: int) -> None:
        found.append(await app.health())
        await asyncio.sleep(0.3)
        found.append(await app.health())

    async def main() -> None:
        found.append(await app.health())
        await app.stream()
        found.append(await app.health())

    asyncio.run(main())
    said = [[re.sub(r"[\d.]+ s", "N s", p) for p in h.problems] for h in found]
    assert [(h.live, h.ready, p) for h, p in zip(found, said, strict=True)] == [
        (True, False, ["the app is not running"]),
        (True, True, []),
        (True, False, ["slow has had an item in hand for N s"]),
        (True, False, ["the app is not running"]),
    ]
    assert not any(t.name == "slip-control" for t in threading.enumerate())


class Stuck(ISource):
    """A record, or none though there are some; what is to be committed may not get through."""

    capabilities = frozenset({Capability.COMMIT})

    def __init__(self, *, fetches: bool, commits: bool) -> None:
        self._fetches, self._commits, self._left = fetches, commits, 0 if fetches else 2
        self._accepted = asyncio.Event()

    async def read(self, max_records: int) -> list[Record]:
        await self._accepted.wait()
        if self._fetches:
            self._fetches = False
            return [Record(key=None, value=b"1", topic="stuck", partition=0, offset=0, timestamp=0)]
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        self._accepted.set()

    async def commit(self, positions: Positions, epoch: int) -> None:
        if not self._commits:
            raise ConnectError("nobody there")

    async def lag(self) -> dict[int, int]:
        return {0: self._left}


class Full(ISink):
    """Never says that anything is durable."""

    def send(self, output: Out) -> None:
        pass

    async def flush(self) -> None:
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("source", "sink", "problem"),
    [
        ({"fetches": False, "commits": False}, [], "given a record of Stuck for"),
        ({"fetches": True, "commits": False}, [], "positions of Stuck have not been committed for"),
        ({"fetches": True, "commits": True}, [Full], "1 records of take are not durable after"),
    ],
)
def test_a_run_that_does_not_get_on_is_not_ready(
    tmp_path: Path, source: dict[str, bool], sink: list[type[ISink]], problem: str
) -> None:
    """Nothing is fetched, nothing committed, nothing durable: each is told, after the time."""
    app = app_in(tmp_path, hung=1.5, stop=0.1, close=0.1, commit=0.05)

    @app.handle(Stuck(**source), sink=[make() for make in sink], name="take")
    def take(record: Record) -> bytes:
        value: bytes = record.value
        return value

    async def main() -> list[Health]:
        found: list[Health] = []
        running = asyncio.ensure_future(app.stream())
        async with asyncio.timeout(DEADLINE):
            while not any(problem in said for health in found[-1:] for said in health.problems):
                await asyncio.sleep(0.05)
                found.append(await app.health())
        app.stop()
        await asyncio.wait([running])
        running.exception()
        return found

    *before, last = asyncio.run(main())
    assert (True, True, []) in [(h.live, h.ready, h.problems) for h in before]
    assert (last.live, last.ready) == (True, False)
