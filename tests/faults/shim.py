"""A wrong clock, a slow disk and a full one for a worker, changed while it runs."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.faults.workers import FaultError

SOURCE: Final = Path(__file__).with_name("shim.c")
_FIELDS: Final = ("clock", "stands", "sync", "full")
_NUMBER: Final = struct.Struct("<q")


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc")


MISSING: Final = None if compiler() else "there is no C compiler"


class Shim:
    """A library that a worker is started with, and the file by which it is told what to do.

    Args:
        directory: of the run.
        below: where files can't grow while the disk is full.
    """

    def __init__(self, directory: Path, below: Path | None = None) -> None:
        self._library = directory / "shim.so"
        command = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-o", str(self._library)]
        command += [str(SOURCE), "-ldl"]
        built = subprocess.run(command, check=False, capture_output=True, text=True)
        if built.returncode:
            raise FaultError(f"The shim does not compile: {built.stderr}")
        self._control = directory / "shim.control"
        self._control.write_bytes(bytes(_NUMBER.size * len(_FIELDS)))
        self._below = below or directory
        with self._control.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a worker is started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAULTS_CONTROL": str(self._control),
            "FAULTS_DIRECTORY": os.path.realpath(self._below),
        }

    def step_clock(self, seconds: float) -> None:
        """Let the wall clock be ahead of the right time."""
        self._set("stands", 0)
        self._set("clock", round(seconds * 1e9))

    def stop_clock(self) -> None:
        """Let the wall clock stand where it is."""
        self._set("stands", time.time_ns())

    def slow_disk(self, seconds: float) -> None:
        """Let each sync of a file take so much longer."""
        self._set("sync", round(seconds * 1e6))

    def fill_disk(self) -> None:
        """Let no file grow, nor be written over."""
        self._set("full", 1)

    def free_disk(self) -> None:
        self._set("full", 0)

    def _set(self, field: str, value: int) -> None:
        _NUMBER.pack_into(self._shared, _FIELDS.index(field) * _NUMBER.size, value)

    def close(self) -> None:
        self._shared.close()
