"""Ordinary Python functions over streams."""

from pluggy import HookimplMarker

hookimpl = HookimplMarker("slipcore")
