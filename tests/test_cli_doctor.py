"""`slip doctor`: who answers, what is missing, and that it neither hangs nor makes anything."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from slipcore import App
from slipcore.config import Config
from slipcore.plugins import Plugins
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Write: TypeAlias = Callable[..., Path]

SQLITE = sqlite3.sqlite_version

ALL_IN_MEMORY = '[defaults]\ntopic = "memory"\ncache = "memory"\ncheckpoint_store = "memory"\n'

APP = """
from slipcore import Cache, Topic, handle
words, counts = Topic("words"), Cache("counts")

@handle(words, sink=[counts])
def count(word):
    return word.key, 1
"""

ODD = """
import time
import msgspec
from slipcore import hookimpl
from slipcore.interfaces import ConnectError, Secret

class Hangs(msgspec.Struct):
    async def probe(self, names, scope, timeout):
        time.sleep(60)

class Raises(msgspec.Struct):
    password: Secret = Secret("hunter2")
    async def probe(self, names, scope, timeout):
        raise RuntimeError("no hunter2 at odd://joe:hunter3@here")

class Refuses(msgspec.Struct):
    async def probe(self, names, scope, timeout):
        raise ConnectError(f"nobody is there for {names}")

class Silent(msgspec.Struct):
    pass

class Lost(msgspec.Struct):
    pass

@hookimpl
def register_sources(register):
    for options in (Hangs, Raises, Refuses, Silent):
        register(options.__name__.lower(), print, options=options)
    register("lost", "nowhere:Source", options=Lost)
"""


@pytest.fixture
def odd(write: Write, tmp_path: Path) -> dict[str, str]:
    """The environment in which a plugin has backends that can't be asked in order."""
    info = "site/odd_slip-1.0.dist-info"
    write("site/odd_slip.py", ODD)
    write(f"{info}/METADATA", "Metadata-Version: 2.1\nName: odd-slip\nVersion: 1.0\n")
    write(f"{info}/entry_points.txt", "[slipcore]\nodd = odd_slip\n")
    return {"PYTHONPATH": str(tmp_path / "site")}


