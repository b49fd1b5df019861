"""`slip config`: what is in force, where it was written, and what is wrong with it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Write: TypeAlias = Callable[..., Path]

SHOP = """\
[app]
name = "shop"

[defaults]
codec = "json"

[backends.sqlite]
path = "all.db"

[topics.words]
backend = "sqlite"
partitions = 3

[caches.counts]
backend = "memory"
"""

APP = """
from slipcore import Cache, Conf, Topic, handle

Conf({"group_id": "readers"})
words, counts = Topic("words", {"poll_interval": 0.5}), Cache("counts")

@handle(words, sink=[counts])
def count(word):
    return word.key, 1
"""


def settings(row: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Those that somebody wrote, by name."""
    written = [it for it in row["settings"] if it["origin"] != "default"]
    return {it["name"]: (it["value"], it["origin"]) for it in written}


def resources(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["kind"], row["name"]): row for row in report["resources"]}


def test_every_value_says_where_it_was_written(slip: Slip, write: Write) -> None:
    """File and line, variable, or default; values fit their columns and 80 columns in all."""
    write("slip.toml", SHOP)
    result = slip("config", SLIP_TOPICS__WORDS__POLL_INTERVAL="0.2")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "file    slip.toml\n"
        "state   .slip\n"
        "app     shop\n"
        "\n"
        "[app]\n"
        '  name = "shop"  # slip.toml:2\n'
        "\n"
        "[defaults]\n"
        '  codec = "json"  # slip.toml:5\n'
        "\n"
        "[backends.sqlite]\n"
        '  path = "all.db"  # slip.toml:8\n'
        "\n"
        "topic words on sqlite (slip.toml:11)\n"
        '  path              = "all.db"  # slip.toml:8\n'
        "  partitions        = 3  # slip.toml:12\n"
        '  poll_interval     = "0.2"  # environment SLIP_TOPICS__WORDS__POLL_INTERVAL\n'
        '  auto_offset_reset = "earliest"  # default\n'
        "  session_timeout   = 10.0  # default\n"
        "\n"
        "cache counts on memory (slip.toml:15)\n"
    )


def test_with_an_app_its_code_and_defaults_are_shown(slip: Slip, write: Write) -> None:
    """Settings in code, of Conf and of the topic; its checkpoint store; what it does not make."""
    write("slip.toml", SHOP + '\n[topics.wrods]\nbackend = "memory"\n')
    write("words.py", APP)
    report = json.loads(slip("config", "words.py", "--json").stdout)
    found = resources(report)
    assert list(found) == [
        ("topic", "words"),
        ("cache", "counts"),
        ("checkpoint_store", "shop"),
        ("topic", "wrods"),
    ]
    assert settings(found["topic", "words"]) == {
        "path": ("all.db", "slip.toml:8"),
        "partitions": (3, "slip.toml:12"),
        "group_id": ("readers", "code"),
        "poll_interval": (0.5, "code"),
    }
    assert {"name": "session_timeout", "value": 10.0, "origin": "default"} in found[
        "topic", "words"
    ]["settings"]
    assert found["checkpoint_store", "shop"]["reason"] == "the embedded default"
    assert found["topic", "wrods"]["note"] == (
        "the app makes nothing of this name when it is imported"
    )


def test_the_configuration_as_json_has_stable_names(
    slip: Slip, write: Write, tmp_path: Path
) -> None:
    """`--json` is one object; what is not there is null."""
    write("slip.toml", '[caches.counts]\nbackend = "sqlite"\n')
    assert json.loads(slip("config", "--json").stdout) == {
        "app": None,
        "file": str(tmp_path / "slip.toml"),
        "state_dir": str(tmp_path / ".slip"),
        "sections": [],
        "resources": [
            {
                "kind": "cache",
                "name": "counts",
                "backend": "sqlite",
                "reason": "slip.toml:2",
                "settings": [{"name": "path", "value": None, "origin": "default"}],
                "problem": None,
                "note": "",
            }
        ],
    }


