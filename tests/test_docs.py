"""The documentation: it builds without a warning, says all there is, and what it says works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from slipcore import hookspecs, interfaces
from slipcore.cli.commands import slip
from slipcore.config import SINGLES, TABLES
from slipcore.optiondocs import describe_options
from slipcore.plugins import Plugins
from slipcore.plugins.selection import VARIABLES
from slipcore.testing.promises import promised
from tests.pages import DOCS, ROOT, blocks, is_included, pages, run

PLUGINS = ("slip-avro", "slip-kafka", "slip-redis", "slip-rocks")
DEADLINE = 120.0

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def clean_environment() -> dict[str, str]:
    """The environment without settings of slipcore."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLIP_", "PYTEST_"))}
    return {**kept, "PYTHONIOENCODING": "utf-8", "NO_MKDOCS_2_WARNING": "1"}


# --- the pages ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    directory = tmp_path_factory.mktemp("site")
    command = "-m mkdocs build --strict --site-dir"  # with --quiet no warning would be counted
    done = subprocess.run(
        [sys.executable, *command.split(), str(directory)],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("INFO ")] == []
    return directory


def words_of(page: Path) -> str:
    """What a page of the site says, in one line."""
    article = page.read_text(encoding="utf-8").partition("<article")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", "", article)).split())


def test_every_link_leads_somewhere(site: Path) -> None:
    """To a page that is there, and to a place that is there on it."""
    lost = []
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links are from the root of the site
            continue
        for link in re.findall(r'(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = unquote(unescape(link)).partition("#")
            target = page if path in ("", ".") else page.parent / path
            if not target.is_file() or (anchor and anchor not in anchors(target)):
                lost.append(f"{page.relative_to(site)}: {link}")
    assert lost == []


def anchors(page: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]*)"', page.read_text(encoding="utf-8"))) | {"__skip"}


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No script, style or font but the site's own."""
    fetched = [
        found
        for page in site.rglob("*.html")
        for found in re.findall(
            r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"',
            page.read_text(encoding="utf-8"),
        )
    ]
    assert fetched == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_no_page_goes_wide(page: Path) -> None:
    """Sources of pages have lines as long as code has; tables, transcripts, marks may be longer."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if not line.startswith(("|", "<!-- "))]
    assert [line for line in lines if len(line) > 100] == []


# --- the reference ------------------------------------------------------------------------


def test_every_hook_is_there(site: Path) -> None:
    """By its name, with what its factories are given and give."""
    words = words_of(site / "reference" / "hooks.html")
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    assert len(hooks) == 5
    assert [name for name in hooks if name not in words] == []
    assert [name for name in hooks if plain(getattr(hookspecs, name).__doc__) not in words] == []


def test_every_public_name_of_the_contracts_is_there(site: Path) -> None:
    """What `slipcore.interfaces` exports has a heading."""
    found = anchors(site / "reference" / "contracts.html")
    headings = {name.rpartition(".")[2] for name in found if name.startswith("slipcore.")}
    assert sorted(set(interfaces.__all__) - headings) == []


def test_every_promise_is_there(site: Path) -> None:
    """Where it is made, and in the list, with a test at least."""
    assert sorted(promised().keys() - anchors(site / "reference" / "contracts.html")) == []
    page = (site / "reference" / "promises.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    listed = {words[0]: words for row in rows if (words := re.findall("<code>([^<]*)</code>", row))}
    assert listed.keys() == promised().keys()
    assert [promise for promise, words in listed.items() if len(words) < 2] == []


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for word, inner in command.commands.items():
            yield from commands(inner, f"{name} {word}")


def test_every_command_is_there(site: Path) -> None:
    """Under its name, with its options."""
    page = site / "reference" / "cli.html"
    words, found = words_of(page), anchors(page)
    for name, command in commands(slip, "slip"):
        assert name.replace(" ", "-") in found
        options = [opt for param in command.params for opt in param.opts if opt.startswith("--")]
        assert [opt for opt in options if opt not in words] == [], name


def test_every_section_is_there(site: Path) -> None:
    """With each setting that it has of its own, and the environment's names for it."""
    words = words_of(site / "reference" / "configuration.html")
    said = [
        *(f"[{section}]" for section in SINGLES),
        *(f"[{section}.NAME]" for section in TABLES),
        *(f"SLIP_{section.upper()}__NAME__SETTING" for section in TABLES),
        *(f"SLIP_{s.upper()}__{key.upper()}" for s in ("app", "defaults") for key in SINGLES[s]),
        *VARIABLES.values(),
    ]
    assert [word for word in said if word not in words] == []


