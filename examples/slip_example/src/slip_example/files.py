"""Files in a directory: written whole or not at all, and failures told in slipcore's words."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from pyarrow import ArrowException
from slipcore.interfaces import SlipError


@contextmanager
def translated(error: type[SlipError], doing: str) -> Iterator[None]:
    """Raise what the system and pyarrow raise as an error of slipcore.

    Args:
        error: its class.
        doing: what can't be done, e.g. "read the file x".
    """
    try:
        yield
    except OSError as reason:
        raise error(f"can't {doing}: {reason.strerror or reason}") from reason
    except (ArrowException, OverflowError) as reason:
        raise error(f"can't {doing}: {' '.join(str(reason).split())}") from reason


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that its name stands for all of it, durably, or for what was there before.

    Args:
        path: its name.
        write: writes it under the name that it is given.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(unfinished)
        _sync(unfinished)
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    _sync(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; another process that wants it waits."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def file_name(text: str) -> str:
    """Any text as part of a file's name: another text is another name."""
    return quote(text, safe="").replace(".", "%2E")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
