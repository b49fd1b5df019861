"""The configuration file: found, read, and remembered by line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from slipcore.errors import ConfigError
from slipcore.settings import Setting

FILE: Final = "slip.toml"
SHARED_FILE: Final = "pyproject.toml"
SHARED_TABLE: Final = ("tool", "slip")

_HEADER: Final = re.compile(r"\s*(\[[^\[\]]+\])\s*(?:#.*)?$")
_WORD: Final = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY: Final = re.compile(rf"\s*({_WORD}(?:\s*\.\s*{_WORD})*)\s*=")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file that was read.

    Attributes:
        name: as messages call it, from the working directory.
        content: the sections.
        prefix: the table that they stand under.
        lines: place of a table or key -> line.
    """

    path: Path
    name: str
    content: Mapping[str, Any]
    prefix: tuple[str, ...]
    lines: Mapping[tuple[str, ...], int]

    def origin(self, *place: str) -> str:
        """The file and the line of a key, or of its table, as far as they are known."""
        keys = (*self.prefix, *place)
        for end in range(len(keys), len(self.prefix), -1):
            if line := self.lines.get(keys[:end]):
                return f"{self.name}:{line}"
        return self.name

    def settings(self, values: Mapping[str, Any], *place: str) -> dict[str, Setting]:
        """The values of the table at a place."""
        return {key: Setting(value, self.origin(*place, key)) for key, value in values.items()}


def find(cwd: Path) -> ConfigFile | None:
    """The file of a directory, or of its nearest parent that has one.

    Raises:
        ConfigError: it can't be read, or is no valid TOML.
    """
    for directory in (cwd, *cwd.parents):
        if (directory / FILE).is_file():
            return _read(directory / FILE, cwd, ())
        if _speaks_of_slip(directory / SHARED_FILE):
            found = _read(directory / SHARED_FILE, cwd, SHARED_TABLE)
            if found is not None:
                return found
    return None


def _speaks_of_slip(path: Path) -> bool:
    """Somebody else's pyproject.toml is not parsed: its errors are not ours."""
    try:
        return ".".join(SHARED_TABLE) in path.read_text("utf-8", errors="replace")
    except OSError:
        return False


def _read(path: Path, cwd: Path, prefix: tuple[str, ...]) -> ConfigFile | None:
    name = os.path.relpath(path, cwd)
    try:
        text = path.read_text("utf-8-sig")
        content: Any = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{name} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text: save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_error(name, text, str(error))) from error
    for key in prefix:
        if not isinstance(content, dict) or key not in content:
            return None
        content = content[key]
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: {'.'.join(prefix)} is to be a table, [{'.'.join(prefix)}].")
    return ConfigFile(path, name, content, prefix, _lines(text))


def _syntax_error(name: str, text: str, said: str) -> str:
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", said)
    if found is None:
        return f"{name} is no valid TOML: {said}."
    line = found[1] or len(text.splitlines())
    return f"{name}:{line} is no valid TOML: {said[: found.start()]}."


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Place of tables and keys -> line, as far as a look at each line alone can tell."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _keys(header[1])
            for end in range(1, len(table) + 1):
                lines.setdefault(table[:end], number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_keys(key[1] + " = {}")), number)
    return lines


def _keys(toml: str) -> tuple[str, ...]:
    """The keys that lead to the only, empty table of a TOML text."""
    try:
        content = tomllib.loads(toml)
    except tomllib.TOMLDecodeError:  # a line of a string of several lines
        return ()
    keys: list[str] = []
    while content:
        [(key, content)] = content.items()
        keys.append(key)
    return tuple(keys)
