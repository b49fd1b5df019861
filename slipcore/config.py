"""Configuration: slip.toml, or [tool.slip] in pyproject.toml, and over it the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slipcore.configfile import ConfigFile, find
from slipcore.errors import ConfigError
from slipcore.plugins.selection import VARIABLES, check_setting, from_environment
from slipcore.settings import ENVIRONMENT, Setting, hint, mask, merge, validate

if TYPE_CHECKING:
    from slipcore.plugins.registry import Backend

__all__ = ["Config", "Setting", "mask", "merge", "validate"]

STATE_DIR: Final = ".slip"

SINGLES: Final[Mapping[str, tuple[str, ...]]] = {
    "app": ("name",),
    "defaults": ("topic", "cache", "codec", "checkpoint_store"),
    "plugins": tuple(VARIABLES),
    "errors": (
        "decoding",
        "handling",
        "sinking",
        "dead_letter",
        "retries",
        "retry_on",
        "backoff",
        "max_backoff",
        "jitter",
    ),
}
"""Sections that hold settings: names of something, in `plugins` which plugins are used, in `errors`
what is done about failures."""

TABLES: Final = (
    "topics",
    "caches",
    "sources",
    "sinks",
    "codecs",
    "checkpoint_stores",
    "backends",
)
"""Sections that hold resources, or backends, which hold settings."""

NAMES: Final = ("backend", "codec", "key_codec")
"""Settings of resources that are the name of something."""

SECTIONS: Final = (*SINGLES, *TABLES)

_PREFIX: Final = "SLIP_"
_SEPARATOR: Final = "__"

_Entries = dict[str, dict[str, Setting]]


class Config:
    """What was configured, from the file and from the environment.

    Attributes:
        root: the directory of the file, else the working directory.
        path: the file; None: there is none.
        forced: kind of resource -> the backend that all of them get, whatever else is said.
    """

    def __init__(self, root: Path, path: Path | None = None) -> None:
        self.root = root
        self.path = path
        self.forced: Mapping[str, Backend] = {}
        self._singles: _Entries = {section: {} for section in SINGLES}
        self._tables: dict[str, _Entries] = {table: {} for table in TABLES}
        self._variables: dict[str, _Entries] = {table: {} for table in TABLES}
        self._spelled: dict[tuple[str, str], str] = {}

    @classmethod
    def load(cls, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
        """Read the file of the working directory, or of its nearest parent that has one.

        Args:
            cwd: where to look first; None: the working directory.
            environ: None: the environment of the process.

        Raises:
            ConfigError: a file with an error; a section, setting or variable that is not known.
        """
        cwd = (Path.cwd() if cwd is None else Path(cwd)).absolute()
        file = find(cwd)
        config = cls(cwd) if file is None else cls(file.path.parent, file.path)
        if file is not None:
            config._take_file(file)
        config._take_environment(os.environ if environ is None else environ)
        return config

    def forcing(self, backends: Mapping[str, Backend]) -> Config:
        """The same configuration with these backends in the place of all others.

        A test says so; they win over code too, and settings that they don't understand are left
        out.

        Args:
            backends: kind of resource ("topic", "source", "sink", "cache", "checkpoint_store") ->
                what all of them get.
        """
        forced = copy(self)
        forced.forced = backends
        return forced

    @property
    def state_dir(self) -> Path:
        """Where embedded state lives."""
        return self.root / STATE_DIR

    @property
    def app_name(self) -> Setting | None:
        """The app's name, where it is configured."""
        return self._singles["app"].get("name")

    @property
    def plugins(self) -> Mapping[str, Setting]:
        """Which plugins are used: `strict`, `allow` and `disable`, where they are set."""
        return self._singles["plugins"]

    def default(self, kind: str) -> Setting | None:
        """The name that resources of a kind get which have none of their own.

        Args:
            kind: "topic", "cache", "codec" or "checkpoint_store".
        """
        return self._singles["defaults"].get(kind)

    def entry(self, kind: str, name: str) -> dict[str, Setting]:
        """The settings of one resource.

        Args:
            kind: its table, e.g. "topics".
            name: as in code.

        Raises:
            ConfigError: a variable stands for this resource and for another one.
        """
        return merge(self._tables[kind].get(name, {}), self._overrides(kind, name))

    def names(self, kind: str) -> list[str]:
        """The resources, or backends, that the file has a table for."""
        return list(self._tables[kind])

    def section(self, name: str) -> dict[str, Setting]:
        """The settings of a section that holds no resources, e.g. "app"."""
        return dict(self._singles[name])

    def entries(self, kind: str) -> dict[str, dict[str, Setting]]:
        """All that is configured of a table, by name.

        What only variables speak of, and nobody has asked for by its name yet, is named as they
        spell it.

        Args:
            kind: the table, e.g. "topics".
        """
        named = {name: self.entry(kind, name) for name in self._tables[kind]}
        variables = self._variables[kind].items()
        return named | {name: dict(v) for name, v in variables if (kind, name) not in self._spelled}

    def _overrides(self, kind: str, name: str) -> Mapping[str, Setting]:
        spelling = _spell(name)
        found = self._variables[kind].get(spelling, {})
        other = self._spelled.setdefault((kind, spelling), name)
        if found and other != name:
            variable = next(iter(found.values())).origin.removeprefix(ENVIRONMENT)
            raise ConfigError(
                f"{variable} stands for both '{other}' and '{name}' of [{kind}]: rename one of "
                "them, or configure them in slip.toml."
            )
        return found

    def _take_file(self, file: ConfigFile) -> None:
        for section, entries in file.content.items():
            at = file.origin(section)
            if section not in SECTIONS:
                raise ConfigError(
                    f"{at}: there is no section [{section}]. {hint(section, SECTIONS)}"
                )
            if not isinstance(entries, dict):
                raise ConfigError(f"{at}: {section} is to be a table, [{section}].")
            if section in SINGLES:
                self._singles[section] = file.settings(entries, section)
                _check_single(section, self._singles[section])
                continue
            for name, settings in entries.items():
                if not isinstance(settings, dict):
                    raise ConfigError(
                        f"{file.origin(section, name)}: '{name}' is to be a table, "
                        f"[{section}.{name}]. What all share stands under [defaults]."
                    )
                self._tables[section][name] = file.settings(settings, section, name)
                _check_names(self._tables[section][name])

    def _take_environment(self, environ: Mapping[str, str]) -> None:
        self._singles["plugins"].update(from_environment(environ))
        seen: dict[tuple[str, str, str], str] = {}
        for variable, value in environ.items():
            if not variable.startswith(_PREFIX) or _SEPARATOR not in variable:
                continue
            place = section, name, key = _parse(variable)
            other = seen.setdefault(place, variable)
            if other != variable:
                raise ConfigError(f"{other} and {variable} are the same setting: unset one.")
            entry = {key: Setting(value, ENVIRONMENT + variable)}
            if section in SINGLES:
                _check_single(section, entry)
                self._singles[section].update(entry)
            else:
                _check_names(entry)
                self._variables[section].setdefault(name, {}).update(entry)
        for table, entries in self._tables.items():
            for name in entries:
                self._overrides(table, name)  # two of the file that one variable stands for


