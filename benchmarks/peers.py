"""Other frameworks, in an environment of their own, so that none decides what another gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.common import ROOT, UnavailableError, progress

FOLDER: Final = ROOT / ".bench" / "venv"
WANTED: Final = Path(__file__).with_name("peers.txt")
STAMP: Final = FOLDER / "installed.txt"

_MISSING: Final = (
    "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
)


def versions() -> dict[str, str]:
    """What is pinned, name -> version."""
    lines = WANTED.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {name.partition("[")[0]: number for name, number in pairs}


@cache
def python(package: str) -> Path:
    """The interpreter of the peers, where this package can be imported.

    Raises:
        UnavailableError: it could not be installed.
    """
    interpreter = _environment()
    checked = subprocess.run([interpreter, "-c", _MISSING, package], check=False)
    if checked.returncode:
        raise UnavailableError(f"{package} can't be installed here for this Python")
    return interpreter


@cache
def _environment() -> Path:
    interpreter = FOLDER / "bin" / "python"
    wanted = WANTED.read_text(encoding="utf-8")
    if STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return interpreter
    progress(f"installing the other frameworks into {FOLDER.relative_to(ROOT)}")
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=True)
    if _install(interpreter, "--requirement", str(WANTED)):
        # One of them has nothing for this Python: it must not keep the others out.
        for line in wanted.splitlines():
            if line and not line.startswith("#"):
                _install(interpreter, line)
    STAMP.write_text(wanted, encoding="utf-8")
    return interpreter


def _install(interpreter: Path, *what: str) -> int:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = (
        [uv, "pip", "install", "--quiet", "--python", str(interpreter)]
        if uv
        else [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    )
    return subprocess.run([*command, *what], check=False, stdout=sys.stderr).returncode
