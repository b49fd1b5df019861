"""Which event loop a `slip run` has: uvloop's where that is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, Final

from slipcore.errors import ConfigError

logger = logging.getLogger(__name__)

LOOPS: Final = ("asyncio", "uvloop")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def loop_factory(wanted: str | None) -> LoopFactory | None:
    """What makes the event loop; None: asyncio does.

    Args:
        wanted: one of `LOOPS`; None: uvloop where it is installed.

    Raises:
        ConfigError: uvloop is wanted, and can't be imported.
    """
    if wanted == "asyncio":
        return None
    try:
        uvloop: Any = import_module("uvloop")
    except ImportError as error:
        if wanted is None:
            return None
        raise ConfigError(
            f"--loop uvloop: it can't be imported ({error}). Install the extra slipcore[fast], "
            "from a checkout: pip install -e '.[fast]'; or choose --loop asyncio."
        ) from error
    factory: LoopFactory = uvloop.new_event_loop
    return factory


def run(work: Coroutine[Any, Any, None], factory: LoopFactory | None) -> None:
    """Run to the end in a loop of its own."""
    with asyncio.Runner(loop_factory=factory) as runner:
        logger.debug(
            "The event loop is %s's.", type(runner.get_loop()).__module__.partition(".")[0]
        )
        runner.run(work)
