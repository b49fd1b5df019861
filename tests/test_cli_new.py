"""`slip new`: what it writes, what it calls it, and what it refuses to write."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipcore.cli.commands import slip as slip_command
from slipcore.cli.templates import Names

PLUGIN = {
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/slip_nats/__init__.py",
    "src/slip_nats/cache.py",
    "src/slip_nats/options.py",
    "src/slip_nats/plugin.py",
    "src/slip_nats/py.typed",
    "src/slip_nats/server.py",
    "src/slip_nats/topic.py",
    "tests/test_by_name.py",
    "tests/test_contracts.py",
}
APP = {".gitignore", "README.md", "my_shop.py", "slip.toml", "test_my_shop.py"}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where things are written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*arguments: str) -> Result:
    return CliRunner().invoke(slip_command, ["new", *arguments])


def files(directory: Path) -> set[str]:
    return {
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    }


# --- what is written -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "expected"), [("plugin", "slip-nats", PLUGIN), ("app", "my-shop", APP)]
)
def test_a_project_is_written_and_listed(
    directory: Path, kind: str, name: str, expected: set[str]
) -> None:
    """Into a directory of its name; no name of the template is left in it."""
    result = new(kind, name)
    assert result.exit_code == 0, result.output
    assert files(directory / name) == expected
    listed = result.output.partition("\nNext:\n")[0].splitlines()[1:]
    assert {line.strip() for line in listed} == {f"{name}/{path}" for path in expected}
    for path in expected:
        text = path + (directory / name / path).read_text(encoding="utf-8")
        assert re.findall("(?i).*acme.*", text) == []


def test_an_empty_directory_may_be_named(directory: Path) -> None:
    """One that is not there is made, with those above it."""
    (directory / "empty").mkdir()
    assert new("plugin", "slip-nats", "--dir", "empty").exit_code == 0
    assert new("app", "my-shop", "--dir", "apps/new").exit_code == 0
    assert files(directory / "empty") == PLUGIN
    assert files(directory / "apps" / "new") == APP


def test_a_plugin_says_who_it_is(directory: Path) -> None:
    """Entry point, cap and extra."""
    new("plugin", "slip-nats")
    project = tomllib.loads((directory / "slip-nats" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "slip-nats"
    assert project["entry-points"] == {"slipcore": {"nats": "slip_nats.plugin"}}
    assert project["dependencies"] == ["slipcore>=0.1,<1"]
    assert project["optional-dependencies"] == {"testing": ["slipcore[testing]>=0.1,<1"]}
    assert "license" not in project


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("slip-nats", ("slip_nats", "nats", "Nats")),
        ("slip-my-queue2", ("slip_my_queue2", "my-queue2", "MyQueue2")),
        ("nats", ("nats", "nats", "Nats")),
        ("company-nats", ("company_nats", "company-nats", "CompanyNats")),
    ],
)
def test_a_distributions_name_gives_the_others(name: str, expected: tuple[str, str, str]) -> None:
    """Package, backend, and what its classes begin with."""
    names = Names.of_plugin(name)
    assert (names.project, names.module, names.backend, names.prefix) == (name, *expected)


def test_the_next_commands_are_told(directory: Path) -> None:
    """With the paths as they are from here, those of an installer never bare names."""
    environment = Path(sys.executable).parent
    done = subprocess.run(
        [environment / "slip", "new", "plugin", "slip-nats", "--dir", "new nats"],
        cwd=directory,
        env={"PATH": f"{environment}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    install, test, listing = done.stdout.partition("\nNext:\n")[2].splitlines()
    assert "install -e './new nats[testing]'" in install
    assert test.split("  #")[0].strip() == "python -m pytest './new nats'"
    assert listing.split("  #")[0].strip() == "slip plugins"


def test_an_app_works_as_it_is_written(directory: Path) -> None:
    """What is sent with its own file is counted by its handler, from another process."""
    new("app", "my-shop")
    place = directory / "my-shop"
    subprocess.run([sys.executable, "my_shop.py", "to", "be", "to"], cwd=place, check=True)
    counting = subprocess.Popen(
        [sys.executable, "-u", "-m", "slipcore.cli", "run", "-q", "my_shop.py"],
        cwd=place,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert counting.stdout is not None
    printed = [counting.stdout.readline().strip() for _ in range(3)]
    counting.terminate()
    counting.communicate(timeout=20)
    assert (printed, counting.returncode) == (["('to', 1)", "('be', 1)", "('to', 2)"], 0)


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("plugin Slip_Nats", "'Slip_Nats' is no name for a distribution.*: write slip-nats"),
        ("plugin slip--nats", "write slip-nats"),
        ("plugin slip-", "write slip, for"),
        ("plugin 9nats", "write nats"),
        ("plugin ../nats", "write nats"),
        ("plugin é", "write slip-nats"),
        ("plugin import", "Python has a word of that name; write my-import"),
        ("plugin zlib", "Python has a module of that name; write my-zlib"),
        ("plugin slip-sqlite", "The backend 'sqlite' is built in: .*slip-my-sqlite"),
        ("plugin slip-json", "The backend 'json' is built in"),
        ("plugin slip-kafka", "The backend 'kafka' comes with slip-kafka"),
        ("app asyncio", "Python has a module of that name; write my-asyncio"),
        ("app slipcore", "Python has a module of that name"),
        ("app Shop", "'Shop' is no name for an app.*: write shop"),
    ],
)
def test_a_name_that_can_not_be_had_is_refused(directory: Path, arguments: str, words: str) -> None:
    """In one sentence, with one that can; nothing is written."""
    result = new(*arguments.split(" "))
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert re.search(f"^Error: .*{words}", line)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("kind", ["plugin", "app"])
def test_a_directory_with_something_in_it_is_left_alone(directory: Path, kind: str) -> None:
    """Nor is a file replaced."""
    (directory / "mine").mkdir()
    (directory / "mine" / "notes").write_text("mine")
    (directory / "file").write_text("mine")
    for there in ("mine", "file"):
        result = new(kind, "slip-nats", "--dir", there)
        assert result.exit_code == 2
        assert f"Error: {there} is there already and is not empty" in result.output
    assert files(directory) == {"mine/notes", "file"}


def test_a_directory_that_can_not_be_made_is_an_error(directory: Path) -> None:
    """Said in one sentence, not by a traceback."""
    (directory / "file").write_text("mine")
    result = new("app", "shop", "--dir", "file/shop")
    assert (result.exit_code, result.output) == (
        2,
        "Error: Can't write to file/shop: Not a directory.\n",
    )
