"""What fastavro would write otherwise than it was given: found before it is written.

fastavro writes 1.7 into a long as 1, "no" into a boolean as true, 2**40 into an int, and takes a
datetime without zone for one of the machine's zone. What it refuses itself is left to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from slip_avro.schemas import AvroSchema

Check: TypeAlias = Callable[[Any], None]
"""Raises `LossError` for a value that would come back as another one."""

MAX_DEPTH: Final = 100
"""How deep values of a recursive schema may be nested."""

_MISSING: Final = object()
_FLOAT_MAX: Final = 3.4028234663852886e38
_RANGES: Final = {"int": 31, "long": 63}


class LossError(ValueError):
    """A value that would not come back as it is.

    Attributes:
        path: where it stands: names of fields, indexes, keys.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def __str__(self) -> str:
        place = f"field {'.'.join(self.path)}: " if self.path else ""
        return f"{place}{self.args[0]}"


def compile_check(schema: AvroSchema) -> Check:
    """The check of a schema's values."""
    check = _Compiler(schema.named).check(schema.parsed)
    if not schema.is_recursive:
        return check

    def check_with_depth(value: Any) -> None:
        _shallow(value)
        check(value)

    return check_with_depth


def _shallow(value: Any) -> None:
    """Refuse what is nested deeper than it could be read again."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, Mapping | list | tuple)
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        if not level:
            return
    raise LossError(f"it is nested more than {MAX_DEPTH} deep, or contains itself")


class _Compiler:
    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._checks: dict[str, Check] = {}

    def check(self, schema: Any) -> Check:
        """The check of a type, complete: unions choose their branch by it."""
        if isinstance(schema, list):
            return self._union(schema)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, dict | list):
            return self.check(kind)
        if kind in ("record", "error"):
            return self._record(schema)
        if kind == "array":
            return self._array(schema)
        if kind == "map":
            return self._map(schema)
        logical = schema.get("logicalType") if isinstance(schema, dict) else None
        found = _LOGICAL.get((kind, logical)) or _PRIMITIVE.get(kind)
        if found is not None:
            return found
        if kind == "enum":
            return _enum(frozenset(schema["symbols"]))
        if kind == "fixed":
            return _decimal if logical == "decimal" else _fixed(schema["size"])
        return self._reference(kind)

    def _reference(self, name: str) -> Check:
        if name not in self._checks and name in self._named:
            self._checks[name] = lambda value: self._checks[name](value)  # while it is compiled
            self._checks[name] = self.check(self._named[name])
        return lambda value: self._checks[name](value)

    def _record(self, schema: Mapping[str, Any]) -> Check:
        self._checks.setdefault(schema["name"], lambda value: check_record(value))
        fields = [
            (field["name"], self.check(field["type"]))
            for field in schema["fields"]
            if not _refused_by_fastavro(field["type"])
        ]

        def check_record(value: Any) -> None:
            if value.__class__ is not dict and not isinstance(value, Mapping):  # dear, for a dict
                raise LossError(f"{_shown(value)} is no record: give a dict")
            get = value.get
            for name, check in fields:
                inner = get(name, _MISSING)
                if inner is not _MISSING:
                    try:
                        check(inner)
                    except LossError as error:
                        error.path.insert(0, name)
                        raise

        return check_record

    def _array(self, schema: Mapping[str, Any]) -> Check:
        check = self.check(schema["items"])

        def check_array(value: Any) -> None:
            if not isinstance(value, list | tuple | set | frozenset):
                raise LossError(f"{_shown(value)} is no array: give a list")
            for place, item in enumerate(value):
                try:
                    check(item)
                except LossError as error:
                    error.path.insert(0, str(place))
                    raise

        return check_array

    def _map(self, schema: Mapping[str, Any]) -> Check:
        check = self.check(schema["values"])

        def check_map(value: Any) -> None:
            if not isinstance(value, Mapping):
                raise LossError(f"{_shown(value)} is no map: give a dict")
            for key, inner in value.items():
                try:
                    check(inner)
                except LossError as error:
                    error.path.insert(0, str(key))
                    raise

        return check_map

    def _union(self, branches: list[Any]) -> Check:
        named = {_type_name(branch): self.check(branch) for branch in branches}
        others = [check for name, check in named.items() if name != "null"]
        has_null = "null" in named
        if len(others) == 1:
            only = others[0]

            def check_optional(value: Any) -> None:
                if value is None and has_null:
                    return
                only(value[1] if _is_named(value, named) else value)

            return check_optional

        def check_union(value: Any) -> None:
            if value is None and has_null:
                return None
            if _is_named(value, named):
                return named[value[0]](value[1])
            errors = []
            for check in others:
                try:
                    return check(value)
                except LossError as error:
                    errors.append(error)
            # The deepest is of the branch that was meant.
            raise max(errors, key=lambda error: len(error.path))

        return check_union


def _is_named(value: Any, named: Mapping[str, Check]) -> bool:
    """Whether it is a pair of a branch's name and a value, as fastavro takes it."""
    if not isinstance(value, tuple):
        return False
    return len(value) == 2 and isinstance(value[0], str) and value[0] in named


