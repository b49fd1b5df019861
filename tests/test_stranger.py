"""Packages of people who have only what is published: installed, tested, and used by name.

They are built from copies outside of the checkout, in an environment that has the core as a wheel.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEADLINE = 240.0

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

pytestmark = pytest.mark.skipif(UV is None, reason="uv, which installs in a second, is not here")

NEWS = """
import asyncio, pathlib, pyarrow as pa, pyarrow.parquet as pq
from slipcore import Cache, Out, Sink, Source, handle, stream
from slip_example import origin

pathlib.Path("in").mkdir()
pq.write_table(pa.table({"n": range(10)}), "in/first.parquet")
rows, seen = Source("rows"), Cache("seen")

@handle(rows, sink=[Sink("doubled")])
def double(record):
    seen["rows"] = (seen["rows"] or 0) + 1
    return Out({"n": 2 * record.value["n"]}, headers=origin(record))

asyncio.run(stream())
(path,) = pathlib.Path("out").glob("*.parquet")
print(pq.ParquetFile(path).read().column("n").to_pylist(), seen["rows"])
"""

CONFIG = """
[defaults]
cache = "nats"
[sources.rows]
backend = "parquet"
path = "in"
[sinks.doubled]
backend = "parquet"
path = "out"
"""


@dataclass(frozen=True)
class Shell:
    """A shell in which an environment is activated.

    Attributes:
        place: where its commands are typed.
    """

    place: Path
    environment: Path

    def type(self, command: str, *, at: str = ".") -> str:
        """What a command prints; it has to end well."""
        folder = self.environment / ("Scripts" if os.name == "nt" else "bin")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLIP_", "PYTEST_"))}
        kept.pop("PYTHONPATH", None)
        path = [str(folder), str(Path(UV or "").parent), kept["PATH"]]
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.place / at,
            env={**kept, "VIRTUAL_ENV": str(self.environment), "PATH": os.pathsep.join(path)},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def next_commands(self, command: str) -> list[str]:
        """What `slip new` says is to be typed next, without what it says of each."""
        told = self.type(command).partition("\nNext:\n")[2]
        return [line.partition("  # ")[0].strip() for line in told.splitlines()]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """An environment with the core, its kit and slip_example, none of them from where they stand.

    It has no pip, as uv makes them.
    """
    place = tmp_path_factory.mktemp("stranger")
    shell = Shell(place, place / "environment")
    ignored = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(ROOT / "examples" / "slip_example", place / "slip_example", ignore=ignored)
    shell.type(f'uv venv --quiet --python "{sys.executable}" environment')
    # What was built before from this checkout may be of another day.
    shell.type(
        f'uv pip install --quiet --refresh-package slipcore "{ROOT}[cli,testing]" '
        f"./slip_example[testing]"
    )
    yield shell
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def new_plugin(shell: Shell) -> str:
    """What the contract tests of a plugin said that has just been written."""
    install, test, listing = shell.next_commands("slip new plugin slip-nats")
    shell.type(install)
    assert "nats     slip-nats" in shell.type(listing)
    return shell.type(test)


def test_the_core_is_no_checkout(shell: Shell) -> None:
    """What is tested here is what a wheel has."""
    place = shell.type('python -c "import slipcore; print(slipcore.__file__)"').strip()
    assert Path(place).is_relative_to(shell.environment)


def test_slip_example_passes_its_tests(shell: Shell) -> None:
    """The contract kit, its own behaviours, and a pipeline that is killed over and over."""
    said = shell.type("python -m pytest -q -p no:cacheprovider slip_example")
    assert " passed" in said.splitlines()[-1]
    assert " failed" not in said


def test_a_new_plugin_passes_its_tests(new_plugin: str) -> None:
    """The commands that `slip new plugin` tells are typed; what is not offered is said."""
    assert " passed" in new_plugin.splitlines()[-1]
    assert "not offered: partitions" in new_plugin


def test_a_new_app_passes_its_tests(shell: Shell) -> None:
    """And its plan names its configuration."""
    enter, send, _, test = shell.next_commands("slip new app shop")
    assert enter == "cd shop"
    shell.type(send, at="shop")
    assert "2 passed" in shell.type(test, at="shop")
    plan = json.loads(shell.type("slip plan shop.py --json", at="shop"))
    assert Path(plan["config"]) == shell.place / "shop" / "slip.toml"


@pytest.mark.usefixtures("new_plugin")
def test_both_are_used_by_name(shell: Shell) -> None:
    """A source and a sink of one, a cache of the other, chosen in slip.toml."""
    (shell.place / "news").mkdir()
    (shell.place / "news" / "slip.toml").write_text(CONFIG)
    (shell.place / "news" / "news.py").write_text(NEWS)
    assert shell.type("python news.py", at="news").splitlines()[-1] == (
        "[0, 2, 4, 6, 8, 10, 12, 14, 16, 18] 10"
    )


@pytest.mark.usefixtures("new_plugin")
def test_both_are_listed(shell: Shell) -> None:
    """With who brings them, and nothing is wrong with any."""
    found = json.loads(shell.type("slip plugins --json --check"))
    assert [(p["name"], p["distribution"], p["status"], p["provides"]) for p in found[1:]] == [
        ("nats", "slip-nats", "loaded", {"source": ["nats"], "sink": ["nats"], "cache": ["nats"]}),
        ("parquet", "slip-example", "loaded", {"source": ["parquet"], "sink": ["parquet"]}),
    ]
