"""What `slip doctor` is told of a directory. It is looked at, and left as it is."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

from slipcore.interfaces import ConnectError, Probed


def probe_source(path: str) -> Probed:
    """What there is to be read.

    Raises:
        ConnectError: the directory is not there.
    """
    directory = require_directory(Path(os.path.abspath(path)))
    return Probed(_described(directory), _version())


def probe_sink(path: str) -> Probed:
    """What has been written.

    Raises:
        ConnectError: nothing can be written there.
    """
    directory = Path(os.path.abspath(path))
    if not directory.exists():
        missing = f"the directory {directory} is not there yet; it is made at the first use"
        return Probed("no files yet", _version(), (missing,))
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        raise ConnectError(
            f"can't write to {directory}: it is no directory that this user may write to; name "
            f"another one with path"
        )
    return Probed(_described(directory), _version())


def require_directory(directory: Path) -> Path:
    """The directory, if it is there.

    Raises:
        ConnectError: it is not.
    """
    if not directory.is_dir():
        raise ConnectError(
            f"there is no directory {directory} to read Parquet files from: make it, or name "
            f"another one with path"
        )
    return directory


def _described(directory: Path) -> str:
    return f"{sum(1 for _ in directory.glob('[!._]*.parquet'))} Parquet files in {directory}"


def _version() -> str:
    return f"pyarrow {version('pyarrow')}"
