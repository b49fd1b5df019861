"""A hundred plugins cost little more than the import of their light modules."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COUNT = 100
ROUNDS = 6
PLUGIN = """
from slipcore import hookimpl


@hookimpl
def register_sources(register):
    register("n{n}", "slip_n{n}.client:Topic", options="slip_n{n}.client:Options", summary="one")


@hookimpl
def register_sinks(register):
    register("n{n}", "slip_n{n}.client:Topic", options="slip_n{n}.client:Options", summary="one")
"""
METADATA = """\
Metadata-Version: 2.4
Name: slip-n{n}
Version: 1.{n}
Summary: The plugin number {n}
Requires-Python: >=3.11
Requires-Dist: httpx>=0.27
Requires-Dist: slipcore<1,>=0.1
Description-Content-Type: text/markdown

# slip-n{n}
"""

LISTED = """
from time import process_time
import slipcore.plugins
began = process_time()
plugins = slipcore.plugins.Plugins.from_env({}).report()
print(process_time() - began)
assert sum(p.name.startswith("n") and p.status == "loaded" for p in plugins) == 100
"""
IMPORTED = """
from time import process_time
import slipcore.plugins
began = process_time()
import importlib, importlib.metadata
for n in range(100):
    importlib.import_module(f"slip_n{n}.plugin")
print(process_time() - began)
"""
UNUSED = """
import sys
from slipcore.plugins import Plugins
Plugins.from_env({}).report()
ours = {name for name in sys.modules if name.startswith("slip_n")}
print(sorted(name for name in ours if name.endswith(".client")))
print(sorted({"aiokafka", "rocksdict", "redis", "fastavro", "sqlite3"} & set(sys.modules)))
print(len(ours))
"""


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a process that has a hundred distributions on its path."""
    site = tmp_path_factory.mktemp("site")
    for n in range(COUNT):
        package, info = site / f"slip_n{n}", site / f"slip_n{n}-1.{n}.dist-info"
        package.mkdir()
        info.mkdir()
        (package / "__init__.py").write_text("")
        (package / "plugin.py").write_text(PLUGIN.format(n=n))
        (package / "client.py").write_text("raise AssertionError('nobody asked for it')")
        (info / "METADATA").write_text(METADATA.format(n=n) + "Some words of a readme.\n" * 100)
        (info / "entry_points.txt").write_text(f"[slipcore]\nn{n} = slip_n{n}.plugin\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLIP_", "PYTHON"))}
    bytecode = tmp_path_factory.mktemp("bytecode")
    return {**kept, "PYTHONPATH": str(site), "PYTHONPYCACHEPREFIX": str(bytecode)}


def said(code: str, environ: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def seconds(code: str, environ: dict[str, str]) -> float:
    return float(said(code, environ)[0])


def test_listing_a_hundred_plugins_is_quick(environ: dict[str, str]) -> None:
    """They take some 50 ms of a processor, most of it for the imports that nobody can save."""
    rounds = [(seconds(LISTED, environ), seconds(IMPORTED, environ)) for _ in range(ROUNDS)]
    listing, imports = (min(times) for times in zip(*rounds, strict=True))
    assert listing < 0.2
    assert listing < 2.5 * imports


def test_listing_a_hundred_plugins_imports_nothing_unused(environ: dict[str, str]) -> None:
    """Neither a client library nor the modules of their backends: package and plugin each."""
    assert said(UNUSED, environ) == ["[]", "[]", str(2 * COUNT)]
