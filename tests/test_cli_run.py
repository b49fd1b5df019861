"""`slip run`: what it says and to whom, how it stops, and what it shows meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from slipcore.backends.sqlite.file import SlipFile

DEADLINE = 60.0

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Start: TypeAlias = Callable[..., subprocess.Popen[str]]
Write: TypeAlias = Callable[..., Path]


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


# --- run -----------------------------------------------------------------------------------


def test_a_run_tells_its_bindings_first_and_its_end_last(slip: Slip, write: Write) -> None:
    """The summary and the last line are on stderr; stdout is the app's alone."""
    write("shop.py", Path("ending.py"))
    result = slip("run", "shop.py")
    assert result.stdout == "0\n2\n4\n"
    assert "Handler double\n  from      numbers, an iterable\n" in result.stderr
    assert re.search(
        r"^Ended in order after \d+\.\d s; records handled: numbers 3\.$",
        result.stderr,
        re.MULTILINE,
    )


def test_a_quiet_run_says_nothing(slip: Slip, write: Write) -> None:
    """With -q stderr stays empty where nothing is wrong."""
    write("shop.py", Path("ending.py"))
    assert slip("run", "shop.py", "-q").stderr == ""


LOOP = """
    import asyncio
    from slipcore import handle

    async def once():
        yield type(asyncio.get_running_loop()).__module__.partition(".")[0]

    handle(once(), sink=[print])(lambda loop: loop)
    """


@pytest.mark.parametrize(
    ("options", "environ", "loop"),
    [
        ([], {}, "uvloop"),
        (["--loop", "asyncio"], {}, "asyncio"),
        ([], {"SLIP_LOOP": "asyncio"}, "asyncio"),
        (["--loop", "uvloop"], {"SLIP_LOOP": "asyncio"}, "uvloop"),
    ],
)
def test_it_runs_in_uvloop_where_that_is_installed(
    slip: Slip, write: Write, options: list[str], environ: dict[str, str], loop: str
) -> None:
    """Unless an option or the environment says otherwise."""
    write("shop.py", LOOP)
    result = slip("run", "shop.py", "-q", *options, **environ)
    assert (result.stdout, result.stderr) == (f"{loop}\n", "")


def test_uvloop_that_is_not_installed_is_done_without_unless_it_is_asked_for(
    slip: Slip, write: Write
) -> None:
    """Then nothing is started, and the message says how it is installed."""
    write("uvloop.py", "raise ImportError('no module of that name')")
    write("shop.py", LOOP)
    assert slip("run", "shop.py", "-q").stdout == "asyncio\n"
    result = slip("run", "shop.py", "--loop", "uvloop")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: --loop uvloop: it can't be imported (no module of that")
    assert "pip install -e '.[fast]'" in result.stderr


def test_a_json_log_is_one_object_a_line(slip: Slip, write: Write) -> None:
    """With --log-json all of stderr is JSON: the plan, warnings, the end."""
    write(
        "shop.py",
        """
        import logging
        import warnings
        """,
        Path("ending.py"),
        """
        logging.getLogger("shop").warning("low on %s", "paper")
        warnings.warn("old")
        """,
    )
    result = slip("run", "shop.py", "--log-json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(line["level"], line["logger"]) for line in lines] == [
        ("warning", "shop"),
        ("warning", "py.warnings"),
        ("info", "slipcore.cli"),
        ("info", "slipcore.cli"),
    ]
    assert lines[0]["message"] == "low on paper"
    assert lines[2]["plan"]["app"] == "shop"
    assert lines[3]["handled"] == {"numbers": 3}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines[0]["time"])


def test_a_failure_in_a_json_log_is_an_object_too(slip: Slip, write: Write) -> None:
    """With --log-json the sentence, the exit code and the traceback are fields."""
    write("shop.py", Path("ending.py"), replace={"number * 2": "number / 0"})
    result = slip("run", "shop.py", "--log-json", "-q")
    (line,) = [json.loads(text) for text in result.stderr.splitlines()]
    assert result.returncode == 1
    assert line["message"] == "Handler double failed: ZeroDivisionError: division by zero"
    assert line["exit_code"] == 1
    assert "return number / 0" in line["traceback"]


def test_warnings_of_the_log_are_shown(slip: Slip, write: Write) -> None:
    """Warnings reach stderr, messages below them do not."""
    write(
        "shop.py",
        """
        import logging
        """,
        Path("ending.py"),
        replace={"    return": '    logging.warning("look"); logging.info("dull"); return'},
    )
    stderr = slip("run", "shop.py", "-q").stderr
    assert stderr == "WARNING root: look\n" * 3


