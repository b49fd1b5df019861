"""Configuration: slip.toml, over it the environment, over it code; each value with its origin."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_type_hints
from urllib.parse import urlsplit

import msgspec

from slipcore.errors import ConfigError
from slipcore.records import Secret

TABLES: Final = ("topics", "sources", "sinks", "caches", "codecs", "checkpoint_stores")
"""Tables of resources by name, as in [topics.orders]."""

_DEFAULTS: Final = ("topic", "cache", "codec", "checkpoint_store")
_SECTIONS: Final = ("app", "defaults", *TABLES)
_ENVIRONMENT: Final = re.compile(r"SLIP_([A-Z_]+?)__(.+)")
_SECRET_NAME: Final = re.compile(r"password|passwd|secret|token|credential|api_?key", re.IGNORECASE)
_FROM_ENVIRONMENT: Final = "environment "


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it comes from: "slip.toml:4", "environment SLIP_APP__NAME", "code"."""

    value: Any
    origin: str


class Config:
    """What the file and the environment say.

    Attributes:
        path: the file, None where there is none.
        root: its directory, else the working directory.
        app_name: `[app] name`.
    """

    def __init__(self, path: Path | None, root: Path, sections: _Sections) -> None:
        self.path = path
        self.root = root
        self.app_name = sections.app.get("name")
        self._sections = sections

    @classmethod
    def load(
        cls, cwd: Path | str | None = None, environ: Mapping[str, str] | None = None
    ) -> Config:
        """Read slip.toml, or [tool.slip] of pyproject.toml, in a directory or the next above it.

        Args:
            cwd: where to look; default the working directory.
            environ: default the process's environment.

        Raises:
            ConfigError: the file or a variable is wrong.
        """
        directory = Path(cwd) if cwd is not None else Path.cwd()
        path, document = _find(directory)
        sections = _Sections()
        if path is not None:
            sections.add_file(path, document)
        sections.add_environment(os.environ if environ is None else environ)
        return cls(path, path.parent if path is not None else directory, sections)

    @property
    def state_dir(self) -> Path:
        """Where embedded state lives."""
        return self.root / ".slip"

    def default(self, kind: str) -> Setting | None:
        """The backend of `[defaults]` for a kind of resource."""
        return self._sections.defaults.get(kind)

    def names(self, table: str) -> list[str]:
        """The resources that the file has an entry for."""
        return list(self._sections.tables[table])

    def entry(self, table: str, name: str) -> dict[str, Setting]:
        """The settings of a resource: the file's, with the environment's over them.

        Raises:
            ConfigError: an environment variable fits this resource and another one.
        """
        settings = dict(self._sections.tables[table].get(name, {}))
        folded = _fold(name)
        variables = self._sections.variables[table].get(folded, {})
        if variables:
            alike = [n for n in self._sections.tables[table] if _fold(n) == folded and n != name]
            if alike:
                origin = next(iter(variables.values())).origin
                raise ConfigError(
                    f"{origin} fits both [{table}.{name}] and [{table}.{alike[0]}]: rename one, or "
                    "write the setting into the file."
                )
        settings.update(variables)
        return settings


class _Sections:
    """The parts of the configuration, each value with its origin."""

    def __init__(self) -> None:
        self.app: dict[str, Setting] = {}
        self.defaults: dict[str, Setting] = {}
        self.tables: dict[str, dict[str, dict[str, Setting]]] = {table: {} for table in TABLES}
        self.variables: dict[str, dict[str, dict[str, Setting]]] = {table: {} for table in TABLES}

    def add_file(self, path: Path, document: Mapping[str, Any]) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        for section, content in document.items():
            if section not in _SECTIONS:
                raise ConfigError(
                    f"{path.name} has a section [{section}], which slipcore does not know"
                    f"{_nearest(section, _SECTIONS)}."
                )
            if not isinstance(content, dict):
                raise ConfigError(f"{path.name}: {section} is a section, write [{section}].")
            if section in TABLES:
                self._add_resources(path, section, content, lines)
                continue
            known = ("name",) if section == "app" else _DEFAULTS
            for key, value in content.items():
                self._set(section, key, Setting(value, _origin(path, lines, section, key)), known)

    def _add_resources(
        self, path: Path, table: str, content: Mapping[str, Any], lines: list[str]
    ) -> None:
        for name, settings in content.items():
            if not isinstance(settings, dict):
                raise ConfigError(
                    f"{path.name}: {name} under [{table}] is a resource, write [{table}.{name}]."
                )
            self.tables[table][name] = {
                key: Setting(value, _origin(path, lines, f"{table}.{name}", key))
                for key, value in settings.items()
            }

    def _set(self, section: str, key: str, setting: Setting, known: Iterable[str]) -> None:
        if key not in known:
            raise ConfigError(
                f"{setting.origin}: [{section}] has no setting {key}{_nearest(key, known)}."
            )
        if not isinstance(setting.value, str):
            raise ConfigError(
                f"{setting.origin}: {key} of [{section}] is a string, not {setting.value!r}."
            )
        (self.app if section == "app" else self.defaults)[key] = setting

    def add_environment(self, environ: Mapping[str, str]) -> None:
        for variable, value in environ.items():
            match = _ENVIRONMENT.fullmatch(variable)
            if match is None:
                continue
            section, rest = match[1].lower(), match[2]
            setting = Setting(value, _FROM_ENVIRONMENT + variable)
            if section in ("app", "defaults"):
                known = ("name",) if section == "app" else _DEFAULTS
                self._set(section, rest.lower(), setting, known)
            elif section in TABLES:
                name, _, key = rest.rpartition("__")
                if not name:
                    raise ConfigError(
                        f"The environment variable {variable} names no setting: it is "
                        f"SLIP_{match[1]}__<NAME>__<SETTING>."
                    )
                self.variables[section].setdefault(_fold(name), {})[key.lower()] = setting
            else:
                raise ConfigError(
                    f"The environment variable {variable} names no section: {section} is none of "
                    f"{', '.join(_SECTIONS)}."
                )


