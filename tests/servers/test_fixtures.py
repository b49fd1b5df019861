"""How a test comes by its server, and what happens when there is none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.redis import Redis

ROOT = Path(__file__).parents[2]

ASKING = """\
import pytest

def test_of_nothing(): pass
def test_of_kafka(kafka): pass
def test_of_redis(redis): print("asked", redis.url)
def test_of_both(kafka, redis): pass
@pytest.mark.servers("redis")
def test_that_starts_one(): pass
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run those tests in a process of their own: how it ended, and what it printed."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider")
    (tmp_path / "test_asking.py").write_text(ASKING)

    def call(*arguments: str, **env: str) -> tuple[int, str]:
        known = {k: v for k, v in os.environ.items() if not k.startswith("SLIP_TEST_")}
        options = ["-q", "--color=no", "--strict-markers", "-p", "tests.servers.fixtures"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, str(tmp_path), *arguments],
            cwd=ROOT,
            env={**known, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    return call


def test_offline_leaves_out_what_needs_servers(run: Run) -> None:
    """Tests that ask for a server or start one are not run, and counted by what they need."""
    code, out = run("--offline")
    assert code == 0
    assert re.findall("left out.*", out) == [
        "left out (--offline): 1 tests that need kafka",
        "left out (--offline): 1 tests that need kafka and redis",
        "left out (--offline): 2 tests that need redis",
    ]
    assert "1 passed, 4 deselected" in out


def test_a_given_server_is_used(run: Run, redis: Redis) -> None:
    """The address of the environment comes before all others."""
    code, out = run("-s", "-k", "of_redis", SLIP_TEST_REDIS=redis.url)
    assert code == 0
    assert f"asked {redis.url}" in out


@pytest.mark.parametrize(
    ("variable", "value", "test"),
    [
        ("SLIP_TEST_KAFKA", "127.0.0.1:1", "of_kafka"),
        ("SLIP_TEST_REDIS", "redis://:hidden@127.0.0.1:1/0", "of_redis"),
    ],
)
def test_a_given_server_that_is_not_there(run: Run, variable: str, value: str, test: str) -> None:
    """The test fails with one sentence: nobody answers there, and another one is not taken."""
    code, out = run("-k", test, **{variable: value})
    assert code == 1
    assert (
        f"No server answers at 127.0.0.1:1, which {variable} names: start it, or unset {variable} "
        "to have one started for the tests.\n"
    ) in out
    assert "hidden" not in out


def test_no_server_can_be_had(run: Run, tmp_path: Path) -> None:
    """The test is not skipped, it fails with one sentence that names the ways out."""
    code, out = run(
        "-k", "of_kafka", XDG_CACHE_HOME=str(tmp_path), SLIP_TEST_MAVEN=tmp_path.as_uri()
    )
    assert code == 1
    assert "1 error" in out
    assert "SLIP_TEST_KAFKA=host:port, or leave out what needs servers with `make test-o" in out
