"""A look over bytes before they are read, for schemas with which few bytes can cost much.

fastavro makes as many items of no bytes as a length says (five bytes: ten million nulls), turns a
decimal of 1 MB into a number for half a minute, and its reader for recursive schemas adds up
a length of 1 MB just as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from slip_avro.schemas import AvroSchema

Scan: TypeAlias = Callable[[bytes, int], None]
"""Raises `ScanError` for bytes, from a place on, that are no value or would cost too much."""

EMPTY_ITEMS: Final = 10_000
"""How many items of arrays a value may have that take no bytes: nulls, records without fields."""

DECIMAL_BYTES: Final = 16_384
"""Up to so many bytes in all, decimals are read at once whatever their length."""

_VARINT_BYTES: Final = 10
_WIDTHS: Final = {"null": 0, "boolean": 1, "float": 4, "double": 8}


class ScanError(ValueError):
    """Bytes that are not read; the message says which of them."""


class _Cursor:
    """A place in the bytes of one value, and how many empty items may still come."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self._empty_items = EMPTY_ITEMS

    def long(self) -> int:
        number, began = 0, self.at
        for place in range(_VARINT_BYTES):
            if self.at >= len(self.data):
                raise EOFError
            byte = self.data[self.at]
            self.at += 1
            number |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if number >> 64:
                    break
                return (number >> 1) ^ -(number & 1)
        raise ScanError(f"the number at byte {began} has more than 64 bits")

    def skip(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise EOFError
        self.at += size

    def spend(self, items: int) -> None:
        self._empty_items -= items
        if self._empty_items < 0:
            raise ScanError(
                f"before byte {self.at} it has more than {EMPTY_ITEMS} items that take no bytes"
            )

    def size(self) -> int:
        began, size = self.at, self.long()
        if size < 0:
            raise ScanError(f"the length at byte {began} is {size}")
        return size

    def index(self, number: int) -> int:
        began, index = self.at, self.long()
        if not 0 <= index < number:
            raise ScanError(f"the choice at byte {began} is {index}, of {number}")
        return index


_Step: TypeAlias = Callable[[_Cursor], None]


def compile_scan(schema: AvroSchema) -> Scan | None:
    """What looks over a schema's bytes; None: reading them costs no more than their number."""
    compiler = _Compiler(schema.named)
    step = compiler.step(schema.parsed)
    if not (schema.is_recursive or compiler.has_empty_items or compiler.has_decimals):
        return None
    least = 0 if schema.is_recursive or compiler.has_empty_items else DECIMAL_BYTES

    def scan(data: bytes, start: int) -> None:
        if len(data) >= least:
            step(_Cursor(data, start))

    return scan


class _Compiler:
    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._steps: dict[str, _Step] = {}
        self.has_empty_items = False
        self.has_decimals = False

    def step(self, schema: Any) -> _Step:
        if isinstance(schema, list):
            return self._union([self.step(branch) for branch in schema])
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, dict | list):
            return self.step(kind)
        if kind in _WIDTHS:
            width = _WIDTHS[kind]
            return lambda cursor: cursor.skip(width)
        if kind in ("int", "long"):
            return lambda cursor: _ignore(cursor.long())
        if kind in ("bytes", "string"):
            return self._text(schema)
        if kind in ("record", "error"):
            return self._record(schema)
        if kind == "array":
            return self._array(schema["items"])
        if kind == "map":
            return self._map(self.step(schema["values"]))
        if kind == "enum":
            number = len(schema["symbols"])
            return self._keep(schema, lambda cursor: _ignore(cursor.index(number)))
        if kind == "fixed":
            size = schema["size"]
            return self._keep(schema, lambda cursor: cursor.skip(size))
        return self._reference(kind)

    def _keep(self, schema: Mapping[str, Any], step: _Step) -> _Step:
        self._steps[schema["name"]] = step
        return step

    def _reference(self, name: str) -> _Step:
        if name not in self._steps and name in self._named:
            self.step(self._named[name])
        return lambda cursor: self._steps[name](cursor)

    def _text(self, schema: Any) -> _Step:
        if not isinstance(schema, dict) or schema.get("logicalType") != "decimal":
            return lambda cursor: cursor.skip(cursor.size())
        self.has_decimals = True
        # Less than half a byte a digit; who writes more than twice that writes no decimal.
        most = schema.get("precision", 0) + 16

        def decimal(cursor: _Cursor) -> None:
            began, size = cursor.at, cursor.size()
            if size > most:
                raise ScanError(
                    f"the decimal at byte {began} has {size} bytes; its precision takes {most} "
                    "at the most"
                )
            cursor.skip(size)

        return decimal

    def _record(self, schema: Mapping[str, Any]) -> _Step:
        steps: list[_Step] = []

        def record(cursor: _Cursor) -> None:
            for step in steps:
                step(cursor)

        self._keep(schema, record)
        steps += [self.step(field["type"]) for field in schema["fields"]]
        return record

    def _union(self, branches: list[_Step]) -> _Step:
        return lambda cursor: branches[cursor.index(len(branches))](cursor)

    def _array(self, items: Any) -> _Step:
        step = self.step(items)
        if not self._is_empty(items, ()):
            return _blocks(lambda cursor, count: _each(cursor, count, step))
        self.has_empty_items = True
        return _blocks(lambda cursor, count: cursor.spend(count))

    def _map(self, step: _Step) -> _Step:
        def entry(cursor: _Cursor) -> None:
            cursor.skip(cursor.size())
            step(cursor)

        return _blocks(lambda cursor, count: _each(cursor, count, entry))

    def _is_empty(self, schema: Any, within: tuple[str, ...]) -> bool:
        """Whether values take no bytes."""
        if isinstance(schema, list):
            return False
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, dict | list):
            return self._is_empty(kind, within)
        if kind in ("record", "error"):
            name = schema["name"]
            return name not in within and all(
                self._is_empty(field["type"], (*within, name)) for field in schema["fields"]
            )
        if kind == "fixed":
            return bool(schema["size"] == 0)
        return kind == "null" or (kind in self._named and self._is_empty(self._named[kind], within))


def _blocks(block: Callable[[_Cursor, int], None]) -> _Step:
    def scan(cursor: _Cursor) -> None:
        while (count := cursor.long()) != 0:
            if count < 0:
                count = -count
                cursor.size()  # of the block in bytes, which nobody needs
            block(cursor, count)

    return scan


def _each(cursor: _Cursor, count: int, step: _Step) -> None:
    for _ in range(count):
        step(cursor)


def _ignore(number: int) -> None:
    """A number is as good as any other."""
