"""Plugins of the tests' own, as if a distribution had brought them."""

from __future__ import annotations

from importlib.metadata import EntryPoint


def plugin_from(name: str, module: str) -> EntryPoint:
    """An entry point of the group that plugins are found in."""
    return EntryPoint(name=name, value=module, group="slipcore")
