"""`slip plugins verify`: an installed backend held to the contracts by its name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner

from slipcore.cli.commands import slip as slip_command
from tests.conftest import SLIP

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


ONE_VALUE = """
import json

from slipcore import hookimpl
from slipcore.interfaces import ICodec


@hookimpl
def register_codecs(register):
    register("one", "slip_one:Codec")


@hookimpl
def register_caches(register):
    register("one", "slip_one:open_store")


def open_store(name, options, scope):
    raise RuntimeError("boom")


class Codec(ICodec):
    def __init__(self, options, type):
        self.value = None

    def encode(self, obj):
        return json.dumps(obj).encode()

    def decode(self, s):
        self.value = self.value or json.loads(s)
        return self.value
"""
"""A plugin whose codec gives one list to everybody, and whose cache can't be opened."""

DEADLINE = 180.0
"""Seconds after which suites that are not over hang, on a slow disk too."""


@pytest.fixture
def slip(tmp_path: Path, slip_environment: dict[str, str]) -> Slip:
    """Run `slip` in the test's directory until it ends."""

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SLIP, *args],
            cwd=tmp_path,
            env=slip_environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    return call


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What `slip plugins verify` says where nothing can be verified."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> str:
        done = CliRunner().invoke(slip_command, ["plugins", "verify", *args])
        assert (done.exit_code, done.stdout) == (2, "")
        return done.stderr

    return call


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_memory_holds_what_it_offers(slip: Slip) -> None:
    """All its kinds; what a name alone says nothing of is not offered."""
    done = slip("plugins", "verify", "memory", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    reports = json.loads(done.stdout)
    assert [r["kind"] for r in reports] == ["topic", "cache", "checkpoint_store"]
    assert {(r["name"], r["owner"], r["note"]) for r in reports} == {
        ("memory", "slipcore:builtin", None)
    }
    assert reports[0]["capabilities"] == ["commit", "partitions", "seek"]
    outcomes = {row["promise"]: row["outcome"] for r in reports for row in r["promises"]}
    assert {promise: outcome for promise, outcome in outcomes.items() if outcome != "held"} == {
        "sink.failed-flush-tells-its-outputs": "not offered",
        "sink.failed-flush-lets-go": "not offered",
    }


def test_rocks_holds_what_it_offers(slip: Slip, write: Callable[..., Path]) -> None:
    """A plugin's backend too, in files of the suite wherever its own are; nothing is left."""
    config = write("slip.toml", '[backends.rocks]\npath = "mine"\n')
    done = slip("plugins", "verify", "rocks")
    assert (done.returncode, done.stderr) == (0, "")
    assert "cache rocks, of slip-rocks:rocks: 22 held, 0 failed, 0 not offered\n" in done.stdout
    assert list(config.parent.iterdir()) == [config]


def test_a_codec_is_shown_as_a_table(slip: Slip) -> None:
    """80 columns wide, with the reason where something is not offered."""
    done = slip("plugins", "verify", "json")
    assert (done.returncode, done.stderr) == (0, "")
    first, head, *rows = done.stdout.splitlines()
    assert first == "codec json, of slipcore:builtin: 9 held, 0 failed, 2 not offered"
    assert head.split() == ["PROMISE", "OUTCOME", "WHY"]
    assert "codec.round-trip                     held" in rows
    assert "codec.reads-to-the-end               not offered  known to its own tests only" in rows
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_what_fails_is_told(
    slip: Slip, slip_environment: dict[str, str], write: Callable[..., Path]
) -> None:
    """The promise, its sentence and the reason; a kind that raises is told and the others go on."""
    module = write("slip_one.py", ONE_VALUE)
    write("slip_one-1.0.dist-info/METADATA", "Name: slip-one\nVersion: 1.0\n")
    write("slip_one-1.0.dist-info/entry_points.txt", "[slipcore]\none = slip_one\n")
    path = (str(module.parent), slip_environment.get("PYTHONPATH", ""))
    slip_environment["PYTHONPATH"] = os.pathsep.join(path)
    done = slip("plugins", "verify", "one", "--value", "[1]")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert done.stderr == ""
    assert (
        "cache one, of slip-one:one: not verified. It can't be opened, which raised RuntimeError: "
        "boom" in said
    )
    assert "codec one, of slip-one:one: " in said
    assert "codec.results-are-apart: No two calls share a value that can be changed." in said


def test_what_could_not_be_verified_is_not_in_order(slip: Slip) -> None:
    """A codec that writes none of the examples ends with 2, and with 0 once it is given a value."""
    schema = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}'
    command = ("plugins", "verify", "avro", "--set", f"schema={schema}")
    done = slip(*command)
    assert done.returncode == 2
    assert "codec avro, of slip-avro:avro: not verified. It writes none" in done.stdout
    reports = slip(*command, "--json")
    assert reports.returncode == 2
    assert "--value JSON" in json.loads(reports.stdout)[0]["note"]
    assert slip(*command, "--value", '{"a": 1}').returncode == 0


