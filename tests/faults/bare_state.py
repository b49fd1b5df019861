"""State as the bare databases have it: keys, values, and how far their sources are.

A key that is a string is the byte 0x20 and its UTF-8; a value of scalars is plain MessagePack.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis as Client
from rocksdict import AccessType, Options, Rdict

_SPACE = struct.Struct(">cI")


@dataclass(frozen=True, slots=True)
class State:
    """What a store held at one moment.

    Attributes:
        positions: partition -> the last offset whose effects are in it.
    """

    counts: dict[str, dict[str, Any]]
    positions: dict[int, int]


def of_sqlite(directory: Path) -> State | None:
    """What the database of an app's state holds; None: there is none.

    A copy of it is looked at: who closes a database last writes its log into it.
    """
    files = list(directory.glob("slip.db*"))
    if not any(file.name == "slip.db" for file in files):
        return None
    with tempfile.TemporaryDirectory() as name:
        for file in files:
            if not file.is_dir():
                with suppress(FileNotFoundError):  # its log goes with who has it open
                    shutil.copy(file, name)
        with closing(sqlite3.connect(Path(name) / "slip.db")) as db:
            pairs = db.execute("SELECT key, value FROM entries").fetchall()
            places = db.execute("SELECT partition, position FROM positions").fetchall()
    return State(_counts(pairs), dict(places))


def of_rocks(directory: Path) -> State | None:
    """What the database of its cache holds; a copy of it is looked at."""
    places = [path.parent for path in directory.rglob("CURRENT")]
    if not places:
        return None
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "copy"
        shutil.copytree(places[0], copy)
        pairs: list[tuple[bytes, bytes]] = []
        positions: dict[int, int] = {}
        db = Rdict(str(copy), Options(raw_mode=True), access_type=AccessType.read_only())
        try:
            found: Any = db.items()  # bytes, in raw mode
            for key, value in found:
                if key[:1] == b"v":
                    pairs.append((key[_SPACE.size :], value))
                elif key[:1] == b"p":
                    positions[int.from_bytes(key[-8:], "big", signed=True)] = int.from_bytes(
                        value, "big", signed=True
                    )
        finally:
            db.close()
    return State(_counts(pairs), positions)


def of_redis(host: str, port: int, app: str) -> State:
    """What a server holds for an app."""
    prefix = f"{{slip:state:{app}}}:"
    with closing(Client(host=host, port=port)) as client:
        values: Any = client.hgetall(f"{prefix}values:counts")
        positions: dict[int, int] = {}
        for key in client.scan_iter(f"{prefix}positions:*"):
            kept: Any = client.hgetall(key)
            positions.update({int(p): int(at) for p, at in kept.items()})
    return State(_counts(values.items()), positions)


def _counts(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, dict[str, Any]]:
    return {key[1:].decode(): msgspec.msgpack.decode(value) for key, value in pairs}
