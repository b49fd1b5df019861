"""Nothing of a test run is left running, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 20.0

HOLDING = """if True:
    import signal, sys
    from tests.servers.redis import Redis
    if "shrug" in sys.argv:
        signal.signal(signal.SIGINT, lambda *_: None)
        sys.argv.remove("shrug")
    server = Redis().start()
    for word in sys.argv[1:]:
        getattr(server, word)()
    print(server._pid, server.directory, flush=True)
    sys.stdin.read()
"""


def held(*calls: str) -> tuple[subprocess.Popen[str], int, Path]:
    """A process that holds a server, the server's process, and the server's directory."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, *calls],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdout is not None
    pid, directory = holder.stdout.readline().split()
    return holder, int(pid), Path(directory)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_all_gone(pid: int, directory: Path) -> bool:
    deadline = time.monotonic() + DEADLINE
    while is_running(pid) or directory.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.servers("redis")
@pytest.mark.parametrize(
    "end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name
)
def test_a_server_ends_with_who_started_it(end: signal.Signals) -> None:
    """Killed or interrupted, a process takes its server and the server's files with it."""
    holder, pid, directory = held()
    assert is_running(pid)
    assert directory.exists()
    holder.send_signal(end)
    _, _ = holder.communicate()
    assert is_all_gone(pid, directory)


@pytest.mark.servers("redis")
@pytest.mark.parametrize("calls", [("pause",), ("kill", "start"), ("stop",)], ids="-".join)
def test_whatever_the_server_does(calls: tuple[str, ...]) -> None:
    """A server that hangs or has come back ends as well, and one that is down leaves no files."""
    holder, pid, directory = held(*calls)
    assert directory.exists()
    holder.kill()
    _, _ = holder.communicate()
    assert is_all_gone(pid, directory)


@pytest.mark.servers("redis")
def test_ctrl_c_is_for_the_tests_alone() -> None:
    """What a terminal sends to the whole group of a process doesn't end the process's server."""
    holder, pid, directory = held("shrug")
    os.killpg(holder.pid, signal.SIGINT)
    time.sleep(0.3)
    assert is_running(pid)
    holder.kill()
    _, _ = holder.communicate()
    assert is_all_gone(pid, directory)


def test_the_leash_itself_is_told_to_end(tmp_path: Path) -> None:
    """Asked to end, it ends what it has started first."""
    directory = tmp_path / "held"
    directory.mkdir()
    leash = subprocess.Popen(
        [sys.executable, "-I", str(ROOT / "tests/servers/leash.py"), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert leash.stdin is not None
    assert leash.stdout is not None
    leash.stdin.write('["sleep", "100"]\n')
    leash.stdin.flush()
    pid = int(leash.stdout.readline())
    leash.terminate()
    assert is_all_gone(pid, directory)
    _, _ = leash.communicate()