def test_an_unknown_name_is_refused(refused: Callable[..., str]) -> None:
    """With the names that there are."""
    assert refused("nats").startswith("Error: There is no backend 'nats': there are ")


def test_a_wrong_setting_is_refused(refused: Callable[..., str]) -> None:
    """As it was written."""
    assert refused("sqlite", "--set", "pth=x") == (
        "Error: --set pth: [backends.sqlite] has no setting 'pth'. Did you mean 'path'?\n"
    )
    assert refused("sqlite", "--set", "path") == ("Error: --set takes KEY=VALUE, not 'path'.\n")
    assert refused("json", "--value", "{").startswith("Error: --value takes JSON, such as ")
    assert refused("kafka") == (
        "Error: topic kafka needs the setting 'bootstrap_servers' (str | list[str]): give it with "
        "--set, in slip.toml or in the environment.\n"
    )


def test_a_value_that_the_codec_does_not_write_is_refused(refused: Callable[..., str]) -> None:
    """It is the operator's mistake, and no promise is broken by it."""
    said = refused("text", "--value", '"good"', "--value", "5")
    assert said.startswith("Error: codec text does not write the value 5: EncodeError: ")


def test_what_would_have_no_effect_is_refused(
    refused: Callable[..., str], write: Callable[..., Path]
) -> None:
    """What the suites decide on can't be set; in the file, which apps read too, it is checked."""
    assert refused("sqlite", "--set", "partitions=4") == (
        "Error: --set partitions would have no effect: each topic is given its own.\n"
    )
    assert refused("sqlite", "--set", "PATH=here") == (
        "Error: --set path would have no effect: files are temporary.\n"
    )
    assert refused("memory", "--value", "5") == (
        "Error: --value is what a codec is to write, and memory is no codec.\n"
    )
    write("slip.toml", '[backends.sqlite]\npartitions = "abc"\n')
    assert refused("sqlite") == (
        "Error: topic sqlite: 'partitions' is to be int | None, and slip.toml:2 says 'abc': "
        "Expected `int | null`, got `str`.\n"
    )


def test_a_variable_keeps_its_name_in_what_is_said(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was given by --set is called so."""
    monkeypatch.setenv("SLIP_BACKENDS__REDIS__CONNECT_TIMEOUT", "soon")
    assert "environment SLIP_BACKENDS__REDIS__CONNECT_TIMEOUT says 'soon'" in refused("redis")
    assert "--set connect_timeout says 'later'" in refused(
        "redis", "--set", "connect_timeout=later"
    )


def test_patience_is_the_time_that_opening_may_take(
    refused: Callable[..., str], silent: str
) -> None:
    """A server that says nothing is given up after it."""
    began = time.monotonic()
    said = refused("redis", "--set", f"url=redis://{silent}/0", "--patience", "0.3")
    assert said.startswith("Error: topic redis was not open within 0.3 s: look at its address")
    assert time.monotonic() - began < 10


def test_what_can_not_be_reached_is_refused(refused: Callable[..., str]) -> None:
    """In one sentence, before any test is run."""
    said = refused("redis", "--set", "url=redis://127.0.0.1:1/0", "--set", "connect_timeout=0.2")
    assert "127.0.0.1:1" in said
    assert said.count("\n") <= 2
