"""Workers as processes: started, stopped, frozen, killed, and what they have said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tests.faults
from tests.faults.wanted import Wanted

ROOT: Final = Path(tests.faults.__path__[0]).parent.parent
WORKER: Final = ROOT / "tests" / "faults" / "worker.py"
LOG_LINES: Final = 30

_METADATA = "Metadata-Version: 2.1\nName: slipcore-faults\nVersion: 0.1\n"
_ENTRY_POINTS = "[slipcore]\nfaults = tests.faults.plugin\n"


class FaultError(Exception):
    """A run has not gone as it has to, or can't be made."""


class Worker:
    """A process that runs the worker's app.

    Attributes:
        name: what it marks its outputs with.
    """

    def __init__(self, wanted: Wanted, directory: Path, settings: Mapping[str, str]) -> None:
        self.wanted = wanted
        self.name = wanted.name
        self._log = directory / f"{wanted.name}.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLIP_", "FAULTS_"))}
        path = os.pathsep.join((str(plugin_path(directory)), str(ROOT)))
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "slipcore.cli", "run", str(WORKER), "--quiet"],
                cwd=directory,
                env={**kept, **wanted.environment(), **settings, "PYTHONPATH": path},
                stdin=subprocess.PIPE,  # with its end the worker ends, however the yard does
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        """Kill it if it runs, and let go of its end of the pipe."""
        if self.alive:
            self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text(errors="replace")

    def told(self) -> str:
        """The last that it said, for a message."""
        lines = "\n".join(self.log.splitlines()[-LOG_LINES:])
        return f"{self.name} (exit code {self.process.poll()}) said last:\n{lines}"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit code.

        Raises:
            FaultError: it has not ended by then.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise FaultError(f"A worker does not end within {seconds:g} s. {self.told()}") from None

    def until_started(self) -> None:
        """Wait until it has begun, and takes signals."""
        self.until_said("is process")

    def held(self) -> tuple[int, int]:
        """How many file descriptors it has open, and how many bytes of memory it has."""
        proc = Path(f"/proc/{self.process.pid}")
        pages = int((proc / "statm").read_text(encoding="ascii").split()[1])
        return len(os.listdir(proc / "fd")), pages * os.sysconf("SC_PAGE_SIZE")

    def until_said(self, text: str, seconds: float = 30.0) -> None:
        """Wait until its log has a text.

        Raises:
            FaultError: it ends without, or does not say it.
        """
        deadline = time.monotonic() + seconds
        while text not in self.log:
            if not self.alive or time.monotonic() > deadline:
                raise FaultError(f'A worker did not say "{text}". {self.told()}')
            time.sleep(0.02)


def plugin_path(directory: Path) -> Path:
    """A directory that, on the path, makes the yard's plugin an installed one."""
    site = directory / "site"
    info = site / "slipcore_faults-0.1.dist-info"
    if not info.exists():
        info.mkdir(parents=True)
        (info / "METADATA").write_text(_METADATA, encoding="utf-8")
        (info / "entry_points.txt").write_text(_ENTRY_POINTS, encoding="utf-8")
    return site
