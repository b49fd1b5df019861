"""Settings: values that know where they were written, validated against a backend's options."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from slipcore.errors import ConfigError
from slipcore.records import Secret

ENVIRONMENT: Final = "environment "
"""How the origin of what an environment variable says begins; the variable follows."""

MASK: Final = "***"

_SECRET_NAME: Final = re.compile("pass?w|pwd|passphrase|secret|token|credential")
_NO_KEY_OF_ITS_OWN: Final = re.compile("file|path|location|codec|serializer")
_URL_PASSWORD: Final = re.compile(r"(:/{0,2}[^\s/:@]*):\S*@")  # of one that is no URL too
_QUERY_SECRET: Final = re.compile(
    r"([?&][^=&\s]*(?:passw|secret|token|key)[^=&\s]*=)[^&\s]+", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it was written.

    Attributes:
        value: not in the repr, since it may be a password.
        origin: "slip.toml:12", "environment SLIP_TOPICS__EMOJI__BACKEND", or "code".
    """

    value: Any = dataclasses.field(repr=False)
    origin: str


def merge(*layers: Mapping[str, Setting]) -> dict[str, Setting]:
    """One set of settings; later layers win."""
    merged: dict[str, Setting] = {}
    for layer in layers:
        merged.update(layer)
    return merged


def validate(options_type: type | None, settings: Mapping[str, Setting], resource: str) -> Any:
    """Make a backend's options from settings.

    Values are taken as they are typed; only those of the environment, which are text, are read as
    what is expected: numbers, "true", and JSON for lists and tables.

    Args:
        options_type: a Struct or a dataclass; None: no settings are accepted.
        settings: by name.
        resource: what they are for, e.g. "topic 'emoji'".

    Raises:
        ConfigError: an unknown, missing or mistyped setting.
    """
    fields = _fields(options_type)
    for name, setting in settings.items():
        if name not in fields:
            raise ConfigError(
                f"{resource} has no setting '{name}' ({setting.origin}). "
                f"{hint(name, fields, 'It takes')}"
            )
    for name, field in fields.items():
        if field.required and name not in settings:
            raise ConfigError(
                f"{resource} needs the setting '{name}' ({_shown(field.type)}): give it in code, "
                "in slip.toml or in the environment."
            )
    if options_type is None:
        return None
    values = {
        fields[name].attribute: _convert(setting, name, fields[name].type, resource)
        for name, setting in settings.items()
    }
    try:
        return options_type(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{resource} is not set right: {error}{_origins(settings)}.") from error


def mask(settings: Mapping[str, Setting], options_type: type | None = None) -> dict[str, Any]:
    """The values as they may be printed: secrets, and passwords within URLs, are `***`.

    Args:
        options_type: the options that they are for; its fields of type `Secret` are masked too.
    """
    secret = {name for name, field in _fields(options_type).items() if _holds_secret(field.type)}
    return {
        name: MASK if name in secret else _masked(name, setting.value)
        for name, setting in settings.items()
    }


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return near[0] if near else None


def hint(word: str, known: Iterable[str], lead: str = "There are") -> str:
    """The sentence to put behind a wrong word: the nearest right one, else all that there are."""
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f"Did you mean '{near}'?"
    return f"{lead} {', '.join(names) or 'none'}."


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    attribute: str
    type: Any
    required: bool


def setting_names(options_type: type | None) -> frozenset[str]:
    """The names of the settings that options take."""
    return frozenset(_fields(options_type))


def _fields(options_type: type | None) -> dict[str, _Field]:
    """The settings that an options class takes, by the name that people write."""
    if options_type is None:
        return {}
    if dataclasses.is_dataclass(options_type):
        hints = typing.get_type_hints(options_type, include_extras=True)
        return {
            field.name: _Field(
                field.name,
                hints[field.name],
                field.default is field.default_factory is dataclasses.MISSING,
            )
            for field in dataclasses.fields(options_type)
            if field.init
        }
    return {
        field.encode_name: _Field(field.name, field.type, field.required)
        for field in msgspec.structs.fields(options_type)
    }


def _convert(setting: Setting, name: str, expected: Any, resource: str) -> Any:
    value, is_text = setting.value, setting.origin.startswith(ENVIRONMENT)
    try:
        return msgspec.convert(value, expected, strict=not is_text, dec_hook=_foreign)
    except msgspec.ValidationError as error:
        if is_text and value.lstrip().startswith(("[", "{")):
            try:
                return msgspec.convert(json.loads(value), expected, dec_hook=_foreign)
            except ValueError:  # msgspec's errors of validation are ValueErrors as well
                pass
        said = MASK if _holds_secret(expected) else _masked(name, value)
        why = f": {error}" if said == value and str(error) else ""  # the reason may quote the value
        raise ConfigError(
            f"{resource}: '{name}' is to be {_shown(expected)}, and {setting.origin} says "
            f"{said!r}{why}."
        ) from None


def _foreign(expected: type, value: Any) -> Any:
    """Types that msgspec does not know: secrets, paths, and objects that were given in code."""
    if expected in (Secret, Path) and isinstance(value, str):
        return expected(value)
    if isinstance(value, typing.get_origin(expected) or expected):
        return value
    raise TypeError(f"Expected `{_shown(expected)}`, got `{type(value).__qualname__}`")


def _holds_secret(expected: Any) -> bool:
    return expected is Secret or any(map(_holds_secret, typing.get_args(expected)))


def _masked(name: str, value: Any) -> Any:
    low = name.lower()
    is_key = "key" in low and not _NO_KEY_OF_ITS_OWN.search(low)
    if value is not None and (isinstance(value, Secret) or is_key or _SECRET_NAME.search(low)):
        return MASK
    if isinstance(value, str):
        return _QUERY_SECRET.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}@", value))
    if isinstance(value, Mapping):
        return {key: _masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_masked(name, inner) for inner in value)
    return value


def _shown(expected: Any) -> str:
    """A type as one would write it: `int | None`, `'earliest' | 'latest'`."""
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Annotated:
        return _shown(args[0])
    if origin is typing.Literal:
        return " | ".join(map(repr, args))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_shown, args))
    if expected is type(None):
        return "None"
    if expected in (Secret, Path):
        return "str"
    return expected.__qualname__ if origin is None and isinstance(expected, type) else str(expected)


def _origins(settings: Mapping[str, Setting]) -> str:
    places = dict.fromkeys(setting.origin for setting in settings.values())
    return f" ({', '.join(places)})" if places else ""
