"""A running app is reached from outside: its status, pause, resume, and an orderly stop."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from slipcore.control.client import RefusedError, Request, running

Write: TypeAlias = Callable[..., Path]
Start: TypeAlias = Callable[..., subprocess.Popen[str]]
Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

DEADLINE = 60.0
SLIP = [sys.executable, "-m", "slipcore.cli"]

FLOWING = """
from asyncio import sleep
from slipcore import Topic, handle

numbers = Topic("numbers")

async def counted():
    number = 0
    while True:
        yield str(number)
        number += 1
        await sleep(0.02)

@handle(counted(), sink=[numbers])
def feed(number):
    return number

@handle(numbers)
def show(number):
    print(number.value, flush=True)
"""


def until(condition: Callable[[], Any]) -> Any:
    """What a condition gives as soon as it is true."""
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.05)
    return found


def statuses(slip: Slip, *args: str) -> list[Any]:
    """What `slip status --json` prints; [] while nothing runs."""
    result = slip("status", *args, "--json")
    assert result.returncode in (0, 2), result.stderr
    found: list[Any] = json.loads(result.stdout) if result.returncode == 0 else []
    return found


def pids(directory: Path) -> list[int]:
    """The processes that answer, asked in the shortest way."""
    found = []
    for connection in running(directory / ".slip", None, Request("status"), DEADLINE):
        with connection:
            found.append(connection.answer().pid)
    return found


def binding(directory: Path, name: str) -> dict[str, Any]:
    """The status of a handler; {} while it is not running."""
    for connection in running(directory / ".slip", None, Request("status"), DEADLINE):
        with connection:
            status = msgspec.to_builtins(connection.answer().status)
        for row in status["bindings"]:
            if row["name"] == name:
                return dict(row)
    return {}


def caught_up(directory: Path, name: str, handled: int) -> dict[str, Any]:
    def condition() -> dict[str, Any]:
        row = binding(directory, name)
        done = row.get("handled") == handled and row["in_flight"] == 0
        return row if done and row["state"] in ("running", "ended") else {}

    found: dict[str, Any] = until(condition)
    return found


def sockets(directory: Path) -> list[str]:
    return sorted(p.name for p in (directory / ".slip" / "run").glob("*.sock"))


def test_status_says_how_far_every_handler_is(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """Position, end and lag of each partition, as numbers; the state in a word."""
    write("counting.py", Path("counting.py"))
    process = start_slip("run", "counting.py", "-q")
    row = caught_up(tmp_path, "count", 6)
    assert row["partitions"] == [{"partition": 0, "position": 5, "end": 5, "lag": 0}]
    assert (row["source"], row["state"], row["why"]) == ("sqlite:words", "running", None)
    assert (row["lag"], row["retries"], row["oldest_seconds"]) == (0, 0, None)
    (app,) = statuses(slip, "counting")
    assert (app["app"], app["pid"], app["state"]) == ("counting", process.pid, "running")
    assert (app["problems"], app["hung"], app["unanswered_seconds"]) == ([], [], None)
    assert [(b["name"], b["state"], b["handled"]) for b in app["bindings"]] == [
        ("split", "ended", 1),
        ("count", "running", 6),
    ]


def test_status_is_a_table_for_people(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """The app in a line, a row for each partition, 80 columns where it is piped."""
    write("counting.py", Path("counting.py"))
    start_slip("run", "counting.py", "-q")
    caught_up(tmp_path, "count", 6)
    lines = slip("status", "counting.py").stdout.splitlines()
    assert lines[0].startswith("counting: running for 00:")
    assert ", ready, process " in lines[0]
    tables = [line.split() for line in lines[1:]]
    assert tables[0][:4] == ["handler", "source", "state", "rate/s"]
    assert [*tables[2][:3], *tables[2][4:]] == ["count", "sqlite:words", "running", *"6000"]
    assert tables[4] == ["handler", "source", "partition", "position", "end", "lag"]
    assert tables[5] == ["count", "sqlite:words", *"0550"]
    assert max(map(len, lines)) <= 80


def test_a_plain_iterable_is_counted_item_by_item(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """The loop that tells nobody is looked at."""
    write("ticking.py", Path("ticking.py"))
    start_slip("run", "ticking.py", "-q")
    first = until(lambda: binding(tmp_path, "pass_on").get("handled"))
    assert until(lambda: first < binding(tmp_path, "pass_on")["handled"] < 250)


def test_a_pause_holds_at_once_and_loses_nothing(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """What comes meanwhile waits, and is handled in order after the resume."""
    write("flowing.py", FLOWING)
    process = start_slip("run", "flowing.py", "-q")
    until(lambda: binding(tmp_path, "show").get("handled", 0) > 5)
    paused = slip("pause", "flowing", "--source", "numbers")
    assert paused.stdout == f"flowing (process {process.pid}): paused sqlite:numbers.\n"
    before = binding(tmp_path, "show")
    assert before["state"] == "paused"
    behind = until(lambda: (row := binding(tmp_path, "show"))["lag"] > before["lag"] + 10 and row)
    assert behind["handled"] == before["handled"]
    assert binding(tmp_path, "feed")["state"] == "running"
    assert slip("resume").returncode == 0
    until(lambda: binding(tmp_path, "show")["handled"] > behind["handled"] + behind["lag"])
    assert slip("stop").returncode == 0
    stdout, _ = process.communicate(timeout=DEADLINE)
    assert stdout.split() == [str(number) for number in range(len(stdout.split()))]


def test_stop_ends_the_app_in_order(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """It waits for the end; the app's exit code is 0, and its socket is gone."""
    path = write("counting.py", Path("counting.py"))
    process = start_slip("run", "counting.py")
    caught_up(tmp_path, "count", 6)
    stopped = slip("stop", "counting")
    assert stopped.stdout == f"counting (process {process.pid}) has ended.\n"
    _, stderr = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert "Ended in order after" in stderr
    assert sockets(path.parent) == []


