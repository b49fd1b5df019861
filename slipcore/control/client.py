"""To ask a running app something, from another process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from slipcore.control.places import connect, sockets
from slipcore.control.report import AppStatus
from slipcore.errors import SlipError

LAST_SECONDS: Final = 1.0
"""Between the end of a run and that of its process; an app may run in one that goes on."""


class NotRunningError(SlipError):
    """No app of that name runs there."""


class NotAnsweringError(SlipError):
    """A running app does not answer within the deadline."""


class RefusedError(SlipError):
    """A running app answers that it can't do what it is asked for."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an app is asked for.

    Attributes:
        do: "status", "pause", "resume" or "stop".
        sources: which ones to pause or resume; none: all.
        timeout: seconds for the app's event loop to do it.
    """

    do: str
    sources: list[str] = []
    timeout: float = 5.0


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an app says to a request.

    Attributes:
        sources: what was paused or resumed.
        error: why not, where it was not done.
        late: whether it will be done later.
    """

    app: str
    pid: int
    status: AppStatus | None = None
    sources: list[str] = []
    error: str | None = None
    late: bool = False


class Connection:
    """A running app, asked once.

    Args:
        timeout: seconds for the answer.
    """

    def __init__(self, path: Path, request: Request, timeout: float) -> None:
        self.path = path
        self._deadline = time.monotonic() + timeout
        self._timeout = timeout
        self._socket = connect(path, timeout)
        self._socket.sendall(msgspec.json.encode(request) + b"\n")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def answer(self) -> Answer:
        """What it says.

        Raises:
            NotAnsweringError: nothing, in time.
            NotRunningError: it ended meanwhile.
        """
        line = b""
        while not line.endswith(b"\n"):
            self._wait_at_most()
            try:
                data = self._socket.recv(65536)
            except TimeoutError as error:
                raise self._silent() from error
            except ConnectionError:
                data = b""
            if not data:
                raise NotRunningError(f"The app behind {self.path} has ended.")
            line += data
        return msgspec.json.decode(line, type=Answer)

    def wait_for_end(self, pid: int) -> None:
        """Wait until the app's run is over, and for a moment until its process has ended.

        Raises:
            NotAnsweringError: it is still there at the deadline.
        """
        try:
            self._wait_at_most()
            while self._socket.recv(65536):
                self._wait_at_most()
        except TimeoutError as error:
            raise NotAnsweringError(
                f"The app behind {self.path} has not ended within {self._timeout:g} s; it is "
                "stopping still."
            ) from error
        except ConnectionError:
            pass
        moment = min(self._deadline, time.monotonic() + LAST_SECONDS)
        while _is_there(pid) and time.monotonic() < moment:
            time.sleep(0.01)

    def _wait_at_most(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._silent()
        self._socket.settimeout(left)

    def _silent(self) -> NotAnsweringError:
        return NotAnsweringError(
            f"The app behind {self.path} does not answer within {self._timeout:g} s; its process "
            "may be stopped or stuck."
        )


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def running(state_dir: Path, app: str | None, request: Request, timeout: float) -> list[Connection]:
    """Connections to what runs in a state directory, each having been asked.

    Args:
        app: its name; None: all of them.

    Raises:
        NotAnsweringError: it does not take a connection in time.
        RefusedError: it is another user's.
    """
    found: list[Connection] = []
    for path in _sockets(state_dir, app):
        try:
            found.append(Connection(path, request, timeout))
        except (ConnectionRefusedError, FileNotFoundError, BrokenPipeError):
            continue
        except PermissionError as error:
            raise _not_yours(path) from error
        except TimeoutError as error:
            raise NotAnsweringError(
                f"The app behind {path} takes no connection within {timeout:g} s; its process may "
                "be stopped or stuck."
            ) from error
    return found


def _sockets(state_dir: Path, app: str | None) -> list[Path]:
    try:
        return sockets(state_dir, app)
    except PermissionError as error:
        raise _not_yours(state_dir) from error


def _not_yours(path: Path) -> RefusedError:
    return RefusedError(f"{path} belongs to another user: ask as the user that runs the app.")
