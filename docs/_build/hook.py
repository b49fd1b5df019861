"""What of the reference is read from the code: options, commands, sections, promises.

mkdocs calls `on_...` while it builds. A line `<!-- generated: NAME -->` of a page becomes what NAME
gives, and a line `<!-- code: FILE NAME ... -->` the classes, functions or methods of these names as
they stand in the file.
"""

from __future__ import annotations

import ast
import json
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import click
from click.testing import CliRunner

from slipcore import testing
from slipcore.choice import EMBEDDED
from slipcore.cli.commands import slip
from slipcore.config import NAMES, SINGLES, TABLES
from slipcore.options import TopicOptions
from slipcore.optiondocs import OptionInfo, describe_options
from slipcore.plugins.selection import VARIABLES
from slipcore.testing.promises import ids_of, promised

_LINE: Final = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)
_CODE: Final = re.compile(r"^<!-- code: (\S+) ([\w. ]+) -->$", re.MULTILINE)
_PROMISE: Final = re.compile(r'(<code id=")[\w.]+--([a-z-]+\.[a-z-]+")')

ROOT: Final = Path(__file__).parent.parent.parent

WIDTH: Final = 88
"""Columns of the help of commands, as on a terminal."""


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Put in what is generated."""
    markdown = _CODE.sub(lambda found: code(found[1], found[2].split()), markdown)
    return _LINE.sub(lambda found: GENERATED[found[1]](), markdown)


def on_page_content(html: str, **kwargs: Any) -> str:
    """Let the anchor of a promise be its id alone, and not that of the method before it."""
    return _PROMISE.sub(r"\1\2", html)


def code(file: str, names: Iterable[str]) -> str:
    """Parts of a file of the checkout as a block.

    Args:
        names: of classes and functions; of a method with its class, `Source.read`.
    """
    text = (ROOT / file).read_text(encoding="utf-8")
    parts = "\n".join(textwrap.dedent(_part(text, name)) for name in names)
    return f'```python title="{Path(file).name}"\n{parts}```'


def _part(text: str, name: str) -> str:
    body: Sequence[ast.stmt] = ast.parse(text).body
    first, last = 0, 0
    for word in name.split("."):
        node = next(node for node in body if getattr(node, "name", None) == word)
        assert isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        last = node.end_lineno or first
        body = node.body
    return "".join(text.splitlines(keepends=True)[first - 1 : last])


def commands() -> str:
    """All commands, with the help that each prints."""
    return "\n\n".join(_commands(slip, "slip"))


def _commands(command: click.Command, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
    text = command.get_help(context)
    yield f"## {name}\n\n```text\n{text}\n```"
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            inner = command.get_command(context, word)
            assert inner is not None
            yield from _commands(inner, f"{name} {word}")


def backends() -> str:
    """All installed backends, with a table of its options for each."""
    names = dict.fromkeys(row["name"] for row in _slip("backends"))
    sheets = [sheet for name in names for sheet in _slip("backends", name)]
    kinds = dict.fromkeys(sheet["kind"] for sheet in sheets)
    return "\n\n".join(
        part
        for kind in kinds
        for part in (
            f"## {_heading(kind)}",
            *(_sheet(sheet) for sheet in sheets if sheet["kind"] == kind),
        )
    )


def _heading(kind: str) -> str:
    return {"checkpoint_store": "Checkpoint stores"}.get(kind, f"{kind.capitalize()}s")


def _sheet(sheet: Mapping[str, Any]) -> str:
    kind, name = sheet["kind"].replace("_", " "), sheet["name"]
    lines = [f"### {kind} {name}", "", f"{_sentence(sheet['summary'])} Of {sheet['distribution']}."]
    if sheet["capabilities"]:
        lines += ["", f"Capabilities: {', '.join(sheet['capabilities'])}."]
    options = [OptionInfo(**option) for option in sheet["options"]]
    lines += ["", _options(options) if options else "It has no options."]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def topic_options() -> str:
    """The options that every topic has."""
    return _options(describe_options(TopicOptions))


def _options(options: Iterable[OptionInfo]) -> str:
    rows = (
        (
            f"`{option.name}`",
            f"{option.type} ({option.unit})" if option.unit else option.type,
            _default(option),
            escape(option.help, quote=False),
        )
        for option in options
    )
    return _table(("option", "type", "default", ""), rows)


def _default(option: OptionInfo) -> str:
    if option.required:
        return "required"
    return "none" if option.default is None else f"`{json.dumps(option.default, default=str)}`"


def sections() -> str:
    """The sections of slip.toml, with the settings that each takes and their variables."""
    single = [
        (f"`[{section}]`", _code(keys), _code(_variable(section, key) for key in keys))
        for section, keys in SINGLES.items()
    ]
    tables = [
        (f"`[{section}.NAME]`", _settings(section), f"`SLIP_{section.upper()}__NAME__SETTING`")
        for section in TABLES
    ]
    return _table(("section", "settings", "in the environment"), [*single, *tables])


def _variable(section: str, key: str) -> str:
    return VARIABLES[key] if section == "plugins" else f"SLIP_{section.upper()}__{key.upper()}"


def _settings(section: str) -> str:
    if section == "backends":
        return "those of the backend NAME"
    named = {"topics": NAMES, "caches": NAMES[:2]}.get(section, NAMES[:1])
    return f"{_code(named)}, and those of its backend"


def embedded() -> str:
    """What resources are on where nobody has chosen."""
    return _table(
        ("resource", "backend"), [(_words(kind), f"`{name}`") for kind, name in EMBEDDED.items()]
    )


def promises() -> str:
    """All promises, with the tests that hold a backend to each."""
    suites = [getattr(testing, name) for name in testing.__all__ if name.endswith("Contract")]
    borne: dict[str, dict[str, None]] = {}
    for suite in suites:
        for name in (name for name in dir(suite) if name.startswith("test_")):
            for promise in ids_of(getattr(suite, name)):
                borne.setdefault(promise, {})[f"`{suite.__name__}.{name}`"] = None
    rows = (
        # mkdocs does not see the anchors of what mkdocstrings puts in; a test follows all links.
        (
            f'<a href="contracts.html#{promise}"><code>{promise}</code></a>',
            says,
            "<br>".join(borne.get(promise, ())),
        )
        for promise, says in promised().items()
    )
    return _table(("promise", "sentence", "tests"), rows)


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _slip(*arguments: str) -> list[dict[str, Any]]:
    """What a command says with --json, whatever the environment has set."""
    unset = {name: None for name in os.environ if name.startswith("SLIP_")}
    done = CliRunner().invoke(slip, [*arguments, "--json"], env=unset)
    if done.exit_code != 0:
        raise RuntimeError(f"slip {' '.join(arguments)} --json failed: {done.output}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    "backends": backends,
    "commands": commands,
    "embedded": embedded,
    "promises": promises,
    "sections": sections,
    "topic-options": topic_options,
}
"""Name in a page -> what stands there."""
