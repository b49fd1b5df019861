"""One fresh environment with the core and all of the small distributions, and `slip` in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .distributions import ALL, DAMAGED

ROOT = Path(__file__).parent.parent.parent
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
DEADLINE = 240.0

APP = """
from slipcore import Topic, handle


async def numbers():
    yield 1
    yield 2


@handle(numbers(), sink=[Topic("orders"), Topic("others")])
def show(number):
    print(number)
    return number
"""

SETTINGS = """
[topics.orders]
backend = "memory"
codec = "alpha"

[topics.others]
backend = "memory"
codec = "zeta"
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        bytecode: where its processes keep theirs.
    """

    folder: Path
    bytecode: Path

    @property
    def python(self) -> Path:
        return self._program("python")

    @property
    def slip(self) -> Path:
        return self._program("slip")

    def _program(self, name: str) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin") / name

    def run(
        self, *command: str | Path, cwd: Path = ROOT, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without what this process was told by its own environment."""
        ours = ("SLIP_", "PYTHON", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={
                **kept,
                "PYTHONIOENCODING": "utf-8",
                "PYTHONPYCACHEPREFIX": str(self.bytecode),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )


Slip = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment that pip, or uv, has installed the core and all distributions into."""
    folder = tmp_path_factory.mktemp("isolation")
    made = Environment(folder / "venv", folder / "bytecode")
    sources = [dist.write(folder / "sources") for dist in ALL]
    if UV is None:
        create: list[str | Path] = [sys.executable, "-m", "venv", made.folder]
        install: list[str | Path] = [made.python, "-m", "pip", "install", "--quiet"]
    else:
        create = [UV, "venv", "--quiet", "--python", sys.executable, made.folder]
        install = [UV, "pip", "install", "--quiet", "--python", made.python]
    unresolved = ["--no-deps", "--no-build-isolation"]  # one needs a core that there is not yet
    for command in (
        create,
        [*install, "hatchling>=1.24", "-e", f"{ROOT}[cli]"],
        [*install, *unresolved, *sources],
    ):
        done = made.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    (damaged,) = made.folder.rglob(f"{DAMAGED.package}-*.dist-info/entry_points.txt")
    damaged.write_bytes(b"[slipcore]\ndamaged\n")
    return made


@pytest.fixture
def slip(environment: Environment, tmp_path: Path) -> Slip:
    """Run `slip` in a directory with an app whose two topics are on working plugins' codecs."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "slip.toml").write_text(SETTINGS)

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return environment.run(environment.slip, *arguments, cwd=tmp_path, **variables)

    return call
