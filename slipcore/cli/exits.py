"""The exit codes of `slip` other than 0."""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
"""A handler, source or sink failed, or a check found something."""

MISCONFIGURED: Final = 2
"""A wrong setting, name or usage."""

UNFINISHED: Final = 3
"""A deadline passed with unfinished work."""
