"""A distribution with a plugin, installed for one test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from slipcore.plugins import PluginInfo, Plugins

Install = Callable[..., None]

HOOKS = "from slipcore import hookimpl\n"
CACHE = """
    @hookimpl
    def register_caches(register):
        register("vault", "{module}:Vault", summary="a cache")

    class Vault: ...
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one plugin, named like its module."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, source: str, *, version: str = "1.0", entry: str | None = None) -> None:
        text = HOOKS + dedent(source).replace("{module}", name)
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)  # the real one, where there is one
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        dist = name.replace("_", "-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[slipcore]\n{entry or name} = {name}\n")

    yield make
    for module in set(sys.modules) - before:
        del sys.modules[module]


def only(plugins: Plugins, name: str) -> PluginInfo:
    (info,) = [info for info in plugins.report() if info.name == name]
    return info
