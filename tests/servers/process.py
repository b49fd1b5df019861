"""A server as a process: started, stopped, killed, paused, and gone when the tests are."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.servers import leash

HOST = "127.0.0.1"
LOG_LINES = 25


class ServerError(Exception):
    """A server can't be had, does not come up, or is not in the state that was asked for."""


class Server(ABC):
    """One server of a directory of its own, on ports that stay the same while it comes and goes.

    Entered, it is started; left, it is killed and its directory is removed. That happens too when
    the process that made it ends in any other way.

    Args:
        title: what it is called in messages.
        patience: seconds it has to come up, and to stop.
    """

    def __init__(self, title: str, patience: float = 60.0) -> None:
        self.title = title
        self.patience = patience
        self._directory: Path | None = None
        self._leash: subprocess.Popen[str] | None = None
        self._pid: int | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Write what the server needs into its directory, before the first start."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; it runs in the directory."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether a real request is answered; an OSError means that it is not."""

    @property
    def directory(self) -> Path:
        """Where its files are, while it is entered."""
        if self._directory is None:
            raise ServerError(f"{self.title} has not been started: call start() first.")
        return self._directory

    @property
    def running(self) -> bool:
        """Whether its process is there, paused or not."""
        if self._pid is None:
            return False
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return False
        return True

    def start(self) -> Self:
        """Start it, on what it has written before if it has run, and wait until it answers."""
        if self.running:
            raise ServerError(f"{self.title} is running: call stop() or kill() first.")
        if self._leash is None:
            self._put_on_leash()
            self.prepare()
        self._pid = self._run(self.command())
        deadline = time.monotonic() + self.patience
        while not self._answers():
            if not self.running:
                raise ServerError(f"{self.title} ended instead of starting. {self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(
                    f"{self.title} did not answer within {self.patience:g} s. {self.log_tail()}"
                )
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it in order."""
        self._signal(signal.SIGTERM)
        if not self._gone():
            self.kill()
            raise ServerError(
                f"{self.title} did not stop within {self.patience:g} s. {self.log_tail()}"
            )

    def kill(self) -> None:
        """End it at once, as kill -9 and a crash do."""
        self._signal(signal.SIGKILL)
        self._gone()

    def pause(self) -> None:
        """Let it hang: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + self.patience
        while not self._stands_still() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _stands_still(self) -> bool:
        """Whether all its threads have stopped, where that can be seen."""
        threads = Path(f"/proc/{self._pid}/task")
        states = [file.read_text().rpartition(")")[2].split()[0] for file in threads.glob("*/stat")]
        return all(state == "T" for state in states)

    def resume(self) -> None:
        """Let it go on after `pause()`."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start it on the same ports and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Kill it if it runs, and remove its directory."""
        held, self._leash = self._leash, None
        self._pid = self._directory = None
        if held is None:
            return
        with suppress(BrokenPipeError):
            held.communicate()

    def log_tail(self) -> str:
        """The last that it printed, for a message."""
        log = self.directory / leash.LOG
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        if not lines:
            return "It printed nothing."
        return "The last it printed:\n" + "\n".join(lines[-LOG_LINES:])

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _put_on_leash(self) -> None:
        name = self.title.split()[0].lower()
        self._directory = Path(tempfile.mkdtemp(prefix=f"slipcore-{name}-"))
        self._leash = subprocess.Popen(
            [sys.executable, "-I", leash.__file__, str(self._directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the tests, which then let go
        )

    def _run(self, command: list[str]) -> int:
        assert self._leash is not None
        assert self._leash.stdin is not None
        assert self._leash.stdout is not None
        self._leash.stdin.write(json.dumps(command) + "\n")
        self._leash.stdin.flush()
        answer = self._leash.stdout.readline()
        if not answer:
            raise ServerError(f"{self.title} can't be started: {command[0]} does not run.")
        return int(answer)

    def _answers(self) -> bool:
        try:
            return self.answers()
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._pid is None or not self.running:
            raise ServerError(f"{self.title} is not running: call start() first.")
        os.kill(self._pid, number)

    def _gone(self) -> bool:
        deadline = time.monotonic() + self.patience
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, and that no outgoing connection takes.

    Those which the system hands out itself (on Linux 32768 and up) would do for the first start
    only: while a server is down, a client that calls it again may be given that very port.
    """
    found: list[int] = []
    while len(found) < number:
        # Redis adds 10000 for the bus of a cluster.
        port = random.randrange(10_000, 22_000)
        if port not in found and all(map(is_free, (port, port + 10_000))):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    """Whether nobody on this machine listens on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
