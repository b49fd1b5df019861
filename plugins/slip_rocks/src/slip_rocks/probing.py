"""Asking whether databases are there and of use, without opening one, which changes it."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from slip_rocks.place import Place
from slipcore.interfaces import Probed


def probe(kind: Literal["state", "checkpoints"], paths: Collection[Path]) -> Probed:
    """Look at the directories.

    Raises:
        StateFormatError: one is another program's, or of another format.
        ConnectError: one can't be read, or neither written nor made.
    """
    import rocksdict  # noqa: F401  # that it is installed and loads is a part of the answer

    missing = [path for path in sorted(set(paths)) if not Place(path, kind).look()]
    found = version("rocksdict")
    return Probed(
        f"rocksdict {found}",
        found,
        tuple(f"{path} is not there yet; it is made at the first use" for path in missing),
    )