def _check_single(section: str, settings: Mapping[str, Setting]) -> None:
    known = SINGLES[section]
    for key, setting in settings.items():
        if key not in known:
            raise ConfigError(
                f"{setting.origin}: [{section}] has no setting '{key}'. {hint(key, known)}"
            )
        if section == "plugins":
            check_setting(key, setting)
        elif section != "errors":  # those are validated as options are
            _check_name(key, setting)


def _check_names(settings: Mapping[str, Setting]) -> None:
    for key in NAMES:
        if key in settings:
            _check_name(key, settings[key])


def _check_name(key: str, setting: Setting) -> None:
    if not isinstance(setting.value, str) or not setting.value:
        raise ConfigError(f"{setting.origin}: {key} is to be a name, a string that is not empty.")


def _spell(name: str) -> str:
    """A resource's name as it stands in a variable."""
    return re.sub("[^A-Za-z0-9]", "_", name).upper()


def _parse(variable: str) -> tuple[str, str, str]:
    """Section, resource ("" for `app` and `defaults`) and setting of a variable."""
    section, _, rest = variable.removeprefix(_PREFIX).partition(_SEPARATOR)
    section = section.lower()
    if section not in SECTIONS:
        raise ConfigError(
            f"environment {variable}: there is no section '{section}'. {hint(section, SECTIONS)}"
        )
    name, _, setting = rest.rpartition(_SEPARATOR)
    if section == "plugins":
        raise ConfigError(
            f"environment {variable}: plugins are chosen by {', '.join(VARIABLES.values())}."
        )
    if section in SINGLES and not name:
        return section, "", setting.lower()
    if section in TABLES and name and setting:
        return section, name.upper(), setting.lower()
    form = "SETTING" if section in SINGLES else "NAME__SETTING"
    raise ConfigError(
        f"environment {variable}: it is to be {_PREFIX}{section.upper()}{_SEPARATOR}{form}."
    )
