"""The layout is the architecture: who may import what, and what a user finds where."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import slipcore

PACKAGE = Path(slipcore.__file__).parent
ROOT = Path(__file__).parents[1]


def modules(folder: str = "") -> list[Path]:
    return sorted((PACKAGE / folder).rglob("*.py"))


def length(path: Path) -> int:
    """In lines."""
    return len(path.read_text(encoding="utf-8").splitlines())


def imports(path: Path) -> Iterator[str]:
    """The modules of slipcore that a module imports at run time."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules("engine"), ids=lambda p: p.name)
def test_the_engine_names_no_backend(path: Path) -> None:
    """Backends are found by name elsewhere."""
    named = re.findall(
        r"\b(sqlite|kafka|redis|rocks\w*|avro)\b", path.read_text(encoding="utf-8"), re.IGNORECASE
    )
    assert named == []


@pytest.mark.parametrize("path", modules("engine"), ids=lambda p: p.name)
def test_the_engine_stands_on_the_contracts_only(path: Path) -> None:
    """It imports interfaces, utils and itself."""
    allowed = ("slipcore.engine", "slipcore.interfaces", "slipcore.utils")
    own = [name for name in imports(path) if name.startswith("slipcore")]
    assert [name for name in own if not name.startswith(allowed)] == []


@pytest.mark.parametrize("path", modules("backends"), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_built_in_plugin_uses_what_a_strangers_plugin_may_use(path: Path) -> None:
    """slipcore.interfaces and slipcore.hookimpl, beside its own modules."""
    allowed = ("slipcore.interfaces", "slipcore.hookimpl", "slipcore.backends")
    own = [name for name in imports(path) if name.startswith("slipcore")]
    assert [name for name in own if not name.startswith(allowed)] == []


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_reaches_500_lines(path: Path) -> None:
    """One that nears it holds two ideas."""
    assert length(path) < 500


@pytest.mark.parametrize("folder", ["tests", "plugins", "examples", "benchmarks", "docs"])
def test_no_module_beside_the_package_reaches_500_lines(folder: str) -> None:
    """Neither do tests, plugins and what else there is."""
    assert [path for path in (ROOT / folder).rglob("*.py") if length(path) >= 500] == []


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (
            "slipcore",
            "handle stream Conf Topic Cache App Out READ_FROM_START READ_FROM_END Signal PubSub",
        ),
        (
            "slipcore.core",
            "handle stream Conf Topic PausableStream READ_FROM_START READ_FROM_END Signal",
        ),
        ("slipcore.caching", "Cache"),
        ("slipcore.checkpointing", "Checkpoint Dependency"),
        ("slipcore.codecs", "JsonCodec ICodec"),
        (
            "slipcore.interfaces",
            "ICache ICodec ISource ISink ITopic IStateStore ICheckpointStore Key SourceSinkMeta",
        ),
        (
            "slipcore.utils",
            "AsyncSynchronizedGenerator PubSub Signal Singleton awaitable get_param_names",
        ),
    ],
)
def test_names_are_found_where_slipstreams_users_look(module: str, names: str) -> None:
    """The places are the same."""
    found = importlib.import_module(module)
    assert [name for name in names.split() if not hasattr(found, name)] == []


def test_every_public_name_is_there() -> None:
    """What `__all__` names can be imported."""
    assert [name for name in slipcore.__all__ if not hasattr(slipcore, name)] == []


def test_importing_slipcore_touches_no_event_loop_and_no_client_library() -> None:
    """Neither the clients nor the command line's libraries nor the database are imported."""
    code = (
        "import sys, slipcore, asyncio\n"
        "heavy = {'aiokafka', 'rocksdict', 'redis', 'fastavro', 'click', 'rich', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "print(asyncio.events._get_running_loop())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split("\n")[:2] == ["[]", "None"]


def test_the_core_imports_its_names_when_they_are_asked_for() -> None:
    """Each is there, and `import slipcore` alone brings nothing that takes long."""
    script = (
        "import sys, slipcore\n"
        "print(sorted({'asyncio', 'msgspec', 'slipcore.app'} & set(sys.modules)))\n"
        "print([name for name in slipcore.__all__ if not hasattr(slipcore, name)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n[]\n"
