"""The hooks by which a plugin registers what it brings.

A plugin is a light module behind an entry point of the group `slipcore`:

    [project.entry-points.slipcore]
    kafka = "slip_kafka.plugin"

It imports no client library. It implements the hooks of what it has, marked with
`slipcore.hookimpl`, and names its factories as strings that are imported at first use:

    @hookimpl
    def register_sources(register):
        register("kafka", "slip_kafka.topic:KafkaTopic", options="slip_kafka.topic:KafkaOptions")

A topic is a source and a sink: one factory and one options class, registered under one name with
both hooks. Hooks return nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pluggy

hookspec = pluggy.HookspecMarker("slipcore")

hookimpl = pluggy.HookimplMarker("slipcore")
"""Marks the functions of a plugin module that register its backends."""


class Register(Protocol):
    """Registers one backend of the hook's kind."""

    def __call__(
        self,
        name: str,
        factory: Callable[..., Any] | str,
        *,
        options: type | str | None = None,
        summary: str = "",
    ) -> None:
        """Make a backend known.

        Args:
            name: what people write as `backend=`; the built-in names are taken.
            factory: what makes an instance, or where to import it from: "module:attribute".
            options: the Struct or dataclass that its settings are validated against and that the
                factory is given, or where to import it from; None: it has no settings.
            summary: one line for lists.

        Raises:
            PluginError: the name is taken, or something is not of these shapes.
        """


@hookspec
def register_sources(register: Register) -> None:
    """Register factories `(name: str, options, scope: Scope) -> ISource | ITopic`."""


@hookspec
def register_sinks(register: Register) -> None:
    """Register factories `(name: str, options, scope: Scope) -> ISink | ITopic`."""


@hookspec
def register_caches(register: Register) -> None:
    """Register factories `(name: str, options, scope: Scope) -> IStateStore`."""


@hookspec
def register_codecs(register: Register) -> None:
    """Register factories `(options, type) -> ICodec`; type: what values decode into, or None."""


@hookspec
def register_checkpoint_stores(register: Register) -> None:
    """Register factories `(name: str, options, scope: Scope) -> ICheckpointStore`."""
