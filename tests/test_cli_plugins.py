"""`slip plugins`: names that two plugins want, and what a check finds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = """
from slipcore import hookimpl

@hookimpl
def register_sources(register):
    register("twice", "nowhere:Topic")

@hookimpl
def register_sinks(register):
    register("twice", "nowhere:Topic")

@hookimpl
def register_caches(register):
    register("{name}-cache", "nowhere:Store")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two distributions that register one topic backend, and one that is disabled or broken."""
    site = tmp_path / "site"
    for name in ("one", "two"):
        info = site / f"{name}_slip-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}_slip.py").write_text(PLUGIN.format(name=name))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-slip\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[slipcore]\n{name} = {name}_slip\n")
    return site


def test_a_name_that_two_plugins_want_is_told(slip: Slip, site: Path) -> None:
    """Both are listed, and a sentence names them and the way out, once."""
    result = slip("plugins", PYTHONPATH=str(site))
    assert result.returncode == 0
    assert "two      two-slip      1.0      loaded  topic: twice" in result.stdout
    told = " ".join(result.stdout.split())
    assert told.count("source or topic backend 'twice' is registered by one-slip:one and by ") == 1
    assert "disable one of them, e.g. with SLIP_DISABLE_PLUGINS=two-slip:two." in told
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_check_finds_names_that_are_wanted_twice(slip: Slip, site: Path) -> None:
    """Exit code 1 with the conflict, 0 when one of both is disabled."""
    assert slip("plugins", "--check", PYTHONPATH=str(site)).returncode == 1
    disabled = slip("plugins", "--check", PYTHONPATH=str(site), SLIP_DISABLE_PLUGINS="two")
    assert disabled.returncode == 0


def test_conflicts_as_json_have_stable_names(slip: Slip, site: Path) -> None:
    """Each of both plugins names the conflict, by kind."""
    rows = json.loads(slip("plugins", "--json", PYTHONPATH=str(site)).stdout)
    (one,) = [row for row in rows if row["name"] == "one"]
    assert one == {
        "name": "one",
        "distribution": "one-slip",
        "version": "1.0",
        "status": "loaded",
        "provides": {"source": ["twice"], "sink": ["twice"], "cache": ["one-cache"]},
        "reason": None,
        "conflicts": [
            {"kind": "source", "name": "twice", "owners": ["one-slip:one", "two-slip:two"]},
            {"kind": "sink", "name": "twice", "owners": ["one-slip:one", "two-slip:two"]},
        ],
    }


def test_a_backend_that_two_plugins_want_can_be_listed_and_not_shown(
    slip: Slip, site: Path
) -> None:
    """`slip backends` lists both; asked for the one, it says who they are, with exit code 2."""
    listed = slip("backends", "topic", "--json", PYTHONPATH=str(site)).stdout
    assert [row["distribution"] for row in json.loads(listed) if row["name"] == "twice"] == [
        "one-slip",
        "two-slip",
    ]
    shown = slip("backends", "topic", "twice", PYTHONPATH=str(site))
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "registered by one-slip:one and by two-slip:two" in shown.stderr