def test_what_only_variables_speak_of_is_shown(slip: Slip) -> None:
    """A resource without a table is named as its variables spell it."""
    result = slip("config", "--json", SLIP_TOPICS__EMOJI__BACKEND="memory")
    (row,) = json.loads(result.stdout)["resources"]
    assert (row["kind"], row["name"], row["backend"]) == ("topic", "EMOJI", "memory")
    assert row["reason"] == "environment SLIP_TOPICS__EMOJI__BACKEND"


def test_variables_are_matched_with_the_names_in_code(slip: Slip, write: Write) -> None:
    """With the app at hand, a variable belongs to the resource that it stands for."""
    write("words.py", APP)
    result = slip("config", "words.py", "--json", SLIP_TOPICS__WORDS__BACKEND="memory")
    assert result.returncode == 2  # memory has no poll_interval
    assert [name for _, name in resources(json.loads(result.stdout))] == [
        "words",
        "counts",
        "words",
    ]


@pytest.mark.parametrize("args", [["config"], ["config", "--json"], ["config", "words.py"]])
def test_secrets_are_masked(slip: Slip, write: Write, args: list[str]) -> None:
    """No password is in any form of it, wherever it was written."""
    write("slip.toml", '[topics.words]\npath = "file://joe:hunter2@disk/words.db"\n')
    write("words.py", APP)
    result = slip(*args)
    assert "file://joe:***@disk/words.db" in result.stdout
    assert "hunter2" not in result.stdout + result.stderr


def test_a_check_that_finds_nothing_says_so(slip: Slip, write: Write, tmp_path: Path) -> None:
    """One line, exit code 0, and nothing was made."""
    write("slip.toml", SHOP)
    result = slip("config", "--check")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "The environment and slip.toml are in order: 2 resources.\n"
    assert not (tmp_path / ".slip").exists()


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ('[topics.a]\npartitions = "x"\n', "topic 'a': 'partitions' is to be int | None, and sl"),
        ("[caches.a]\nptah = 1\n", "cache 'a' has no setting 'ptah' (slip.toml:2). Did you mean"),
        ('[topics.a]\nbackend = "sqlit"\n', "There is no source or topic backend 'sqlit': there"),
        ('[sources.a]\npath = "x"\n', "source 'a' has no backend: write backend=... where it is"),
        ('[defaults]\ncache = "rok"\n', "There is no cache backend 'rok': there are "),
        ("[backends.sqlite]\nptah = 1\n", "slip.toml:2: [backends.sqlite] has no setting 'ptah'"),
        ("[backends.sqlit]\npath = 1\n", "slip.toml:2: [backends.sqlit] is of no backend. Did "),
        ("[backends.sqlite]\npath = 1\n", "[backends.sqlite]: 'path' is to be str | None, and"),
        ("[topcis.a]\n", "slip.toml:1: there is no section [topcis]. Did you mean 'topics'?"),
        ("[topics\n", "slip.toml:1 is no valid TOML: "),
    ],
)
def test_a_check_tells_what_is_wrong(slip: Slip, write: Write, toml: str, sentence: str) -> None:
    """One sentence on stderr, exit code 2, and nothing on stdout."""
    write("slip.toml", toml)
    result = slip("config", "--check")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {sentence}")
    assert result.stderr.count("\n") == 1


def test_a_check_tells_all_that_is_wrong(slip: Slip, write: Write) -> None:
    """Each mistake in a sentence of its own, those of the app's code too."""
    write("slip.toml", '[topics.a]\npartitions = "x"\n\n[topics.b]\npartitions = 0\n')
    write("words.py", APP.replace("poll_interval", "pool_interval"))
    result = slip("config", "words.py", "--check")
    assert result.returncode == 2
    assert [line.split(" ")[2] for line in result.stderr.splitlines()] == ["'words'", "'a':", "'b'"]


def test_an_app_that_does_not_import_is_told(slip: Slip) -> None:
    """As `slip run` tells it."""
    result = slip("config", "nothere.py")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: There is no file nothere.py in ")
