"""`slip backends`: what there is, how it is set, and what it can do."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import pytest
from click.testing import CliRunner, Result

from slipcore.cli.commands import slip as slip_command
from slipcore.interfaces import ByteCount, Milliseconds, Seconds, Secret, TopicOptions
from slipcore.optiondocs import OptionInfo, describe_options, type_words

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

DEADLINE = 60.0


def backends(*args: str) -> Result:
    return CliRunner().invoke(slip_command, ["backends", *args])


class LogOptions(TopicOptions, kw_only=True, forbid_unknown_fields=True):
    """Options as a plugin's author writes them."""

    url: str
    """Where
    it is."""
    poll_interval: Seconds = 0.5
    """Between two looks."""
    fetch_ms: Milliseconds | None = None
    buffer: ByteCount = 4096
    password: Secret | None = None
    """Of the user."""
    token: Secret = Secret("hunter2")
    mode: Literal["fast", "safe"] = "safe"
    hosts: list[str] = msgspec.field(default_factory=lambda: ["localhost"], name="host-names")


@dataclasses.dataclass
class PlainOptions:
    """Options that are a dataclass."""

    path: Path
    """A directory."""
    tags: tuple[str, ...] = ()
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)


# --- reading an options class --------------------------------------------------------------


def test_the_options_of_a_struct_are_described_with_what_it_inherits() -> None:
    """Name, type in words, default, unit, the string below the field, and whether it is secret."""
    assert describe_options(LogOptions)[2:] == [
        OptionInfo(
            "auto_offset_reset",
            "text",
            "earliest",
            "",
            'Where a group without a position starts: "earliest" or "latest".',
            False,
            False,
        ),
        OptionInfo("url", "text", None, "", "Where it is.", False, True),
        OptionInfo("poll_interval", "number", 0.5, "s", "Between two looks.", False, False),
        OptionInfo("fetch_ms", "whole number", None, "ms", "", False, False),
        OptionInfo("buffer", "whole number", 4096, "bytes", "", False, False),
        OptionInfo("password", "text", None, "", "Of the user.", True, False),
        OptionInfo("token", "text", "***", "", "", True, False),
        OptionInfo("mode", "one of fast, safe", "safe", "", "", False, False),
        OptionInfo("host-names", "list of text", ["localhost"], "", "", False, False),
    ]


def test_the_options_of_a_dataclass_are_described() -> None:
    """As those of a Struct."""
    assert describe_options(PlainOptions) == [
        OptionInfo("path", "path", None, "", "A directory.", False, True),
        OptionInfo("tags", "list of text", (), "", "", False, False),
        OptionInfo("sizes", "table", {}, "", "", False, False),
    ]


def test_a_class_without_source_has_options_without_help() -> None:
    """What was made at run time is described as far as it can be."""
    made = msgspec.defstruct("Made", [("size", int, 3)])
    assert describe_options(made) == [OptionInfo("size", "whole number", 3, "", "", False, False)]
    assert describe_options(None) == []


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (bool, "yes/no"),
        (int | str, "whole number or text"),
        (str | list[str] | None, "text or list of text"),
        (str | dict[str, Any] | list[Any], "text or table or list"),
        (frozenset[int], "list of whole number"),
        (Any, "anything"),
        (Secret | None, "text"),
        (bytes, "bytes"),
        (complex, "complex"),
    ],
)
def test_types_are_said_in_words(expected: Any, words: str) -> None:
    """No word of it is Python's where people have one of their own."""
    assert type_words(expected) == words


# --- the list ------------------------------------------------------------------------------


def test_all_backends_are_listed() -> None:
    """Kind, name, who brings it and a summary, by kind, a topic once."""
    lines = backends().output.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "DISTRIBUTION", "SUMMARY"]
    assert "topic             sqlite   slipcore 0.1.0    a log in a file, shared by" in lines
    assert "checkpoint store  memory   slipcore 0.1.0    checkpoints that live as long as" in lines
    assert not [line for line in lines if line.startswith(("source", "sink"))]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("kind", ["cache", "caches", "Cache"])
def test_one_kind_is_listed(kind: str) -> None:
    """The kind is taken in one or many, and however it is written."""
    found = json.loads(backends(kind, "--json").output)
    assert {row["kind"] for row in found} == {"cache"}
    assert found[0] == {
        "kind": "cache",
        "name": "memory",
        "distribution": "slipcore",
        "version": "0.1.0",
        "summary": "state that lives as long as its app",
    }


@pytest.mark.parametrize("kind", ["source", "sink"])
def test_topics_are_sources_and_sinks(kind: str) -> None:
    """Who asks for one of both is shown the topics too."""
    found = json.loads(backends(kind, "--json").output)
    assert ("topic", "memory") in [(row["kind"], row["name"]) for row in found]


