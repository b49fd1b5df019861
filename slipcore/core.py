"""The names of the core in one place."""

from slipcore.current import Conf, handle, stream
from slipcore.engine.streams import PausableStream
from slipcore.interfaces import READ_FROM_END, READ_FROM_START
from slipcore.resources import Topic
from slipcore.utils import Signal

__all__ = [
    "READ_FROM_END",
    "READ_FROM_START",
    "Conf",
    "PausableStream",
    "Signal",
    "Topic",
    "handle",
    "stream",
]
