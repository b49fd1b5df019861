"""What is installed: this checkout and nobody else's, with nothing that was not asked for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PLUGINS = ("kafka", "rocks", "redis", "avro")
DISTRIBUTIONS = ("slipcore", *(f"slip-{name}" for name in PLUGINS))
DEADLINE = 240.0

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
needs_uv = pytest.mark.skipif(UV is None, reason="uv, which installs in a second, is not here")

INSTALLED = """if True:
    import importlib.metadata, json, sys
    import slipcore
    from slipcore import App, Topic
    from slipcore.plugins import Plugins
    clients = {"aiokafka", "rocksdict", "redis", "fastavro", "click", "rich", "pytest"}
    ours = [d for d in importlib.metadata.distributions() if d.name.startswith("slip")]
    print(json.dumps({
        "plugins": {p.name: p.status for p in Plugins.from_env({}).report()},
        "imported": sorted(clients & set(sys.modules)),
        "versions": {d.name: d.version for d in ours},
        "local": sorted(
            d.name for d in ours
            if json.loads(d.read_text("direct_url.json") or "{}").get("url", "").startswith("file:")
        ),
    }))
"""


def project(name: str) -> dict[str, Any]:
    """The `[project]` of a distribution's pyproject.toml."""
    folder = ROOT if name == "slipcore" else ROOT / "plugins" / name.replace("-", "_")
    content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["project"]
    return found


def requirements(name: str) -> list[Requirement]:
    found = project(name)
    extras = found.get("optional-dependencies", {}).values()
    texts = [*found.get("dependencies", ()), *(text for extra in extras for text in extra)]
    return [Requirement(text) for text in texts]


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command as in a shell of its own, without this environment, and give its output."""
    environ = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def uv_venv(directory: Path) -> Path:
    """A new environment made by uv; its Python."""
    assert UV is not None
    run(UV, "venv", "--quiet", "--python", sys.executable, directory)
    return python_of(directory)


def python_of(directory: Path) -> Path:
    folder = "Scripts" if os.name == "nt" else "bin"
    return directory / folder / "python"


def installed(python: Path, cwd: Path) -> dict[str, Any]:
    """What an environment has of this project, seen from somewhere else."""
    found: dict[str, Any] = json.loads(run(python, "-c", INSTALLED, cwd=cwd))
    return found


def environment_of(*plugins: str) -> dict[str, Any]:
    """What `installed` gives for the core and these plugins, from this checkout alone."""
    names = ["slipcore", *(f"slip-{name}" for name in plugins)]
    return {
        "plugins": {"builtin": "loaded"} | dict.fromkeys(sorted(plugins), "loaded"),
        "imported": [],
        "versions": dict.fromkeys(names, "0.1.0"),
        "local": sorted(names),
    }


# --- what the distributions say -----------------------------------------------------------


def test_all_distributions_have_one_version() -> None:
    """The core and its plugins are released together."""
    assert {name: project(name)["version"] for name in DISTRIBUTIONS} == dict.fromkeys(
        DISTRIBUTIONS, "0.1.0"
    )


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_what_they_require_of_each_other_is_capped(name: str) -> None:
    """A requirement within the project takes this version and can't take an unrelated 1 or 3."""
    siblings = [r for r in requirements(name) if r.name in DISTRIBUTIONS and not r.extras]
    assert siblings
    for requirement in siblings:
        assert requirement.specifier.contains(Version("0.1.0"))
        assert not requirement.specifier.contains(Version("1.0"))
        assert not requirement.specifier.contains(Version("3.1.1"))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_no_distribution_can_be_uploaded(name: str) -> None:
    """Until the project has a name of its own, the classifier makes an upload fail."""
    assert "Private :: Do Not Upload" in project(name)["classifiers"]


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_announces_its_module(name: str) -> None:
    """The entry point is the plugin module, and its client libraries are its dependencies."""
    found = project(f"slip-{name}")
    assert found["entry-points"] == {"slipcore": {name: f"slip_{name}.plugin"}}
    clients = {
        "kafka": {"aiokafka"},
        "rocks": {"rocksdict"},
        "redis": {"redis"},
        "avro": {"fastavro", "aiohttp"},
    }
    assert {r.name for r in requirements(f"slip-{name}")} == {*clients[name], "slipcore"}


