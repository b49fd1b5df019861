"""Pickle runs what the bytes say: nothing reads it that was not told to."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slip_avro
import slip_kafka
import slip_redis
import slip_rocks

import slipcore
from slipcore import App
from slipcore.codecs import ExactCodec, JsonCodec
from slipcore.config import Config
from slipcore.interfaces import DecodeError, SlipError

PACKAGES = [slipcore, slip_kafka, slip_redis, slip_rocks, slip_avro]
LOADS = re.compile(r"\b(pickle|dill|shelve|marshal|cloudpickle)\b\.?\w*|\b(eval|exec)\(")


class Attack:
    """What makes a directory where its pickle is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app of a directory of its own."""
    made = App("shop", config=Config.load(tmp_path, {}))
    yield made
    made.close()


@pytest.fixture
def loaded(tmp_path: Path) -> Path:
    """What is there once the attack was loaded."""
    return tmp_path / "loaded"


def read(app: App, message: bytes, codec: Any, **kwargs: Any) -> Any:
    """What a handler gets of a message that somebody has put into its topic."""
    got: list[Any] = []
    name = f"orders{len(app.bindings)}"
    topic = app.topic(name, **({} if codec is None else {"codec": codec}), **kwargs)

    @app.handle(topic)
    def take(record: Any) -> None:
        got.append(record.value)
        app.stop()

    async def scenario() -> None:
        await app.topic(name, codec="raw", key_codec="raw")(message, message)
        await app.stream()

    asyncio.run(scenario())
    return got[0]


@pytest.mark.parametrize("codec", [None, "text", "json", "msgpack", JsonCodec(), ExactCodec()])
def test_a_message_of_an_attacker_is_not_loaded(app: App, loaded: Path, codec: Any) -> None:
    """No codec reads it, the default one neither: a DecodeError says where it stands."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        message = pickle.dumps(Attack(loaded), protocol)
        own = App(f"shop{protocol}", config=app.config)
        try:
            with pytest.raises((DecodeError, AssertionError)):
                assert isinstance(read(own, message, codec, key_codec="raw"), Attack)
        finally:
            own.close()
        assert not loaded.exists()


def test_raw_bytes_stay_bytes(app: App, loaded: Path) -> None:
    """Who reads bytes gets them, whatever they would say as a pickle."""
    message = pickle.dumps(Attack(loaded))
    assert read(app, message, "raw", key_codec="raw") == message
    assert not loaded.exists()


def test_who_chooses_pickle_gets_it(app: App, loaded: Path) -> None:
    """And the attack with it: that is how one sees that this test would find it."""
    read(app, pickle.dumps(Attack(loaded)), "pickle", key_codec="raw")
    assert loaded.is_dir()


def test_state_that_was_replaced_by_pickles_is_not_loaded(
    app: App, tmp_path: Path, loaded: Path
) -> None:
    """Neither values of a cache nor checkpoints are read as pickles."""
    with app.cache("kept") as kept:
        kept["k"] = "v"
    app.close()
    attack = pickle.dumps(Attack(loaded))
    with sqlite3.connect(tmp_path / ".slip" / "slip.db") as db:
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        changed = 0
        for table in tables:
            for _, column, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                if column == "value":
                    changed += db.execute(f"UPDATE {table} SET value = ?", (attack,)).rowcount
    db.close()
    assert changed > 0
    with pytest.raises(SlipError):
        app.cache("kept").get("k")
    assert not loaded.exists()


def test_pickle_has_one_place() -> None:
    """The codec of that name, and nothing else, can load a pickle or run what it reads."""
    found = {
        str(path.relative_to(Path(package.__file__ or "").parent.parent))
        for package in PACKAGES
        for path in Path(package.__file__ or "").parent.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if LOADS.search(re.sub(r"(#.*|\"[^\"]*\"|'[^']*'|`[^`]*`)", "", line))
        and ("import" in line or "(" in line)
    }
    assert found == {"slipcore/backends/codecs.py"}
