"""Avro schemas: read from what was given, parsed once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import fastavro

from slipcore.interfaces import ConfigError

Json: TypeAlias = "dict[str, Any] | list[Any] | str"
"""A schema as its JSON says it."""

PRIMITIVES: Final = frozenset(
    ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
)


@dataclass(frozen=True, slots=True, eq=False)
class AvroSchema:
    """A parsed schema.

    Attributes:
        json: as it was given; what a registry is told.
        parsed: as fastavro wants it.
        named: the types that it names, by full name.
        name: what to call it in messages.
        is_recursive: whether a value may contain a value of the same type.
    """

    json: Json
    parsed: Any
    named: Mapping[str, Any]
    name: str
    is_recursive: bool

    @property
    def text(self) -> str:
        """Its JSON on one line."""
        return json.dumps(self.json)

    @property
    def is_bytes(self) -> bool:
        """Whether values are bytes and nothing else."""
        return self.parsed == "bytes" or self.json == {"type": "bytes"}


def load_schema(given: Json | Path) -> AvroSchema:
    """A schema from a file, from JSON text, or from what JSON text says.

    Raises:
        ConfigError: there is no such file, or what it says is no schema.
    """
    if isinstance(given, Path):
        return parse_schema(*_read(given))
    if isinstance(given, str) and given not in PRIMITIVES:
        if given.lstrip().startswith(("{", "[", '"')):
            return parse_schema(_json(given, "the schema"), "the schema")
        return parse_schema(*_read(Path(given)))
    return parse_schema(given, "the schema")


def parse_schema(
    source: Json, what: str, references: Mapping[str, Any] | None = None
) -> AvroSchema:
    """Parse a schema.

    Args:
        what: what to call it in messages.
        references: the types that others have defined, by full name.

    Raises:
        ConfigError: it is none.
    """
    named = dict(references or {})
    try:
        parsed = fastavro.parse_schema(source, named)
    except RecursionError as error:
        raise ConfigError(f"{what} is no Avro schema: it is nested too deep") from error
    except Exception as error:  # fastavro raises what Python does where a key is missing
        raise ConfigError(f"{what} is no Avro schema: {_reason(error)}") from error
    return AvroSchema(source, parsed, named, _name(parsed), _is_recursive(parsed, ()))


def _read(path: Path) -> tuple[Json, str]:
    what = f"the schema file {path}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{what} can't be read ({error.strerror}): a path is taken from {Path.cwd()}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} is not UTF-8: {error}") from error
    return _json(text, what), what


def _json(text: str, what: str) -> Json:
    try:
        source: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what} is not JSON: {error}") from error
    return source


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if type(error).__name__ == "UnknownType":
        return f"there is no type {error}"
    return str(error) or type(error).__name__


def _name(parsed: Any) -> str:
    if isinstance(parsed, list):
        return f"a union of {', '.join(_name(branch) for branch in parsed)}"
    if isinstance(parsed, dict):
        return str(parsed.get("name") or parsed["type"])
    return str(parsed)


def _is_recursive(parsed: Any, within: tuple[str, ...]) -> bool:
    """Whether a named type is used inside itself; a name is defined before it is used."""
    if isinstance(parsed, str):
        return parsed in within
    if isinstance(parsed, list):
        return any(_is_recursive(branch, within) for branch in parsed)
    if "name" in parsed:
        within = (*within, parsed["name"])
    inner = [parsed[key] for key in ("items", "values") if key in parsed]
    inner += [field["type"] for field in parsed.get("fields", ())]
    if isinstance(parsed["type"], dict | list):
        inner.append(parsed["type"])
    return any(_is_recursive(part, within) for part in inner)
