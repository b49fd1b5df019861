"""Plugins: found, isolated from each other, and listed; a name becomes a backend."""

from __future__ import annotations

from slipcore.plugins.catalogue import Plugins
from slipcore.plugins.known import backend_of_setting, claimant
from slipcore.plugins.registry import KINDS, Backend, PluginInfo

__all__ = [
    "KINDS",
    "Backend",
    "PluginInfo",
    "Plugins",
    "backend_of_setting",
    "claimant",
]
