"""What failed, in one sentence: who, at which record, and the exit code that stands for it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException, walk_tb
from types import CodeType, FrameType
from typing import Any, Final

import click

import slipcore
from slipcore.app import App
from slipcore.cli.exits import FAILED, MISCONFIGURED, UNFINISHED
from slipcore.interfaces import (
    ConfigError,
    DeadlineError,
    PluginError,
    Record,
    SlipError,
    StateFormatError,
    StateInUseError,
)

_OWN: Final = str(Path(slipcore.__file__).parent)

_FOREIGN: Final = (
    _OWN,
    "<frozen ",
    "uvloop/",
    str(Path(inspect.__file__).parent),
    str(Path(click.__file__).parent),
    sys.argv[0],
)
"""Where the frames lie that lead to a user's code: the command line, the engine, asyncio."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command ends otherwise than in order.

    Attributes:
        sentence: for the user.
        exit_code: 1 a binding failed, 2 configuration, 3 a deadline.
        traceback: the user's frames, where it was the user's code that raised.
    """

    sentence: str
    exit_code: int
    traceback: str | None = None


def failed_import(error: BaseException, place: str) -> Failure:
    """An app file or module that can't be imported, or that holds no app."""
    where = _user_line(error)
    if isinstance(error, SlipError):
        return Failure(f"{where}: {error}" if where else str(error), MISCONFIGURED)
    if isinstance(error, SystemExit):
        return Failure(
            f"{place} ended the process while it was imported (sys.exit at {where}): put what only "
            'a script does under if __name__ == "__main__":.',
            MISCONFIGURED,
        )
    if isinstance(error, SyntaxError):
        at = f"{_short(error.filename)}:{error.lineno}" if error.filename else place
        return Failure(f"{place} did not import: {at}: {error.msg}.", MISCONFIGURED)
    return Failure(f"{place} did not import: {_named(error)}", MISCONFIGURED, _traceback(error))


def failed_run(error: BaseException, app: App) -> Failure:
    """An app that could not start, or that a handler, sink or source stopped."""
    culprit = _culprit(error, app)
    if culprit is not None:
        name, record = culprit
        at = f" at {record.topic}[{record.partition}]@{record.offset}" if record else ""
        if isinstance(error, SlipError):
            line = _user_line(error)
            return Failure(f"{name} failed{at} ({line}): {error}", FAILED)
        return Failure(f"{name} failed{at}: {_named(error)}", FAILED, _traceback(error))
    if isinstance(error, SlipError):
        return Failure(" ".join((str(error), *_notes(error))), _code(error))
    return Failure(f"The app failed: {_named(error)}", FAILED, _traceback(error))


def _code(error: SlipError) -> int:
    if isinstance(error, DeadlineError):
        return UNFINISHED
    wrong = isinstance(error, (ConfigError, PluginError, StateInUseError, StateFormatError))
    return MISCONFIGURED if wrong else FAILED


def _notes(error: BaseException) -> list[str]:
    """What the engine noted on an error: who was handling what."""
    return [f"({note})" for note in getattr(error, "__notes__", ())]


def _named(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# --- who ----------------------------------------------------------------------------------


def _culprit(error: BaseException, app: App) -> tuple[str, Record | None] | None:
    """The part of a binding in whose code the error came up, and the record it had in hand."""
    parts = {code: name for name, thing in _parts(app) for code in _codes(thing)}
    found: tuple[str, Record | None] | None = None
    for frame, _ in walk_tb(error.__traceback__):
        name = parts.get(frame.f_code)
        if name is None:
            continue
        if not name.startswith("Pipe"):
            return name, _record_in(frame)
        found = name, None  # the source within a pipe is asked for by the pipe's code
    return found


def _parts(app: App) -> Iterator[tuple[str, Any]]:
    for binding in app.bindings:
        for source in binding.sources:
            yield f"Source {_title(source)} of {binding.name}", source
        for pipe in binding.pipe:
            yield f"Pipe {_title(pipe)} of {binding.name}", pipe
        for sink in binding.sinks:
            yield f"Sink {_title(sink)} of {binding.name}", sink
    for binding in app.bindings:
        yield f"Handler {binding.name}", binding.handler


def _title(thing: Any) -> str:
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return str(name or type(thing).__name__)


def _codes(thing: Any) -> Iterator[CodeType]:
    """The code that runs when a handler, sink, pipe or source does its part."""
    while isinstance(thing, partial):
        thing = thing.func
    methods = [getattr(type(thing), name, None) for name in ("__call__", "__aiter__", "__anext__")]
    for function in (thing, inspect.unwrap(thing), *methods):
        function = getattr(function, "__func__", function)
        code = getattr(function, "__code__", None) or getattr(function, "ag_code", None)
        if isinstance(code, CodeType) and not code.co_filename.startswith(_OWN):
            yield code


def _record_in(frame: FrameType) -> Record | None:
    code = frame.f_code
    for name in code.co_varnames[: min(code.co_argcount, 2)]:  # the first may be a method's self
        value = frame.f_locals.get(name)
        if isinstance(value, Record):
            return value
    return None


# --- where --------------------------------------------------------------------------------


def _traceback(error: BaseException) -> str:
    """The traceback without the frames that only lead to the user's code."""
    described = TracebackException.from_exception(error)
    _trim(described)
    return "".join(described.format()).rstrip()


def _trim(described: TracebackException) -> None:
    stack = list(described.stack)
    kept = [frame for frame in stack if not _leads_to(frame)]
    if kept:  # else the error is slipcore's own, and its frames are what there is to see
        first = stack.index(kept[0])
        own = [frame for frame in stack[first:] if not frame.filename.startswith(_OWN)]
        described.stack = StackSummary.from_list(own)
    for before in (described.__cause__, described.__context__):
        if before is not None:
            _trim(before)


def _leads_to(frame: FrameSummary) -> bool:
    return frame.filename.startswith(_FOREIGN)


def _user_line(error: BaseException) -> str | None:
    """`file:line` of the last frame that is the user's."""
    frames = StackSummary.extract(walk_tb(error.__traceback__), lookup_lines=False)
    for frame in reversed(frames):
        if not _leads_to(frame):
            return f"{_short(frame.filename)}:{frame.lineno}"
    return None


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
