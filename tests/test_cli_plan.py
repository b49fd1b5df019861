"""`slip plan`: the graph, and the weakest link that limits a guarantee."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from slipcore import App
from slipcore.cli.graph import graph_text
from slipcore.config import Config
from slipcore.plugins import Plugins

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Write: TypeAlias = Callable[..., Path]


@pytest.fixture
def app(tmp_path: Path) -> App:
    environ = {"SLIP_CACHES__ELSEWHERE__PATH": "elsewhere.db"}
    return App("shop", config=Config.load(tmp_path, environ), plugins=Plugins(entry_points=[]))


def passing(records: Any) -> Any:
    return records


def show(value: Any) -> None:
    print(value)


# --- the graph -----------------------------------------------------------------------------


def test_a_plan_as_a_graph(slip: Slip, write: Write) -> None:
    """Sources to handlers to sinks, backends below names, guarantees in handlers, caches round."""
    write("words.py", Path("counting.py"))
    result = slip("plan", "words.py", "--graph")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "flowchart LR\n"
        '    n1["split<br/>outputs at-most-once"]\n'
        '    n2[/"lines<br/>iterable"/]\n'
        "    n2 --> n1\n"
        '    n3(["words<br/>topic on sqlite"])\n'
        "    n1 --> n3\n"
        '    n4["count<br/>outputs at-least-once<br/>state effectively-once"]\n'
        "    n3 --> n4\n"
        '    n5[/"print<br/>function"/]\n'
        "    n4 --> n5\n"
        '    n6[("counts<br/>cache on sqlite")]\n'
        "    n4 <--> n6\n"
    )


def test_names_and_pipes_are_escaped(app: App) -> None:
    """What means something to Mermaid is written as an entity; a pipe stands on the edge."""
    topic = app.topic('or"de|rs<b>#1', backend="memory")
    app.handle(topic, pipe=[passing], sink=[show], name="a & `b`")(show)
    assert graph_text(app.plan()).splitlines() == [
        "flowchart LR",
        '    n1["a #amp; #96;b#96;<br/>outputs at-most-once"]',
        '    n2(["or#quot;de#124;rs#lt;b#gt;#35;1<br/>topic on memory"])',
        '    n2 -->|"passing"| n1',
        '    n3[/"show<br/>function"/]',
        "    n1 --> n3",
    ]


def test_a_graph_and_json_are_not_to_be_had_at_once(slip: Slip) -> None:
    """Two forms at a time are a mistake of usage."""
    result = slip("plan", "words.py", "--graph", "--json")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--json and --graph are two forms: ask for one of them." in result.stderr


# --- the weakest link ----------------------------------------------------------------------


def test_the_weakest_link_is_named(slip: Slip, write: Write) -> None:
    """In the text beside the guarantee, in JSON with its kind and reason."""
    write("words.py", Path("counting.py"))
    assert "  outputs   at-most-once\n  weakest   lines, an iterable\n" in (
        slip("plan", "words.py").stdout
    )
    bindings = json.loads(slip("plan", "words.py", "--json").stdout)["bindings"]
    assert [binding["weakest"] for binding in bindings] == [
        {
            "name": "lines",
            "kind": "iterable",
            "reason": "lines: source cannot replay; what is on the way in a crash is lost",
        },
        {
            "name": "print",
            "kind": "function",
            "reason": "what it was sent since the last commit is sent again",
        },
    ]


@pytest.mark.parametrize(
    ("source", "bound", "expected"),
    [
        ("memory", {"sink": ["counts"]}, ("words", "topic")),
        ("sqlite", {"sink": ["counts"]}, None),
        ("sqlite", {}, None),
        ("sqlite", {"pipe": [passing], "sink": ["counts"]}, ("passing", "pipe")),
        ("sqlite", {"sink": ["volatile", "counts"]}, ("volatile", "cache")),
        ("sqlite", {"sink": ["counts", "elsewhere"]}, ("elsewhere", "cache")),
        ("sqlite", {"sink": ["counts", show]}, ("show", "function")),
    ],
)
def test_the_weakest_link_is_what_limits_the_guarantee(
    app: App, source: str, bound: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    """A source that forgets, then a pipe, then state, then what outputs are sent to; or nothing."""
    caches = {
        "counts": app.cache("counts"),
        "volatile": app.cache("volatile", backend="memory"),
        "elsewhere": app.cache("elsewhere"),
    }
    bound["sink"] = [caches.get(sink, sink) for sink in bound.get("sink", ())]
    app.handle(app.topic("words", backend=source), **bound)(show)
    (binding,) = app.plan().bindings
    weakest = binding.weakest
    assert (None if weakest is None else (weakest.name, weakest.kind)) == expected


# --- what can't start ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("slip_vault_code:Vault", "needs the module slip_nowhere, which is not installed: "),
        ("json:Vault", "as json:Vault, and json has no Vault."),
        ("sys:maxsize", "and that is of type int, which is not callable."),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_can_not_be_imported_is_not_planned(
    slip: Slip, write: Write, command: str, factory: str, sentence: str
) -> None:
    """A store that nobody could load promises nothing: exit code 2, as the start says it."""
    write("words.py", Path("counting.py"))
    write("slip_vault_code.py", "import slip_nowhere")
    write(
        "slip_vault.py",
        f"""
        from slipcore import hookimpl

        @hookimpl
        def register_caches(register):
            register("vault", "{factory}")
        """,
    )
    metadata = write("slip_vault-1.0.dist-info/METADATA", "Name: slip-vault\nVersion: 1.0\n")
    write("slip_vault-1.0.dist-info/entry_points.txt", "[slipcore]\nvault = slip_vault\n")
    path = os.pathsep.join((str(metadata.parent.parent), os.environ.get("PYTHONPATH", "")))
    result = slip(command, "words.py", SLIP_DEFAULTS__CACHE="vault", PYTHONPATH=path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    assert sentence in result.stderr


# --- codecs and topics ---------------------------------------------------------------------

CODED = """
    from slipcore import Topic, handle

    @handle(Topic("orders"), sink=[Topic("named", codec="msgpack"), Topic("plain")])
    def passing(record):
        return record.value
"""


def test_the_codec_of_a_topic_is_told(slip: Slip, write: Write) -> None:
    """In the JSON of each topic, and for people where it is not the default."""
    write("app.py", CODED)
    write("slip.toml", "[topics.orders]\ncodec = 'json'\n")
    (binding,) = json.loads(slip("plan", "app.py", "--json").stdout)["bindings"]
    assert [it["codec"] for it in binding["sources"] + binding["sinks"]] == [
        "json", "msgpack", "text",
    ]  # fmt: skip
    told = slip("plan", "app.py").stdout
    assert (told.count("codec json\n"), told.count("codec msgpack\n")) == (1, 1)
    assert "codec text" not in told
