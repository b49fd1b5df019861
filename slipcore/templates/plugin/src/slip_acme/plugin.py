"""What this distribution registers with slipcore. It imports no client library.

slipcore imports this module whenever it looks which backends there are, in every app. What it
names as "module:attribute" is imported when somebody uses it, and the client library with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipcore import hookimpl

if TYPE_CHECKING:
    from slipcore.hookspecs import Register


def _register_topics(register: Register) -> None:
    register(
        "acme",
        "slip_acme.topic:AcmeTopic",
        options="slip_acme.options:AcmeTopicOptions",
        summary="a topic of acme",
    )


# A topic is a source and a sink: the same registration with both hooks.
@hookimpl
def register_sources(register: Register) -> None:
    _register_topics(register)


@hookimpl
def register_sinks(register: Register) -> None:
    _register_topics(register)


@hookimpl
def register_caches(register: Register) -> None:
    register(
        "acme",
        "slip_acme.cache:open_state_store",
        options="slip_acme.options:AcmeCacheOptions",
        summary="state in acme",
    )
