"""Moments as they are typed and printed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from slipcore.interfaces import now_ms

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(text: str) -> int:
    """What is meant by "2h", which is so long ago, or by an ISO date; ms since the epoch.

    Raises:
        ValueError: it is neither.
    """
    if (ago := _AGO.fullmatch(text)) is not None:
        return now_ms() - round(float(ago[1]) * _SECONDS[ago[2]] * 1000)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"'{text}' is no time: write how long ago, 90s, 30m, 2h, 7d, or a moment, "
            "2026-01-31T08:00Z."
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return round(found.timestamp() * 1000)


def time_text(milliseconds: int) -> str:
    """A moment as it is printed, in UTC."""
    try:
        found = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # nobody says that a header is a time
        return f"{milliseconds} ms"
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")