def rows(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """What was found, by the first resource."""
    return {row["resources"][0]: row for row in json.loads(result.stdout)}


def test_what_is_configured_is_asked_and_nothing_is_made(
    slip: Slip, write: Write, tmp_path: Path
) -> None:
    """Each backend once, by equal options, with what is on it and what is not there yet."""
    write(
        "slip.toml",
        ALL_IN_MEMORY + "\n[topics.a]\nbackend = 'sqlite'\n\n[topics.b]\nbackend = 'sqlite'\n",
    )
    found = json.loads(slip("doctor", "--json").stdout)
    assert [dict(row, seconds=0.0) for row in found[:2]] == [
        {
            "backend": "sqlite",
            "resources": ["topic a", "topic b"],
            "status": "answered",
            "answered": f"SQLite {SQLITE}",
            "version": SQLITE,
            "missing": [
                f"the file {tmp_path}/.slip/slip.db is not there yet; it is made at the first use"
            ],
            "seconds": 0.0,
            "problem": None,
        },
        {
            "backend": "memory",
            "resources": ["any other topic"],
            "status": "answered",
            "answered": "in memory, as long as the process lives",
            "version": None,
            "missing": [],
            "seconds": 0.0,
            "problem": None,
        },
    ]
    assert not (tmp_path / ".slip").exists()


def test_the_resources_of_an_app_are_asked_alone(slip: Slip, write: Write) -> None:
    """Entries that the app does not use are left alone; the text fits 80 columns."""
    write("slip.toml", ALL_IN_MEMORY + "\n[topics.away]\nbackend = 'sqlite'\npath = '/proc/x'\n")
    write("words.py", APP)
    result = slip("doctor", "words.py")
    assert (result.returncode, result.stderr) == (0, "")
    assert "for topic words" in result.stdout
    assert "away" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_topic_that_is_not_there_is_missing(slip: Slip, tmp_path: Path, write: Write) -> None:
    """A file that is there is looked into, and left as it is."""
    app = App("shop", config=Config.load(tmp_path, {}), plugins=Plugins(entry_points=[]))
    app.cache("counts")["a"] = 1
    app.close()
    before = sorted((tmp_path / ".slip").iterdir())
    write("slip.toml", "[topics.words]\nbackend = 'sqlite'\n")
    row = rows(slip("doctor", "--json"))["topic words"]
    assert row["answered"] == f"SQLite {SQLITE}, {tmp_path}/.slip/slip.db"
    assert row["missing"] == ["the topic words is not there yet; it is made at the start"]
    assert sorted((tmp_path / ".slip").iterdir()) == before


def test_a_file_of_others_has_failed(slip: Slip, write: Write) -> None:
    """What could not be opened at the start is told now, with exit code 1."""
    write("other.db", "no database, and long enough to be taken for a header of one" * 10)
    write("slip.toml", ALL_IN_MEMORY + "\n[topics.words]\nbackend = 'sqlite'\npath = 'other.db'\n")
    result = slip("doctor", "--json")
    assert result.returncode == 1
    row = rows(result)["topic words"]
    assert row["status"] == "failed"
    assert "other.db is no SQLite file: name another path" in row["problem"]


def test_a_backend_that_hangs_does_not_keep_the_others(
    slip: Slip, write: Write, odd: dict[str, str]
) -> None:
    """At the deadline it has failed, the others have answered, and the process ends."""
    write("slip.toml", ALL_IN_MEMORY + "\n[sources.a]\nbackend = 'hangs'\n")
    began = time.monotonic()
    result = slip("doctor", "--json", "--timeout", "1.5", **odd)
    assert time.monotonic() - began < 10
    assert result.returncode == 1
    found = rows(result)
    assert found["source a"]["status"] == "failed"
    assert found["source a"]["problem"] == "there was no answer within 1.5 s"
    assert found["any other topic"]["status"] == "answered"


@pytest.mark.parametrize(
    ("backend", "code", "status", "problem"),
    [
        ("raises", 1, "failed", "RuntimeError: no *** at odd://joe:***@here"),
        ("refuses", 1, "failed", "nobody is there for ['a']"),
        (
            "silent",
            0,
            "not checked",
            "it can't be asked without being opened, which could make what is not there",
        ),
        (
            "lost",
            1,
            "failed",
            "odd-slip:odd registers the source or topic backend 'lost' in the module nowhere, and "
            "there is no nowhere.",
        ),
    ],
)
def test_what_a_backend_says_is_told_without_secrets(
    slip: Slip,
    write: Write,
    odd: dict[str, str],
    backend: str,
    code: int,
    status: str,
    problem: str,
) -> None:
    """A refusal, a mistake of the plugin's own, and one that offers no way to ask."""
    write("slip.toml", ALL_IN_MEMORY + f"\n[sources.a]\nbackend = '{backend}'\n")
    result = slip("doctor", "--json", **odd)
    row = rows(result)["source a"]
    assert (result.returncode, row["status"], row["problem"]) == (code, status, problem)


def test_what_is_set_wrong_is_told(slip: Slip, write: Write) -> None:
    """With exit code 2, and all others are asked nevertheless."""
    write("slip.toml", ALL_IN_MEMORY + "\n[topics.a]\npartitions = 'x'\n")
    result = slip("doctor", "--json")
    assert result.returncode == 2
    found = rows(result)
    assert found["topic a"]["status"] == "misconfigured"
    assert found["topic a"]["problem"].startswith("topic 'a': 'partitions' is to be int | None")
    assert found["any other topic"]["status"] == "answered"


def test_settings_of_a_backend_without_resources_are_tried(slip: Slip, write: Write) -> None:
    """[backends.NAME] is asked by itself where no resource is on it."""
    write("slip.toml", ALL_IN_MEMORY + "\n[backends.sqlite]\npath = 'slip.toml/x.db'\n")
    result = slip("doctor")
    assert result.returncode == 1
    assert "slip.toml is a file, and is to be a directory" in result.stdout.replace("\n    ", " ")


# --- servers -------------------------------------------------------------------------------


def test_a_kafka_is_asked_and_no_topic_is_made(slip: Slip, write: Write, kafka: Kafka) -> None:
    """How many brokers there are, and which topic is missing: the second time too."""
    write("slip.toml", ALL_IN_MEMORY + "\n[topics.doctor-looked-for-it]\nbackend = 'kafka'\n")
    for _ in range(2):
        result = slip(
            "doctor",
            "--json",
            SLIP_TOPICS__DOCTOR_LOOKED_FOR_IT__BOOTSTRAP_SERVERS=kafka.address,
        )
        row = rows(result)["topic doctor-looked-for-it"]
        assert (result.returncode, row["status"]) == (0, "answered")
        assert row["answered"].startswith(f"Kafka at {kafka.address}, ")
        assert row["missing"] == [
            "the topic doctor-looked-for-it is not there yet; it is made at the start"
        ]


def test_a_redis_is_asked_and_no_topic_is_made(slip: Slip, write: Write, redis: Redis) -> None:
    """Its version, and which topic is missing: the second time too."""
    write("slip.toml", ALL_IN_MEMORY + "\n[topics.doctor-looked-for-it]\nbackend = 'redis'\n")
    for _ in range(2):
        result = slip("doctor", "--json", SLIP_TOPICS__DOCTOR_LOOKED_FOR_IT__URL=redis.url)
        row = rows(result)["topic doctor-looked-for-it"]
        assert (result.returncode, row["status"]) == (0, "answered")
        assert row["answered"].startswith(f"Redis {row['version']} at ")
        assert row["missing"] == [
            "the topic doctor-looked-for-it is not there yet; it is made at the start"
        ]


def test_a_server_that_is_not_there_has_failed_in_time(slip: Slip, write: Write) -> None:
    """Kafka and Redis say themselves why there is no answer, within the deadline."""
    write(
        "slip.toml",
        ALL_IN_MEMORY + "\n[topics.k]\nbackend = 'kafka'\nbootstrap_servers = 'localhost:1'\n"
        "\n[topics.r]\nbackend = 'redis'\nurl = 'redis://joe:hunter2@localhost:1/0'\n",
    )
    began = time.monotonic()
    result = slip("doctor", "--json", "--timeout", "16")
    assert time.monotonic() - began < 40
    found = rows(result)
    assert result.returncode == 1
    assert "no Kafka answers at localhost:1 within 8 s" in found["topic k"]["problem"]
    assert "Redis at localhost:1" in found["topic r"]["problem"]
    assert "hunter2" not in result.stdout + result.stderr
    assert result.stderr == ""
