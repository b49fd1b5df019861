"""What an options class takes: each option's name, type, default, unit and help, for readers."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from slipcore.records import Secret
from slipcore.settings import Setting, mask

_WORDS: Final[Mapping[Any, str]] = {
    str: "text",
    Secret: "text",
    Path: "path",
    bytes: "bytes",
    int: "whole number",
    float: "number",
    bool: "yes/no",
    type(None): "none",
    Any: "anything",
}


class OptionInfo(msgspec.Struct, frozen=True):
    """One option of a backend. Field names are stable: `slip backends --json` prints them.

    Attributes:
        name: as it is written in the configuration.
        type: in words: "text", "number", "whole number", "yes/no", "one of ...", "list of text".
        default: None where there is none, or where it is None; a secret's is masked.
        unit: "s", "ms", "bytes", or "" where it has none.
        help: what stands under the field in its class, on one line; "" where nothing does.
        secret: whether it is masked wherever it is shown.
        required: whether it has to be given.
    """

    name: str
    type: str
    default: Any
    unit: str
    help: str
    secret: bool
    required: bool


def describe_options(options_type: type | None) -> list[OptionInfo]:
    """The options that a Struct or dataclass takes, in its order; None takes none."""
    if options_type is None:
        return []
    helps = _helps(options_type)
    return [
        OptionInfo(
            name=name,
            type=type_words(expected),
            default=_shown(name, default),
            unit=_unit(expected) or "",
            help=helps.get(attribute, ""),
            secret=_is_secret(expected),
            required=required,
        )
        for attribute, name, expected, default, required in _fields(options_type)
    ]


def _shown(name: str, default: Any) -> Any:
    """A default without what no list may show; None is not masked, there is nothing."""
    return None if default is None else mask({name: Setting(default, "default")})[name]


def type_words(expected: Any) -> str:
    """A type as people say it; that None is taken as well goes without saying."""
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Annotated:
        return type_words(args[0])
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin in (typing.Union, types.UnionType):
        words = dict.fromkeys(type_words(arg) for arg in args if arg is not type(None))
        return " or ".join(words)
    plain = origin if origin is not None else expected
    if isinstance(plain, type) and issubclass(plain, Mapping):
        return "table"
    if isinstance(plain, type) and issubclass(plain, (Sequence, Set)) and plain not in _WORDS:
        of = [arg for arg in args if arg is not ...]
        known = len(of) == 1 and of[0] is not Any
        return f"list of {type_words(of[0])}" if known else "list"
    return _WORDS.get(plain) or str(getattr(plain, "__qualname__", plain))


def _fields(options_type: type) -> Iterator[tuple[str, str, Any, Any, bool]]:
    """Attribute, name, type, default and whether it is required, of each field."""
    if dataclasses.is_dataclass(options_type):
        hints = typing.get_type_hints(options_type, include_extras=True)
        for field in dataclasses.fields(options_type):
            if not field.init:
                continue
            missing = dataclasses.MISSING
            required = field.default is missing and field.default_factory is missing
            default = None if field.default is missing else field.default
            if field.default_factory is not missing:
                default = field.default_factory()
            yield field.name, field.name, hints[field.name], default, required
        return
    for info in msgspec.structs.fields(options_type):
        default = None if info.default is msgspec.NODEFAULT else info.default
        if info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        yield info.name, info.encode_name, info.type, default, info.required


def _unit(expected: Any) -> str | None:
    for meta in getattr(expected, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra is not None and "unit" in meta.extra:
            return str(meta.extra["unit"])
    units = (_unit(arg) for arg in typing.get_args(expected))
    return next((unit for unit in units if unit is not None), None)


def _is_secret(expected: Any) -> bool:
    return expected is Secret or any(map(_is_secret, typing.get_args(expected)))


@cache
def _helps(options_type: type) -> dict[str, str]:
    """Field -> the string under it, in the class that declares it last."""
    found: dict[str, str] = {}
    for base in reversed(options_type.__mro__):
        found.update(_helps_of_one(base))
    return found


def _helps_of_one(options_type: type) -> Iterator[tuple[str, str]]:
    if options_type.__module__ in ("builtins", "msgspec", "msgspec._core"):
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(options_type)))
    except (OSError, TypeError, SyntaxError):  # made at run time: nobody has written anything
        return
    (node,) = tree.body
    if not isinstance(node, ast.ClassDef):
        return
    for field, below in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(ast.Constant(str(text))):
                    yield field.target.id, " ".join(text.split())
