"""The command line as tests call it: processes of their own, in a directory of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from slipcore import App
from slipcore.config import Config
from slipcore.plugins import Plugins

APPS = Path(__file__).parent / "apps"
SLIP = [sys.executable, "-m", "slipcore.cli"]
KEPT = {"n0": 0, "n1": 10, "n2": 20}
DEADLINE = 60.0
"""Seconds after which a process that has not ended never will."""


@pytest.fixture
def slip_environment() -> dict[str, str]:
    """The environment without settings of slipcore."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLIP_")}
    return {**kept, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of the test's directory: texts one after the other, a path being its text.

    `replace=` are pairs of what is to be put in the place of what.
    """

    def call(name: str, *texts: str | Path, replace: dict[str, str] | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(
            (APPS / part).read_text(encoding="utf-8") if isinstance(part, Path) else dedent(part)
            for part in texts
        )
        for old, new in (replace or {}).items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        return path

    return call


@pytest.fixture
def slip(
    tmp_path: Path, slip_environment: dict[str, str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `slip` in the test's directory until it ends; keywords are variables."""

    def call(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SLIP, *args],
            cwd=tmp_path,
            env={**slip_environment, **env},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    return call


@pytest.fixture
def start_slip(
    tmp_path: Path, slip_environment: dict[str, str]
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `slip` in the test's directory and hand the process over while it runs."""
    started: list[subprocess.Popen[str]] = []

    def call(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*SLIP, *args],
            cwd=tmp_path,
            env=slip_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_back(directory: Path) -> dict[str, Any]:
    """What the cache `kept` holds, read by an app of its own."""
    app = App("reader", config=Config.load(directory, {}), plugins=Plugins(entry_points=[]))
    try:
        return dict(app.cache("kept").items())
    finally:
        app.close()


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory that an app has committed to and left in order."""
    directory = tmp_path_factory.mktemp("state")
    app = App("keeping", config=Config.load(directory, {}), plugins=Plugins(entry_points=[]))
    cache = app.cache("kept")
    for key, value in KEPT.items():
        cache[key] = value
    app.close()
    return directory / ".slip"


@pytest.fixture
def committed(tmp_path: Path, state: Path) -> Iterator[Path]:
    """The test's directory with that state in it, which is whole when the test is over."""
    shutil.copytree(state, tmp_path / ".slip")
    yield tmp_path
    assert read_back(tmp_path) == KEPT