def test_a_handler_that_raises_is_named_with_its_record_and_its_own_traceback(
    slip: Slip, tmp_path: Path, write: Write
) -> None:
    """The sentence names handler and record; the traceback has the user's frames only."""
    write("shop.py", Path("counting.py"), replace={"return word.key,": "return 1 / 0,"})
    result = slip("run", "shop.py", "-q")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert (
        lines[0] == "Error: Handler count failed at words[0]@0: ZeroDivisionError: division by zero"
    )
    assert lines[1] == "Traceback (most recent call last):"
    assert [line for line in lines if line.startswith("  File ")] == [
        f'  File "{tmp_path / "shop.py"}", line 22, in count'
    ]


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("sink=[print]", "sink=[out]", "Sink out of double failed: RuntimeError: broken"),
        ("yield number", "yield out(number)", "Source numbers of double failed: RuntimeError: br"),
        ("(numbers(),", "(numbers(), pipe=[pipe],", "Pipe pipe of double failed: RuntimeError: b"),
        ("return number * 2", "return later()", "The app failed: RuntimeError: broken"),
    ],
)
def test_who_failed_is_named(
    slip: Slip, before: str, after: str, sentence: str, write: Write
) -> None:
    """A sink, a source and a pipe are told apart from the handler; nobody is blamed by guess."""
    text = """
    async def later():
        raise RuntimeError("broken")

    def out(number):
        raise RuntimeError("broken")

    async def pipe(numbers):
        async for number in numbers:
            yield out(number)
    """
    write("shop.py", text, Path("ending.py"), replace={before: after})
    result = slip("run", "shop.py", "-q")
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: {sentence}")
    assert "slipcore" not in result.stderr


def test_a_file_that_does_not_import_shows_its_own_traceback(
    slip: Slip, tmp_path: Path, write: Write
) -> None:
    """An exception at import: a sentence and the user's frames, exit code 2."""
    write("shop.py", "import neighbour\n")
    write("neighbour.py", "import nothere_at_all\n")
    result = slip("run", "shop.py")
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    sentence = "ModuleNotFoundError: No module named 'nothere_at_all'"
    assert lines[0] == f"Error: shop.py did not import: {sentence}"
    assert [line for line in lines if line.startswith("  File ")] == [
        f'  File "{tmp_path / "shop.py"}", line 1, in <module>',
        f'  File "{tmp_path / "neighbour.py"}", line 1, in <module>',
    ]


def test_a_file_that_exits_at_import_is_told_how_to_guard_it(slip: Slip, write: Write) -> None:
    """sys.exit() at import does not pass for an orderly end."""
    write("shop.py", "import sys\nsys.exit(0)\n")
    result = slip("run", "shop.py")
    assert result.returncode == 2
    assert "sys.exit at shop.py:2" in result.stderr


# --- stop ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_order(start_slip: Start, number: signal.Signals, write: Write) -> None:
    """SIGINT and SIGTERM end a run with 0 and a last line that says so."""
    write("clock.py", Path("ticking.py"))
    process = start_slip("run", "clock.py")
    assert read_line(process) == "tick"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert "Ended in order after " in stderr
    assert "Traceback" not in stderr


def test_a_second_signal_stops_now(start_slip: Start, write: Write) -> None:
    """While the record in hand is waited for, another signal gives it up: exit code 3."""
    write("slow.py", Path("waiting.py"), replace={"Limits()": "Limits(stop=60.0)"})
    process = start_slip("run", "slow.py", "-q")
    assert read_line(process) == "waiting"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=DEADLINE)
    assert process.returncode == 3
    assert stderr.startswith("Error: Stopped at once with unfinished work")
    assert stderr.count("\n") == 1
    assert time.monotonic() - began < 15