def test_every_plugin_has_an_extra() -> None:
    """slipcore[kafka] is slip-kafka, and slipcore[all] has all of them."""
    extras = project("slipcore")["optional-dependencies"]
    for name in PLUGINS:
        assert [Requirement(text).name for text in extras[name]] == [f"slip-{name}"]
    assert Requirement(extras["all"][0]).extras >= set(PLUGINS)


def test_the_core_requires_no_client_library() -> None:
    """Two small libraries."""
    core = [Requirement(text).name for text in project("slipcore")["dependencies"]]
    assert sorted(core) == ["msgspec", "pluggy"]


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("plugins/*/*.md")))
def test_documented_installs_name_local_paths(page: Path) -> None:
    """Nobody is told to install this project by a name that somebody else has."""
    for command in re.findall(r"pip install ([^\n`#]+)", page.read_text(encoding="utf-8")):
        for word in shlex.split(command):
            local = word.startswith(("-", ".", "plugins/")) or (ROOT / word).exists()
            assert local, f"{page.name}: pip install {command}"


# --- what is installed here ---------------------------------------------------------------


def test_this_environment_has_the_checkout() -> None:
    """The core under test is the checkout's, editable, not a package of the same name."""
    core = distribution("slipcore")
    direct = json.loads(core.read_text("direct_url.json") or "{}")
    assert Version(core.version) < Version("1")
    assert direct["dir_info"] == {"editable": True}
    assert Path(direct["url"].removeprefix("file://")).samefile(ROOT)


# --- new environments ---------------------------------------------------------------------


def test_the_core_and_two_plugins_by_pip(tmp_path: Path) -> None:
    """With plain pip, one command installs core, extras and plugins from the checkout."""
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = python_of(tmp_path / "venv")
    command = "install --quiet -e .[kafka,rocks] -e plugins/slip_kafka -e plugins/slip_rocks"
    run(python, "-m", "pip", *command.split())
    run(python, "-m", "pip", "check")
    assert installed(python, tmp_path) == environment_of("kafka", "rocks")


@needs_uv
def test_the_core_alone(tmp_path: Path) -> None:
    """Without extras the core imports, lists its plugins, and leaves clients and extras alone."""
    python = uv_venv(tmp_path / "venv")
    run(UV or "", "pip", "install", "--quiet", "--python", python, "-e", ".")
    assert installed(python, tmp_path) == environment_of()
    told = subprocess.run(
        [python, "-m", "slipcore.cli"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "slipcore[cli]" in told.stderr


@needs_uv
@pytest.mark.parametrize(
    ("arguments", "plugins"),
    [
        ("-e .[kafka,rocks] -e plugins/slip_kafka -e plugins/slip_rocks", ("kafka", "rocks")),
        ("-e .[redis,avro]", ("redis", "avro")),
        ("-e plugins/slip_avro", ("avro",)),
        ("-e . -e plugins/slip_redis", ("redis",)),
    ],
)
def test_plugins_by_uv(tmp_path: Path, arguments: str, plugins: tuple[str, ...]) -> None:
    """uv takes the checkout's distributions, even for extras and for the core itself."""
    python = uv_venv(tmp_path / "venv")
    run(UV or "", "pip", "install", "--quiet", "--python", python, *arguments.split())
    assert installed(python, tmp_path) == environment_of(*plugins)


@needs_uv
def test_what_is_built(tmp_path: Path) -> None:
    """Archives have the package and no more, and their wheels install together."""
    assert UV is not None
    run(UV, "build", "--quiet", "--all-packages", "--out-dir", tmp_path / "dist")
    with tarfile.open(tmp_path / "dist" / "slipcore-0.1.0.tar.gz") as archive:
        tops = {Path(name).parts[1] for name in archive.getnames()}
    assert tops == {
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "slipcore",
    }
    wheels = sorted((tmp_path / "dist").glob("*.whl"))
    assert [wheel.name.split("-")[0] for wheel in wheels] == sorted(
        name.replace("-", "_") for name in DISTRIBUTIONS
    )
    python = uv_venv(tmp_path / "venv")
    run(UV, "pip", "install", "--quiet", "--python", python, *wheels)
    assert installed(python, tmp_path) == environment_of(*PLUGINS)
    typed = "import slipcore, pathlib; print(*pathlib.Path(slipcore.__file__).parent.glob('py.*'))"
    assert run(python, "-c", typed, cwd=tmp_path).strip().endswith("py.typed")
