"""Avro for slipcore: a codec with schemas, and a client of schema registries."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slip_avro.codec import AvroCodec
    from slip_avro.registry import Registry

__all__ = ["AvroCodec", "Registry"]

_MODULES = {"AvroCodec": "slip_avro.codec", "Registry": "slip_avro.registry"}


def __getattr__(name: str) -> Any:
    """A public name at its first use: that a plugin is listed must not import its client."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
