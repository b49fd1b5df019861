"""What all contenders do to a record from Kafka, and how they are started.

A contender is a process: `python -m benchmarks.contenders.NAME JOB BOOTSTRAP SOURCE SINK FOLDER`.
It reads the topic SOURCE from its beginning and writes to SINK until it is ended. FOLDER is empty
and takes its state.

The jobs: `pass` writes what was read; `json`, `typed` and `avro` decode the value, add 1 to its
field `n` and encode it; `count` writes how many records of the key there have been.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec

PARTITIONS: Final = 4

SCHEMA: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "user", "type": "string"},
        {"name": "n", "type": "long"},
        {"name": "note", "type": "string"},
    ],
}


class Order(msgspec.Struct):
    """The value of a record."""

    id: int
    user: str
    n: int
    note: str


@dataclass(frozen=True, slots=True)
class Task:
    """What a contender was started with."""

    job: str
    bootstrap: str
    source: str
    sink: str
    folder: Path

    @property
    def group(self) -> str:
        return f"group-{self.sink}"


def task() -> Task:
    """Read the command line, and say how much memory is held before anything has been done."""
    job, bootstrap, source, sink, folder = sys.argv[1:]
    print(resident(os.getpid()), flush=True)
    return Task(job, bootstrap, source, sink, Path(folder))


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where that can't be seen."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def change_of(job: str) -> Callable[[bytes], bytes]:
    """The job as a function of the value alone; `count` has none."""
    if job == "pass":
        return lambda value: value
    if job == "json":
        return _change_json
    if job == "typed":
        return _change_typed()
    return _change_avro()


def _change_json(value: bytes) -> bytes:
    order = msgspec.json.decode(value)
    order["n"] += 1
    return msgspec.json.encode(order)


def on_dict(record: Any) -> tuple[bytes, dict[str, Any]]:
    """The job `json` as a handler of records."""
    order = record.value
    order["n"] += 1
    return record.key, order


def _change_typed() -> Callable[[bytes], bytes]:
    decode, encode = msgspec.json.Decoder(Order).decode, msgspec.json.Encoder().encode

    def change(value: bytes) -> bytes:
        order = decode(value)
        order.n += 1
        return encode(order)

    return change


def _change_avro() -> Callable[[bytes], bytes]:
    from fastavro import parse_schema, schemaless_reader, schemaless_writer

    schema = parse_schema(SCHEMA)

    def change(value: bytes) -> bytes:
        order = schemaless_reader(BytesIO(value), schema, None)
        order["n"] += 1  # type: ignore[call-overload, index, operator]  # the schema says so
        written = BytesIO()
        schemaless_writer(written, schema, order)
        return written.getvalue()

    return change


class Counts:
    """How many records of each key there have been, in a dict."""

    def __init__(self) -> None:
        self._of: dict[bytes, int] = {}

    def next(self, key: bytes) -> bytes:
        """Count one more of a key."""
        count = self._of[key] = self._of.get(key, 0) + 1
        return b"%d" % count


def each_of(job: str) -> Callable[[bytes, bytes], bytes]:
    """The job as a function of key and value, which keeps counts in a dict."""
    if job == "count":
        count = Counts().next
        return lambda key, value: count(key)
    change = change_of(job)
    return lambda key, value: change(value)
