"""A contender as a process: started, looked at from outside, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Final

from benchmarks.common import ROOT

PATIENCE: Final = 15.0
"""Seconds a contender has to end in order."""
TICK: Final = os.sysconf("SC_CLK_TCK")


class Process:
    """One contender that runs.

    Attributes:
        idle: bytes of memory it held before it had done anything.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self.idle = 0
        self._cpu_began = 0.0
        self._listener: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def read_idle(self) -> None:
        """Note what it says that it holds at first: a line of its output."""

        def listen() -> None:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                if line.strip().isdecimal() and not self.idle:
                    self.idle = int(line)

        self._listener = threading.Thread(target=listen, daemon=True)
        self._listener.start()

    def begin(self) -> None:
        """Count its CPU time from here."""
        self._cpu_began = self._cpu()

    def cpu_seconds(self) -> float:
        """Seconds of CPU, its threads' and the kernel's for it, since `begin`."""
        return self._cpu() - self._cpu_began

    def peak(self) -> int:
        """Bytes of memory that it has held at the most."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
            if found := re.search(r"VmHWM:\s+(\d+) kB", status):
                return int(found[1]) * 1024
        return 0

    def _cpu(self) -> float:
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
            words = stat.rpartition(")")[2].split()
            return (int(words[11]) + int(words[12])) / TICK
        return 0.0

    def last_words(self) -> str:
        """The first error that it has printed to stderr, else the last line."""
        said = self._log.read_text(encoding="utf-8", errors="replace").strip()
        error = re.search(r"^[\w.]*(Error|Exception)\b.*", said, re.MULTILINE)
        last = error[0] if error else said.rpartition("\n")[2]
        return last[:160] or "it said nothing"

    def end(self) -> None:
        """End it, in order if it can."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.lives:
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(PATIENCE)
        if self._listener is not None:
            self._listener.join(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextlib.contextmanager
def running(command: Sequence[str | Path], *words: str) -> Iterator[Process]:
    """Run a contender in a folder of its own until the block is left.

    Args:
        words: its arguments; the folder comes last.
    """
    folder = Path(tempfile.mkdtemp(prefix="slipcore-bench-"))
    log = folder / "stderr.txt"
    state = folder / "state"
    state.mkdir()
    environment = {name: value for name, value in os.environ.items() if "SLIP_" not in name}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, *words, str(state)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    contender = Process(process, log)
    try:
        contender.read_idle()
        yield contender
    finally:
        contender.end()
        rmtree(folder, ignore_errors=True)
