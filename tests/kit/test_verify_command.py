"""`slip plugins verify`: an installed backend held to the contracts by its name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner

from slipcore.cli.commands import slip as slip_command
from tests.conftest import SLIP

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


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
    assert first == "codec json, of slipcore:builtin: 8 held, 0 failed, 2 not offered"
    assert head.split() == ["PROMISE", "OUTCOME", "WHY"]
    assert "codec.round-trip                     held" in rows
    assert "codec.reads-to-the-end               not offered  known to its own tests only" in rows
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_what_fails_is_told(slip: Slip) -> None:
    """The promise, its sentence and the reason; the exit code is 1."""
    done = slip("plugins", "verify", "text", "--value", "1")
    assert done.returncode == 1
    assert "codec text, of slipcore:builtin: 0 held, 8 failed, 2 not offered" in done.stdout
    said = " ".join(done.stdout.split())
    assert "codec.results-are-apart: No two calls share a value that can be changed." in said
    assert "the codec text writes str, not int" in said


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


def test_what_can_not_be_reached_is_refused(refused: Callable[..., str]) -> None:
    """In one sentence, before any test is run."""
    said = refused("redis", "--set", "url=redis://127.0.0.1:1/0", "--set", "connect_timeout=0.2")
    assert "127.0.0.1:1" in said
    assert said.count("\n") <= 2
