"""Loading one plugin, so that whatever it does is a reason that can be told."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Any, Final, TextIO, cast

from slipcore.errors import PluginError
from slipcore.plugins.discovery import CORE, Distribution, EntryPoint
from slipcore.plugins.known import remedy
from slipcore.plugins.versions import unmet

_PLACE: Final = re.compile(r"\s*(\w+(?:\.\w+)*)\s*(?::\s*\w+(?:\.\w+)*\s*)?(?:\[.*\]\s*)?$")


def load(entry_point: EntryPoint, brought_by: Distribution, version: str) -> object:
    """Import what an entry point names, where its distribution fits this core.

    Args:
        version: of this core; empty: it is not known, and everything fits.

    Raises:
        PluginError: it can't be used; the text is for the end of a sentence.
    """
    wanted = unmet(brought_by.requires, CORE, version)
    if wanted is not None:
        raise PluginError(f"it requires {wanted}, and this is {CORE} {version}")
    place = " ".join(entry_point.value.split())
    found = _PLACE.match(place)
    if place and found is None:
        raise PluginError(f"its entry point {place!r} is no module")
    module = found[1] if found is not None else ""
    with told(f"importing {module}"):
        try:
            return entry_point.load()
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if f"{module}.".startswith(f"{missing}.") and missing:
                raise PluginError(
                    f"its entry point names the module {module}, and there is no {missing}"
                ) from error
            if missing.partition(".")[0] in ("", CORE, module.partition(".")[0]):
                raise  # a mistake of its own, or of its version
            raise PluginError(
                f"it needs the module {missing}, which is not installed: "
                f"{remedy(missing, brought_by.name or entry_point.name)}"
            ) from error
        except AttributeError as error:
            if module not in sys.modules:  # it was raised within, and the import undone
                raise
            raise PluginError(f"its entry point names {place}, which is not there") from error


_LOADING: Final[list[int]] = []
"""The threads that are loading something; one that loads within a load is there twice."""

_LOCK: Final = Lock()


class _Stdout:
    """Stands for stdout while something is loaded: the threads that load print to stderr."""

    def __init__(self, real: TextIO) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr if get_ident() in _LOADING else self.real, name)


@contextmanager
def _quiet() -> Iterator[None]:
    # Not redirect_stdout(), which takes the output of all threads, and for ever where two that
    # load at once leave in the order in which they came.
    thread = get_ident()
    with _LOCK:
        if not _LOADING:
            sys.stdout = cast("TextIO", _Stdout(sys.stdout))
        _LOADING.append(thread)
    try:
        yield
    finally:
        with _LOCK:
            _LOADING.remove(thread)
            stdout: object = sys.stdout
            if not _LOADING and isinstance(stdout, _Stdout):  # else others have replaced it since
                sys.stdout = stdout.real


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turn what a plugin raises into a PluginError that says what was being done.

    What it prints goes to stderr: stdout belongs to whoever runs the program.
    """
    try:
        with _quiet():
            yield
    except (PluginError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        code = "" if error.code is None else repr(error.code)
        raise PluginError(f"{doing} called sys.exit({code})") from error
    except BaseException as error:  # e.g. what test runners and event loops end things with
        raise PluginError(f"{doing} raised {said(error)}") from error


def said(error: BaseException) -> str:
    """An exception in one line, whatever its author made of it."""
    try:
        text = " ".join(str(error).split()).rstrip(".")
    except Exception:  # it is somebody else's __str__
        text = ""
    name = type(error).__name__
    return f"{name}: {text}" if text else name