def _find(directory: Path) -> tuple[Path | None, dict[str, Any]]:
    for candidate in (directory.absolute(), *directory.absolute().parents):
        path = candidate / "slip.toml"
        if path.is_file():
            return path, _parse(path)
        project = candidate / "pyproject.toml"
        if project.is_file():
            section = _parse(project).get("tool", {}).get("slip")
            if section is not None:
                return project, section
    return None, {}


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid TOML: {error}.") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.") from error


def _origin(path: Path, lines: list[str], section: str, key: str) -> str:
    """File and line of a setting, or the file where it is written in another way."""
    if path.name == "pyproject.toml":
        section = f"tool.slip.{section}"
    inside = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("["):
            inside = text.partition("]")[0].strip("[ ").replace('"', "") == section
        elif inside and re.match(rf'"?{re.escape(key)}"?\s*=', text):
            return f"{path.name}:{number}"
    return path.name


def _fold(name: str) -> str:
    """A name as an environment variable can spell it."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"


def merge(*layers: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings of all layers, later ones over earlier ones."""
    merged: dict[str, Setting] = {}
    for layer in layers:
        merged.update(layer)
    return merged


def mask(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """The values as they may be printed: what is or looks like a secret is ***."""
    return {key: _masked(key, setting.value) for key, setting in settings.items()}


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, Secret) or _SECRET_NAME.search(key):
        return "***"
    if isinstance(value, dict):
        return {inner: _masked(str(inner), v) for inner, v in value.items()}
    if isinstance(value, str) and "://" in value:
        password = urlsplit(value).password
        return value.replace(f":{password}@", ":***@") if password else value
    if value is None or isinstance(value, str | int | float | bool | list | tuple):
        return value
    return repr(value)


def validate(options_type: type | None, settings: Mapping[str, Setting], resource: str) -> Any:
    """The options that the settings make.

    Args:
        options_type: a msgspec Struct or a dataclass; None takes no settings.
        resource: what to call it in messages, "topic 'orders'".

    Raises:
        ConfigError: an unknown, missing or mistyped setting, with its origin.
    """
    fields = _fields(options_type)
    for key, setting in settings.items():
        if key not in fields:
            what = _nearest(key, fields) if fields else "; it has none"
            raise ConfigError(f"{resource} has no setting {key} ({setting.origin}){what}.")
    if options_type is None:
        return None
    values = {
        key: _convert(setting, fields[key], key, resource) for key, setting in settings.items()
    }
    try:
        return options_type(**values)
    except ValueError as error:
        origins = ", ".join(sorted({setting.origin for setting in settings.values()}))
        raise ConfigError(f"{resource}: {error} ({origins}).") from error
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        needed = ", ".join(missing) or str(error)
        raise ConfigError(f"{resource} needs the setting {needed}.") from error


def _fields(options_type: type | None) -> dict[str, Any]:
    if options_type is None:
        return {}
    hints = get_type_hints(options_type, include_extras=True)
    if dataclasses.is_dataclass(options_type):
        return {f.name: hints[f.name] for f in dataclasses.fields(options_type)}
    return {f.name: hints[f.name] for f in msgspec.structs.fields(options_type)}


def _convert(setting: Setting, kind: Any, key: str, resource: str) -> Any:
    strict = not setting.origin.startswith(_FROM_ENVIRONMENT)
    try:
        return msgspec.convert(setting.value, kind, strict=strict, dec_hook=_decode)
    except msgspec.ValidationError as error:
        secret = _SECRET_NAME.search(key)
        shown = "" if secret else f", not {setting.value!r}"
        reason = str(error).partition(" - at")[0]
        raise ConfigError(
            f"{resource}: {key} ({setting.origin}) is wrong{shown}: {reason}."
        ) from error


def _decode(kind: type, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if kind in (Secret, Path) and isinstance(value, str):
        return kind(value)
    raise ValueError(f"Expected {kind.__name__}")
