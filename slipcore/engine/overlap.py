"""Which bindings may have several records in hand at a time."""

from __future__ import annotations

import inspect
from typing import Final

from slipcore.engine.bindings import Binding, Order, underlying
from slipcore.interfaces import ConfigError

ORDERS: Final[tuple[Order, ...]] = ("key", "partition")


def check_side_by_side(binding: Binding) -> None:
    """Refuse a concurrency that could do nothing, or harm.

    Raises:
        ConfigError: what to write instead.
    """
    size, threads, name = binding.concurrency, binding.threads, binding.name
    if binding.order not in ORDERS:
        raise ConfigError(f"Handler {name}: order={binding.order!r} is 'key' or 'partition'.")
    for argument, given in (("concurrency", size), ("threads", threads)):
        if given is not None and (type(given) is not int or given < 1):
            raise ConfigError(f"Handler {name}: {argument}={given!r} is to be 1 or more.")
    if size is None and threads is None:
        return
    if size is not None and threads is not None:
        raise ConfigError(
            f"Handler {name}: threads={threads} handles that many records side by side; leave "
            "concurrency= out."
        )
    if binding.pipe:
        raise ConfigError(
            f"Handler {name}: a pipe hands on one record after the other; leave pipe= out, or "
            "concurrency= and threads=."
        )
    if binding.batch:
        raise ConfigError(
            f"Handler {name}: batch=True hands on a list at a time; leave it out, or concurrency= "
            "and threads=."
        )
    function = underlying(binding.handler)
    waits = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    if threads is not None and waits:
        raise ConfigError(
            f"Handler {name} is async and runs in the event loop; write concurrency={threads} in "
            "the place of threads=, which is for functions that block."
        )
    if threads is not None and binding.timeout is not None:
        raise ConfigError(
            f"Handler {name}: a thread can't be interrupted; leave timeout= out, and give what the "
            "handler calls a timeout of its own."
        )
    if size is not None and size > 1 and not waits:
        raise ConfigError(
            f"Handler {name} is not async, so that concurrency={size} could never have two of its "
            f"calls overlap; write threads={size}, or `async def`."
        )