def _type_name(schema: Any) -> str:
    if not isinstance(schema, dict):
        return str(schema)
    return str(schema.get("name") or schema["type"])


def _refused_by_fastavro(schema: Any) -> bool:
    """Whether what does not fit a field's type is refused when it is written."""
    return schema in ("string", "bytes") or (
        isinstance(schema, dict)
        and schema["type"] in ("enum", "fixed")
        and schema.get("logicalType") != "decimal"
    )


def _integer(kind: str) -> Check:
    limit = 1 << _RANGES[kind]

    def check(value: Any) -> None:
        if value.__class__ is not int and (not isinstance(value, int) or value.__class__ is bool):
            raise LossError(f"{_shown(value)} is no {kind}: give an int")
        if not -limit <= value < limit:
            raise LossError(f"{value} is out of the range of {kind}")

    return check


def _boolean(value: Any) -> None:
    if value is not True and value is not False:
        raise LossError(f"{_shown(value)} is no boolean: give True or False")


def _null(value: Any) -> None:
    if value is not None:
        raise LossError(f"{_shown(value)} is not null")


def _double(value: Any) -> None:
    if value.__class__ is float:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise LossError(f"{_shown(value)} is no double: give a float")
    if isinstance(value, int) and not _is_exact(value):
        raise LossError(f"{value} is no double: it would lose digits")


def _is_exact(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _float(value: Any) -> None:
    _double(value)
    if not -_FLOAT_MAX <= value <= _FLOAT_MAX and math.isfinite(value):
        raise LossError(f"{value} is out of the range of float: the schema needs a double")


def _instance(kind: type | tuple[type, ...], name: str) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, kind):
            raise LossError(f"{_shown(value)} is no {name}")

    return check


def _enum(symbols: frozenset[str]) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, str) or value not in symbols:
            raise LossError(f"{_shown(value)} is none of {', '.join(sorted(symbols))}")

    return check


def _fixed(size: int) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, bytes | bytearray) or len(value) != size:
            raise LossError(f"{_shown(value)} is not {size} bytes")

    return check


def _moment(*, zoned: bool) -> Check:
    integer = _integer("long")

    def check(value: Any) -> None:
        if not isinstance(value, datetime):
            return integer(value)
        if zoned and value.utcoffset() is None:
            raise LossError(f"{value} has no zone: give one, datetime.now(UTC)")
        if not zoned and value.tzinfo is not None:
            raise LossError(f"{value} has a zone, which a local timestamp does not keep")
        return None

    return check


def _day(value: Any) -> None:
    if isinstance(value, datetime):
        raise LossError(f"{value} has a time, which a date does not keep: give value.date()")
    if not isinstance(value, date):
        _integer("int")(value)


def _clock(kind: str) -> Check:
    integer = _integer(kind)

    def check(value: Any) -> None:
        if not isinstance(value, time):
            return integer(value)
        if value.tzinfo is not None:
            raise LossError(f"{value} has a zone, which a time of day does not keep")
        return None

    return check


def _decimal(value: Any) -> None:
    if not isinstance(value, Decimal) or not value.is_finite():
        raise LossError(f"{_shown(value)} is no decimal: give a finite Decimal")


def _uuid(value: Any) -> None:
    if isinstance(value, UUID):
        return
    try:
        UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise LossError(f"{_shown(value)} is no UUID") from None


def _shown(value: Any) -> str:
    """A value of any size and its type, in a few words."""
    text = repr(value) if isinstance(value, bool | float | Decimal | None) else ""
    return f"{text} ({type(value).__name__})" if text else f"a {type(value).__name__}"


_PRIMITIVE: Final[Mapping[str, Check]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer("int"),
    "long": _integer("long"),
    "float": _float,
    "double": _double,
    "bytes": _instance((bytes, bytearray), "bytes"),
    "string": _instance(str, "string"),
}

_LOGICAL: Final[Mapping[tuple[str, str | None], Check]] = {
    ("long", "timestamp-millis"): _moment(zoned=True),
    ("long", "timestamp-micros"): _moment(zoned=True),
    ("long", "local-timestamp-millis"): _moment(zoned=False),
    ("long", "local-timestamp-micros"): _moment(zoned=False),
    ("int", "date"): _day,
    ("int", "time-millis"): _clock("int"),
    ("long", "time-micros"): _clock("long"),
    ("bytes", "decimal"): _decimal,
    ("string", "uuid"): _uuid,
}
