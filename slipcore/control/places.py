"""Where the sockets of running apps are: in the state directory, each with a name of its own."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FOLDER: Final = "run"

try:
    import fcntl
except ImportError:  # a platform that has no such locks has no such sockets either
    HAS_SOCKETS = False
else:
    HAS_SOCKETS = hasattr(socket, "AF_UNIX")

_BACKLOG: Final = 16
_NAME_LENGTH: Final = 48
_ADDRESS_LENGTH: Final = 100
"""Bytes that a socket's address may have on every platform, about."""


def claim(state_dir: Path, app: str) -> tuple[socket.socket, Path]:
    """A listening socket that only the owner may use, and its path.

    What a killed app has left is replaced; an app of the same name that runs keeps its own.

    Raises:
        OSError: it can't be made there.
    """
    folder = state_dir / FOLDER
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    with _locked(folder):
        number = 1
        while is_answered(path := folder / _file_name(app, number)):
            number += 1
        path.unlink(missing_ok=True)
        with _address(path) as address:
            listening = socket.socket(socket.AF_UNIX)
            try:
                listening.bind(address)
                path.chmod(0o600)
                listening.listen(_BACKLOG)
            except BaseException:
                listening.close()
                raise
        return listening, path


def sockets(state_dir: Path, app: str | None = None) -> list[Path]:
    """The sockets of an app, or of all, in the order of their names; some may be dead.

    Raises:
        PermissionError: they are another user's.
    """
    try:
        names = [path.name for path in (state_dir / FOLDER).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    wanted = re.escape(_stem(app)) if app is not None else ".*"
    pattern = re.compile(rf"{wanted}(\.\d+)?\.sock")
    return [state_dir / FOLDER / name for name in sorted(names) if pattern.fullmatch(name)]


def connect(path: Path, timeout: float) -> socket.socket:
    """A connection to a running app.

    Raises:
        ConnectionRefusedError, FileNotFoundError: no app listens there.
        PermissionError: it is another user's.
        TimeoutError: it does not answer.
    """
    with _address(path) as address:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(address)
        except BlockingIOError as error:  # so many wait for it that no more may
            connection.close()
            raise TimeoutError from error
        except BaseException:
            connection.close()
            raise
        return connection


def is_answered(path: Path) -> bool:
    """Whether an app listens at a socket, even if it is too busy to answer."""
    try:
        connect(path, timeout=1.0).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError as error:
        return error.errno != errno.ENOTSOCK
    return True


def _stem(app: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", app)[:_NAME_LENGTH] or "_"


def _file_name(app: str, number: int) -> str:
    return f"{_stem(app)}.sock" if number == 1 else f"{_stem(app)}.{number}.sock"


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path as the system takes it: it has no room for long ones."""
    if len(os.fsencode(path)) <= _ADDRESS_LENGTH or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One that starts must not take a socket for dead which another one is just making."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)