def test_a_killed_app_leaves_a_socket_that_the_next_start_replaces(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """Nobody takes it for a running app; the socket is its owner's only."""
    write("ticking.py", Path("ticking.py"))
    process = start_slip("run", "ticking.py", "-q")
    until(lambda: pids(tmp_path))
    os.kill(process.pid, signal.SIGKILL)
    process.wait(DEADLINE)
    assert sockets(tmp_path) == ["ticking.sock"]
    assert slip("status").returncode == 2
    again = start_slip("run", "ticking.py", "-q")
    assert until(lambda: pids(tmp_path)) == [again.pid]
    assert sockets(tmp_path) == ["ticking.sock"]
    socket = tmp_path / ".slip" / "run" / "ticking.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_apps_of_one_directory_are_reached_each(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """By name, two processes of one name both; one that is stopped leaves the others."""
    write("ticking.py", Path("ticking.py"))
    write("other.py", Path("ticking.py"))
    first = start_slip("run", "ticking.py", "-q")
    until(lambda: len(pids(tmp_path)) == 1)
    second = start_slip("run", "ticking.py", "-q")
    third = start_slip("run", "other.py", "-q")
    until(lambda: len(pids(tmp_path)) == 3)
    assert {(app["app"], app["pid"]) for app in statuses(slip)} == {
        ("ticking", first.pid),
        ("ticking", second.pid),
        ("other", third.pid),
    }
    assert sockets(tmp_path) == ["other.sock", "ticking.2.sock", "ticking.sock"]
    assert [app["app"] for app in statuses(slip, "ticking")] == ["ticking", "ticking"]
    assert slip("stop", "ticking").returncode == 0
    assert [app["app"] for app in statuses(slip)] == ["other"]


def test_an_app_that_does_not_run_is_an_error_with_what_does(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """Exit code 2, one sentence; a source that there is not, too."""
    nobody = slip("status")
    assert nobody.returncode == 2
    assert nobody.stderr == f"Error: No app is running with its state in {tmp_path / '.slip'}.\n"
    write("ticking.py", Path("ticking.py"))
    start_slip("run", "ticking.py", "-q")
    until(lambda: pids(tmp_path))
    wrong = slip("stop", "shop")
    assert wrong.returncode == 2
    assert wrong.stderr == (
        f"Error: No app 'shop' is running with its state in {tmp_path / '.slip'}; "
        "ticking is running there.\n"
    )
    source = slip("pause", "ticking", "--source", "tocks")
    assert source.returncode == 2
    assert source.stderr == "Error: No source is named 'tocks': there are ticks.\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_users_app_is_refused(
    start_slip: Start, slip: Slip, write: Write, slip_environment: dict[str, str], tmp_path: Path
) -> None:
    """Exit code 2 and a sentence; the socket lets nobody else in."""
    path = write("ticking.py", Path("ticking.py"))
    start_slip("run", "ticking.py", "-q")
    until(lambda: pids(tmp_path))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for folder in path.parents:
                if folder.stat().st_uid == 0 and folder != Path("/"):
                    folder.chmod(folder.stat().st_mode | 0o011)
            os.setuid(65534)
            running(path.parent / ".slip", "ticking", Request("stop"), 2.0)
        except RefusedError as error:
            code = 0 if "belongs to another user" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_stopped_process_is_given_up_at_the_deadline(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """Exit code 3, within the time that was allowed."""
    write("ticking.py", Path("ticking.py"))
    process = start_slip("run", "ticking.py", "-q")
    until(lambda: pids(tmp_path))
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        result = slip("status", "--timeout", "0.5")
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert result.returncode == 3
    assert "does not answer within 0.5 s" in result.stderr
    assert time.monotonic() - began < 15.0


def test_a_long_path_has_its_socket_too(
    start_slip: Start, slip: Slip, tmp_path: Path, write: Write, slip_environment: dict[str, str]
) -> None:
    """Longer than an address may be."""
    folder = tmp_path / ("long-" * 20) / ("path-" * 20)
    write(str(folder.relative_to(tmp_path) / "ticking.py"), Path("ticking.py"))
    write(str(folder.relative_to(tmp_path) / "slip.toml"), "")
    process = subprocess.Popen(
        [*SLIP, "run", "ticking.py", "-q"],
        cwd=folder,
        env=slip_environment,
        stdout=subprocess.DEVNULL,
    )

    def status() -> subprocess.CompletedProcess[str] | None:
        result = subprocess.run(
            [*SLIP, "status"],
            cwd=folder,
            env=slip_environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return result if result.returncode == 0 else None

    try:
        assert until(status).stdout.startswith("ticking: running")
    finally:
        process.kill()
        process.wait()


def test_status_is_watched_until_it_ends(
    slip: Slip, start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """A line of JSON each second; the end of the app is the end of the watch."""
    write("ticking.py", Path("ticking.py"))
    start_slip("run", "ticking.py", "-q")
    until(lambda: pids(tmp_path))
    watch = start_slip("status", "--watch", "--json")
    assert watch.stdout is not None
    looks = [json.loads(watch.stdout.readline())[0]["bindings"][0]["handled"] for _ in range(2)]
    assert looks[0] < looks[1]
    slip("stop")
    assert watch.wait(DEADLINE) == 2
