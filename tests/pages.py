"""Pages of the documentation as programs: what they print is compared with what they say.

A block with a title is a file: it is written. Of a block of the language `sh` what it installs is
installed, from the checkout's root. A block of the language `console` is a transcript: its
commands, which stand after `$ `, are run one by one, and what each prints has to be what follows.
There `...` stands for any text, and a line `^C` for the key, once all above it has come.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
DEADLINE: Final = 60.0
"""Seconds after which a command that has not ended, or printed what it is to print, never will."""

_FENCE: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?P<attributes>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE: Final = re.compile(r'title="([^"]+)"')
_SNIPPET: Final = re.compile(r'^--8<-- "([^":]+)(?::([\w-]+))?"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code of a page.

    Attributes:
        title: the name of the file that it is; None: it is none.
        source: as it stands in the page.
        text: with the files that it includes.
    """

    language: str
    title: str | None
    source: str
    text: str


def pages() -> list[Path]:
    """All pages that people write."""
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of code of a page, in order."""
    for found in _FENCE.finditer(page.read_text(encoding="utf-8")):
        title = _TITLE.search(found["attributes"])
        source = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        text = _SNIPPET.sub(_included, source)
        yield Block(found["language"], title[1] if title else None, source, text)


def is_included(block: Block) -> bool:
    """Whether all of a block is the text of files."""
    return not _SNIPPET.sub("", block.source).strip()


def _included(found: re.Match[str]) -> str:
    text = (ROOT / found[1]).read_text(encoding="utf-8")
    if found[2] is not None:
        marker = rf"^[^\n]*--8<-- \[{{}}:{found[2]}\]\n"
        _, text, _ = re.split(
            "|".join(map(marker.format, ("start", "end"))), text, flags=re.MULTILINE
        )
    return text.rstrip("\n")


def installs(block: Block) -> list[str]:
    """The commands of a block that install something."""
    commands = block.text.splitlines() if block.language == "sh" else []
    return [command for command in commands if command.startswith("pip install")]


def run(page: Path, directory: Path, environ: Mapping[str, str]) -> None:
    """Do what a page says, in a directory.

    Raises:
        AssertionError: a command prints something else.
    """
    for block in blocks(page):
        if block.title is not None:
            (directory / block.title).write_text(block.text, encoding="utf-8")
        for command in installs(block):
            subprocess.run(command, shell=True, cwd=ROOT, env=environ, check=True, timeout=DEADLINE)
        if block.language != "console":
            continue
        for command, expected in _commands(block.text):
            if command.startswith("cd "):
                directory /= command.removeprefix("cd ")
            else:
                _check(command, expected, directory, environ)


def _commands(transcript: str) -> Iterator[tuple[str, list[str]]]:
    first, *parts = re.split(r"^\$ ", transcript, flags=re.MULTILINE)
    assert first == "", f"a transcript begins with a command: {first}"
    for part in parts:
        command, *expected = part.rstrip("\n").split("\n")
        yield command, expected


def _check(
    command: str, expected: Sequence[str], directory: Path, environ: Mapping[str, str]
) -> None:
    is_stopped = "^C" in expected
    before = expected[: expected.index("^C")] if is_stopped else expected
    whole = [line for line in expected if line != "^C"]
    output = directory / ".printed"
    with output.open("wb") as printed:
        process = subprocess.Popen(
            command,
            shell=True,
            cwd=directory,
            env=environ,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + DEADLINE
        while is_stopped and process.poll() is None and not _matches(before, output):
            assert time.monotonic() < end, f"$ {command}\n{_read(output)}"
            time.sleep(0.02)
        if is_stopped:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(DEADLINE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert _matches(whole, output), f"$ {command}\n{_read(output)}"
    output.unlink()


def _matches(expected: Sequence[str], output: Path) -> bool:
    """Whether the lines are what was printed, where `...` is anything."""
    text = "".join(f"{line}\n" for line in expected)
    anything = r"\.\.\."
    pattern = re.escape(text).replace(f"{anything}\\\n", r"(?:.*\n)??").replace(anything, ".*?")
    return re.fullmatch(pattern, _read(output), re.DOTALL) is not None


def _read(output: Path) -> str:
    """What was printed, without spaces at the ends of lines."""
    text = output.read_text(encoding="utf-8")
    return re.sub(r" +$", "", text, flags=re.MULTILINE)
