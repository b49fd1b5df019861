"""Where a handler stands: the stack of a task that waits, or of a thread that does not."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import slipcore
from slipcore.engine.delivery import Lane

_LIBRARIES: Final = (
    str(Path(slipcore.__file__).parent),
    str(Path(asyncio.__file__).parent),
    str(Path(inspect.__file__).with_name("runpy.py")),
    "<frozen ",
)

ENDS: Final = ("cr_await", "gi_yieldfrom", "ag_await")
FRAMES: Final = ("cr_frame", "gi_frame", "ag_frame")


def stack_of_lane(lane: Lane) -> str:
    """Where the handler of a lane waits; called in the event loop that runs it."""
    place = lane.stands_in()
    if isinstance(place, int):
        return stack_of_thread(place)
    found: list[FrameType] = []
    for task in asyncio.all_tasks() if place is None else (place,):
        frames = list(_frames(task))
        # Of the tasks that serve a lane, the one that goes furthest into the user's code has it.
        if any(_serves(frame, lane) for frame in frames) and _foreign(frames) > _foreign(found):
            found = frames
    # A handler that looks at itself does not wait.
    return _written(found) if found else stack_of_thread(threading.get_ident())


def stack_of_thread(ident: int) -> str:
    """Where a thread is."""
    frames = []
    frame = sys._current_frames().get(ident)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return _written(frames[::-1])


def _frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """The frames of all that a task waits for, from the outermost; `Task.get_stack` has one."""
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = next((f for name in FRAMES if (f := getattr(waiting, name, None))), None)
        if frame is not None:
            yield frame
        if any(hasattr(waiting, name) for name in ENDS):
            waiting = next((w for name in ENDS if (w := getattr(waiting, name, None))), None)
        else:  # what an async generator is awaited by does not say whose it is
            waiting = next((r for r in gc.get_referents(waiting) if inspect.isasyncgen(r)), None)


def _serves(frame: FrameType, lane: Lane) -> bool:
    return any(frame.f_locals.get(name) is lane for name in ("self", "lane"))


def _is_foreign(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith(_LIBRARIES)


def _foreign(frames: list[FrameType]) -> int:
    return sum(map(_is_foreign, frames))


def _written(frames: list[FrameType]) -> str:
    """As in a traceback; of the user's code where there is any."""
    shown = [frame for frame in frames if _is_foreign(frame)] or frames
    stack = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in shown)
    return "".join(stack.format()).rstrip()