def test_listing_imports_no_client_library_and_no_engine_of_sqlite() -> None:
    """`slip backends` leaves alone what it only names."""
    code = """if True:
        import sys
        from slipcore.cli.backends import list_backends
        list_backends(None, None, as_json=True)
        clients = {"aiokafka", "redis", "rocksdict", "fastavro", "sqlite3", "rich"}
        sys.exit(sorted(clients & set(sys.modules)) or 0)
    """
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


# --- one backend ---------------------------------------------------------------------------


def test_one_backend_is_shown_with_its_options() -> None:
    """What it is, what it can do, and each option with its help below, within 80 columns."""
    result = backends("topic", "sqlite")
    assert result.exit_code == 0
    assert result.output == (
        "topic sqlite, of slipcore 0.1.0: a log in a file, shared by processes\n"
        "capabilities: commit, partitions, seek, durable\n"
        "\n"
        "OPTION             TYPE          DEFAULT\n"
        "group_id           text          none\n"
        "    Consumer group; None: the app's name.\n"
        "group_instance_id  text          none\n"
        "    Identity of this member across restarts, unique in its group; None: a new\n"
        "    one each time.\n"
        "auto_offset_reset  text          earliest\n"
        '    Where a group without a position starts: "earliest" or "latest".\n'
        "partitions         whole number  none\n"
        "    How many partitions the topic is created with; None: 1, or what it has.\n"
        "path               text          none\n"
        "    The database file, from the working directory; None: `slip.db` among the\n"
        "    app's state.\n"
        "session_timeout    number (s)    10.0\n"
        "    Seconds without a sign of life after which a stopped member's partitions go\n"
        "    to others.\n"
        "poll_interval      number (s)    0.05\n"
        "    Seconds between two looks whether another process has written.\n"
    )


def test_one_backend_as_json_has_stable_names() -> None:
    """`--json` of one backend is a list of one object with all of its fields."""
    assert json.loads(backends("cache", "sqlite", "--json").output) == [
        {
            "kind": "cache",
            "name": "sqlite",
            "distribution": "slipcore",
            "version": "0.1.0",
            "summary": "state in a file",
            "capabilities": ["durable", "one store"],
            "options": [
                {
                    "name": "path",
                    "type": "text",
                    "default": None,
                    "unit": "",
                    "help": "The database file, from the working directory; None: `slip.db` among "
                    "the app's state.",
                    "secret": False,
                    "required": False,
                }
            ],
            "note": None,
        }
    ]


def test_a_name_alone_shows_all_that_is_registered_under_it() -> None:
    """Topic, cache and checkpoint store of one name, one after the other."""
    kinds = [sheet["kind"] for sheet in json.loads(backends("memory", "--json").output)]
    assert kinds == ["topic", "cache", "checkpoint_store"]
    assert "It takes no settings." in backends("codec", "raw").output


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["sqlit"], "There is no kind and no backend 'sqlit'. Did you mean 'sqlite'?"),
        (["quue", "memory"], "There is no kind 'quue'. There are cache, checkpoint_store, "),
        (["topic", "sqlit"], "There is no source or topic backend 'sqlit': there are "),
        (["codec", "sqlite"], "There is no codec backend 'sqlite': there are "),
    ],
)
def test_an_unknown_name_is_a_sentence(args: list[str], sentence: str) -> None:
    """It says what there is, and the exit code is 2."""
    result = backends(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {sentence}")


def test_a_backend_whose_library_is_missing_is_shown_all_the_same(
    slip: Slip, write: Callable[..., Path], tmp_path: Path
) -> None:
    """Its options are there; that its capabilities are not known is said with the reason."""
    info = "site/lame_slip-1.2.dist-info"
    write(
        "site/lame_slip.py",
        """
        import msgspec
        from slipcore import hookimpl

        class Options(msgspec.Struct):
            url: str = "lame://joe:hunter2@here"
            '''Where it is.'''

        @hookimpl
        def register_sources(register):
            register("lame", "lame_source:Lame", options=Options, summary="a lame source")
        """,
    )
    write("site/lame_source.py", "import nosuchclient\n")
    write(f"{info}/METADATA", "Metadata-Version: 2.1\nName: lame-slip\nVersion: 1.2\n")
    write(f"{info}/entry_points.txt", "[slipcore]\nlame = lame_slip\n")
    result = slip("backends", "lame", PYTHONPATH=str(tmp_path / "site"))
    assert (result.returncode, result.stderr) == (0, "")
    assert "url     text  lame://joe:***@here\n    Where it is.\n" in result.stdout
    assert "nosuchclient" in result.stdout
    assert "hunter2" not in result.stdout
