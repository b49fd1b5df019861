"""From a dataclass, Struct or TypedDict to an Avro schema."""

from __future__ import annotations

import enum
import math
import re
from typing import Any, Final

from msgspec import NODEFAULT, inspect

from slip_avro.schemas import Json
from slipcore.interfaces import ConfigError

_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")

_PLAIN: Final[dict[type[inspect.Type], Json]] = {
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "long",
    inspect.FloatType: "double",
    inspect.StrType: "string",
    inspect.BytesType: "bytes",
    inspect.DecimalType: "string",  # annotations have no precision, which Avro's decimal needs
    inspect.TimeDeltaType: "string",
    inspect.UUIDType: {"type": "string", "logicalType": "uuid"},
    inspect.DateType: {"type": "int", "logicalType": "date"},
    inspect.TimeType: {"type": "long", "logicalType": "time-micros"},
}

_RECORDS: Final = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)
_ARRAYS: Final = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)
_EMPTY: Final[dict[Any, Json]] = {list: [], set: [], frozenset: [], tuple: [], dict: {}}


def derive_schema(kind: Any) -> Json:
    """The schema whose values are those of a type.

    An int is a long and a float a double. A datetime is a timestamp in microseconds (a local one
    with `Meta(tz=False)`); a Decimal and a timedelta are strings, exactly. Defaults become defaults
    where Avro has a word for them.

    Raises:
        ConfigError: something in it has no type in Avro.
    """
    try:
        info = inspect.type_info(kind)
    except (TypeError, NameError) as error:
        raise ConfigError(f"type={_named(kind)} has no Avro schema: {error}") from error
    return _Derivation(_named(kind)).schema(info)


class _Derivation:
    def __init__(self, what: str) -> None:
        self._what = what
        self._named: dict[str, Any] = {}

    def schema(self, info: inspect.Type) -> Json:
        if isinstance(info, inspect.Metadata):
            return self.schema(info.type)
        if type(info) in _PLAIN:
            return _PLAIN[type(info)]
        if isinstance(info, inspect.DateTimeType):
            local = "local-" if info.tz is False else ""
            return {"type": "long", "logicalType": f"{local}timestamp-micros"}
        if isinstance(info, _ARRAYS):
            return {"type": "array", "items": self.schema(info.item_type)}
        if isinstance(info, inspect.DictType):
            if not isinstance(info.key_type, inspect.StrType):
                raise self._refusal("a dict whose keys are not str")
            return {"type": "map", "values": self.schema(info.value_type)}
        if isinstance(info, inspect.UnionType):
            return self._union(info)
        if isinstance(info, inspect.EnumType):
            return self._enum(info.cls)
        if isinstance(info, inspect.LiteralType):
            return self._values(list(info.values))
        if isinstance(info, _RECORDS):
            return self._record(info)
        raise self._refusal(type(info).__name__.removesuffix("Type"))

    def _union(self, info: inspect.UnionType) -> Json:
        branches = [self.schema(each) for each in sorted(info.types, key=_null_first)]
        kinds = [branch["type"] if isinstance(branch, dict) else branch for branch in branches]
        twice = [kind for kind in kinds if kinds.count(kind) > 1 and kind != "enum"]
        if twice:
            raise self._refusal(f"a union of two types that are both {twice[0]}")
        return branches

    def _record(
        self, info: inspect.StructType | inspect.DataclassType | inspect.TypedDictType
    ) -> Json:
        name = self._name(info.cls)
        if name in self._named:
            if self._named[name] is not info.cls:
                raise self._refusal(f"two types named {name}")
            return name
        self._named[name] = info.cls
        fields: list[dict[str, Any]] = []
        if isinstance(info, inspect.StructType):
            if info.array_like:
                raise self._refusal(f"{name}, which is array_like")
            if info.tag_field is not None:
                tag = {"name": info.tag_field, "default": info.tag}
                fields.append({**tag, "type": self._values([info.tag])})
        return {
            "type": "record",
            "name": name,
            "fields": fields + list(map(self._field, info.fields)),
        }

    def _field(self, field: inspect.Field) -> dict[str, Any]:
        if not _NAME.fullmatch(field.encode_name):
            raise self._refusal(f"the field name {field.encode_name!r}")
        if not field.required and field.default is NODEFAULT is field.default_factory:
            raise self._refusal(f"{field.name}, which may be left out")
        schema = self.schema(field.type)
        default = _default(field)
        if isinstance(schema, list) and default is not None and default is not NODEFAULT:
            schema = sorted(schema, key=lambda branch: branch == "null")
            # A default is one of the first branch, and which one it is of nobody says.
            default = NODEFAULT if len(schema) > 2 else default
        if default is NODEFAULT:
            return {"name": field.encode_name, "type": schema}
        return {"name": field.encode_name, "type": schema, "default": default}

    def _enum(self, cls: type[enum.Enum]) -> Json:
        values = [member.value for member in cls]
        if not all(isinstance(value, str) and _NAME.fullmatch(value) for value in values):
            return self._values(values)
        name = self._name(cls)
        if name in self._named:
            return name
        self._named[name] = cls
        return {"type": "enum", "name": name, "symbols": values}

    def _values(self, values: list[Any]) -> Json:
        if all(isinstance(value, str) for value in values):
            return "string"
        if all(isinstance(value, int) for value in values):
            return "long"
        raise self._refusal("values that are neither all str nor all int")

    def _name(self, cls: type) -> str:
        if not _NAME.fullmatch(cls.__name__):
            raise self._refusal(f"the name {cls.__name__!r}")
        return cls.__name__

    def _refusal(self, what: str) -> ConfigError:
        return ConfigError(
            f"type={self._what} has no Avro schema by itself, because of {what}: give schema= too"
        )


def _default(field: inspect.Field) -> Any:
    """The default as Avro says it; NODEFAULT: there is none, or none that Avro can say."""
    if field.default_factory is not NODEFAULT:
        return _EMPTY.get(field.default_factory, NODEFAULT)
    default = field.default
    if isinstance(default, enum.Enum):
        default = default.value
    if isinstance(default, float) and not math.isfinite(default):
        return NODEFAULT
    if default is None or isinstance(default, bool | int | float | str):
        return default
    if not default:
        return _EMPTY.get(type(default), NODEFAULT)
    return NODEFAULT


def _null_first(info: inspect.Type) -> bool:
    return not isinstance(info, inspect.NoneType)


def _named(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or str(kind)