STARTING = """
    import ctypes
    import time
    from asyncio import Event
    from threading import Timer

    from slipcore import App, ISource

    app = App("starting")

    class Server(ISource):
        async def open(self):
            print("waiting", flush=True)
            await Event().wait()

        async def read(self, max_records):
            return ()

        async def close(self):
            print("closed", flush=True)

    @app.handle(Server())
    def take(record):
        pass

    @app.on_exit
    def bye():
        print("bye", flush=True)

    def block():
        print("waiting", flush=True)
        time.sleep(60)

    async def hang():
        print("waiting", flush=True)
        await Event().wait()

    def stay():
        libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
        libc.pthread_mutex_lock(mutex)
        Timer(0.5, lambda: print("waiting", flush=True)).start()
        libc.pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("more", "let_go"),
    [("", "closed\nbye\n"), ("app.on_start(block)", "bye\n"), ("app.on_start(hang)", "bye\n")],
    ids=["source", "sync hook", "async hook"],
)
def test_a_signal_ends_a_start_that_waits(
    start_slip: Start, number: signal.Signals, more: str, let_go: str, write: Write
) -> None:
    """It does not wait for the deadline of the start: all is let go and the exit code is 0."""
    write("starting.py", STARTING, more)
    process = start_slip("run", "starting.py")
    assert read_line(process) == "waiting"
    began = time.monotonic()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=DEADLINE)
    assert time.monotonic() - began < 15
    assert (process.returncode, stdout) == (0, let_go)
    assert "Ended in order after " in stderr
    assert "Traceback" not in stderr


def test_a_second_signal_ends_a_start_that_no_signal_reaches(
    start_slip: Start, write: Write
) -> None:
    """A call into C that does not return is given up with the process."""
    write("starting.py", STARTING, "app.on_start(stay)")
    process = start_slip("run", "starting.py", "-q")
    assert read_line(process) == "waiting"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 130


def test_a_deadline_that_passes_ends_with_3(start_slip: Start, write: Write) -> None:
    """A handler that does not come to its end in time is given up: exit code 3."""
    write("slow.py", Path("waiting.py"), replace={"Limits()": "Limits(stop=0.3, close=0.3)"})
    process = start_slip("run", "slow.py", "-q")
    assert read_line(process) == "waiting"
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=DEADLINE)
    assert process.returncode == 3
    assert stderr.startswith("Error: Stopped after 0.3 s with unfinished work")


def wait_for_positions(directory: Path, records: int) -> None:
    """Until the state has the offset of the last of so many records."""
    file = SlipFile(directory / ".slip" / "slip.db")
    db = file.acquire_reader()
    end = time.monotonic() + DEADLINE
    while db.execute("SELECT sum(position) FROM positions").fetchall() != [(records - 1,)]:
        assert time.monotonic() < end, "they are not committed"
        time.sleep(0.05)
    db.close()
    file.close()


def test_after_a_kill_a_run_goes_on_where_it_was(
    start_slip: Start, write: Write, tmp_path: Path
) -> None:
    """kill -9 costs nothing that was committed: the counts of the next run build on it."""
    write("words.py", Path("counting.py"))
    expected = ["('to', 1)", "('be', 1)", "('or', 1)", "('not', 1)", "('to', 2)", "('be', 2)"]
    process = start_slip("run", "words.py", "-q")
    assert [read_line(process) for _ in expected] == expected
    wait_for_positions(tmp_path, len(expected))
    process.kill()
    process.wait(DEADLINE)
    again = start_slip("run", "words.py", "-q")
    first = ["('to', 3)", "('be', 3)", "('or', 2)", "('not', 2)", "('to', 4)", "('be', 4)"]
    assert [read_line(again) for _ in first] == first
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=DEADLINE)
    assert again.returncode == 0


# --- progress ------------------------------------------------------------------------------


def on_a_terminal(
    args: list[str], env: dict[str, str], cwd: Path, until: str, stdout: int | None = None
) -> str:
    """What `slip` writes to a terminal of 80 columns until a text is seen; then it is stopped."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "slipcore.cli", *args],
        cwd=cwd,
        env={**env, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + DEADLINE
    try:
        while until.encode() not in seen and time.monotonic() < deadline:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGTERM)
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not data:
                break
            seen += data
        assert process.wait(DEADLINE) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
    return seen.decode()


def test_a_terminal_is_shown_rate_and_time(
    tmp_path: Path, write: Write, slip_environment: dict[str, str]
) -> None:
    """On a terminal a line tells each source's records a second and the time since the start."""
    write("clock.py", Path("ticking.py"))
    seen = on_a_terminal(["run", "clock.py"], slip_environment, tmp_path, "/s")
    assert re.search(r"00:0\d  ticks \d+/s", seen)
    assert "tick\r\n" in seen


def test_output_that_is_piped_stays_apart_from_the_progress(
    tmp_path: Path, write: Write, slip_environment: dict[str, str]
) -> None:
    """With stdout in a file and stderr on a terminal, the file has the output and nothing else."""
    write("clock.py", Path("ticking.py"))
    with (tmp_path / "out.txt").open("w") as out:
        seen = on_a_terminal(
            ["run", "clock.py"], slip_environment, tmp_path, "/s", stdout=out.fileno()
        )
    assert set((tmp_path / "out.txt").read_text().splitlines()) == {"tick"}
    assert "tick\r\n" not in seen


def test_a_quiet_run_shows_no_progress(
    tmp_path: Path, write: Write, slip_environment: dict[str, str]
) -> None:
    """With -q nothing is drawn on the terminal."""
    write("clock.py", Path("ticking.py"))
    seen = on_a_terminal(["run", "clock.py", "-q"], slip_environment, tmp_path, "tick\r\n" * 30)
    assert set(seen.split()) == {"tick"}


def test_the_lag_of_a_topic_is_shown(
    tmp_path: Path, write: Write, slip_environment: dict[str, str]
) -> None:
    """A source that knows how far behind it is says so in the line."""
    write("words.py", Path("counting.py"))
    seen = on_a_terminal(["run", "words.py"], slip_environment, tmp_path, "lag")
    assert re.search(r"words \d+/s, lag 0", seen)
