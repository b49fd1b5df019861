"""What RocksDB and the system say when something fails: what it means, and what helps."""

from __future__ import annotations

import re
from typing import Final

_NO_SPACE: Final = re.compile(r"No space left|File too large|quota exceeded")
_NO_RIGHT: Final = re.compile(r"Permission denied|Read-only file system|Operation not permitted")
_NO_FILES: Final = re.compile(r"Too many open files")
_NO_MEMORY: Final = re.compile(r"Cannot allocate memory")
_LOCKED: Final = re.compile(
    r"lock hold by current process|While lock file.*temporarily unavailable"
)
_DAMAGED: Final = re.compile(r"Corruption|No such file or directory|does not exist")

_ADVICE: Final = (
    (_NO_SPACE, "free some space (or raise the limit on it), then it can be tried again"),
    (_NO_RIGHT, "make the directory, its files and the one above it writable for this user"),
    (_NO_FILES, "raise the limit on open files (ulimit -n)"),
    (re.compile(r"Corruption"), "the files are damaged: stop, and put a backup in their place"),
)


class DamagedError(Exception):
    """What RocksDB did not find, told as it tells damage: "Corruption: ..."."""


def is_locked(reason: str) -> bool:
    """Whether another one has the database open."""
    return bool(_LOCKED.search(reason))


def is_stalled(reason: str) -> bool:
    """Whether a write was refused because it would have had to wait."""
    return "Write stall" in reason


def is_damaged(reason: str) -> bool:
    """Whether files are not what they were, rather than out of reach for now."""
    for passing in (_NO_SPACE, _NO_RIGHT, _NO_FILES, _NO_MEMORY):
        if passing.search(reason):
            return False
    return bool(_DAMAGED.search(reason))


def advised(what: str, reason: str, otherwise: str = "") -> str:
    """One sentence: what could not be done, why, and what helps.

    Args:
        what: "can't ...".
        reason: as it was said, on however many lines.
        otherwise: the advice where none fits the reason.
    """
    for pattern, advice in _ADVICE:
        if pattern.search(reason):
            otherwise = advice
            break
    said = f"{what}: {' '.join(reason.split())}"
    return f"{said}; {otherwise}" if otherwise else said