def test_every_option_of_every_backend_is_there(site: Path) -> None:
    """Built in or of the project's plugins, with its help."""
    words = words_of(site / "reference" / "backends.html")
    plugins = Plugins.from_env({})
    own = [
        backend
        for name in plugins.names()
        for backend in plugins.of_name(name)
        if backend.distribution in ("slipcore", *PLUGINS)
    ]
    assert {backend.distribution for backend in own} == {"slipcore", *PLUGINS}
    for backend in own:
        for option in describe_options(backend.options_type()):
            assert option.name in words
            assert plain(option.help) in words, f"{backend.owner} {option.name}"


def plain(text: str) -> str:
    """A help without the marks that Markdown takes out."""
    return " ".join(re.sub(r"[`*]", "", text).split())


# --- what it says works -------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A new environment with nothing in it; its `pip` is uv's, which takes a second."""
    assert UV is not None
    folder = tmp_path / "environment"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    pip = folder / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{UV}" pip "$@" --quiet\n')
    pip.chmod(0o755)
    path = os.pathsep.join((str(pip.parent), str(Path(UV).parent), os.environ["PATH"]))
    environ = {**clean_environment(), "PYTHONUNBUFFERED": "1"}
    return {**environ, "VIRTUAL_ENV": str(folder), "PATH": path}


TRANSCRIPTS = [page for page in pages() if any(b.language == "console" for b in blocks(page))]


@pytest.mark.skipif(UV is None, reason="uv, which installs in a second, is not here")
@pytest.mark.parametrize("page", TRANSCRIPTS, ids=lambda page: page.stem)
def test_a_page_can_be_done(page: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """What it installs, its files and its commands, one after the other, print what it says."""
    directory = tmp_path / "mine"
    directory.mkdir()
    run(page, directory, environment)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_programs_are_files_that_the_tests_run(page: Path) -> None:
    """A block of Python is included from a file, or written and run where its page is."""
    programs = [block for block in blocks(page) if block.language == "python"]
    run_here = page in TRANSCRIPTS
    assert [b for b in programs if not is_included(b) and not (run_here and b.title)] == []


def test_the_first_app_is_that_of_the_front_page() -> None:
    """The README's program is the tutorial's, but for empty lines."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    words = (ROOT / "examples" / "words" / "words.py").read_text(encoding="utf-8")
    assert [line for line in words.splitlines() if line] == [
        line for line in program.splitlines() if line
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_commands_that_are_not_run_here_are_run_elsewhere(page: Path) -> None:
    """In blocks of shell: installing, by paths that are there, and words of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in (block for block in blocks(page) if block.language == "sh"):
        for line in block.text.splitlines():
            command = line.partition("#")[0].strip()
            if command.startswith("make "):
                assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE), command
            elif "pip install" in command:
                for word in command.partition("pip install ")[2].replace("'", "").split():
                    path = word.partition("[")[0]
                    assert word.startswith("-") or (ROOT / path).exists(), command
            else:
                assert command in SHELL, command


SHELL = (
    "",
    "python -m venv .venv",
    ". .venv/bin/activate",
    "python -m pytest examples/slip_example",  # by test_stranger.py
)
