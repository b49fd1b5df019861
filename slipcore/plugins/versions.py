"""Whether this core is one that a distribution requires.

Installers judge requirements by all of PEP 440 and PEP 508; what is here tells at start what one
that was forced past them still says, `slipcore>=9`, without the 40 ms that a full parser takes to
import. It judges plain releases, and leaves markers and pre-releases to the installer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

Release: TypeAlias = tuple[int, ...]

_REQUIREMENT: Final = re.compile(r"\s*([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*(;.*)?$")
_CLAUSE: Final = re.compile(r"\s*(~=|==|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)(\.\*)?\s*$")
_RELEASE: Final = re.compile(r"v?(\d+(?:\.\d+)*)")


def unmet(requirements: Iterable[str], name: str, version: str) -> str | None:
    """What a distribution requires of another one that its version does not meet; None: nothing.

    Args:
        requirements: as they are written, of anything.
        name: of the other one, in lower case.
        version: of the other one; empty: it is not known, and nothing is unmet.
    """
    release = _RELEASE.match(version)
    if release is None:
        return None
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        if found is None or found[1].lower() != name or found[3]:
            continue
        clauses = found[2].strip()
        if not all(_met(clause, _parts(release[1])) for clause in clauses.split(",")):
            return f"{name}{clauses}"
    return None


def required(requirements: Iterable[str]) -> Iterator[str]:
    """The names of what a distribution requires in any case: without a marker or an extra."""
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        if found is not None and not found[3]:
            yield found[1]


def _met(clause: str, release: Release) -> bool:
    found = _CLAUSE.match(clause)
    if found is None:
        return True
    operator, text, wildcard = found.groups()
    wanted = _parts(text)
    if wildcard:
        return (_starts(release, wanted)) == (operator == "==")
    if operator == "~=":
        return _order(release, wanted) >= 0 and _starts(release, wanted[:-1])
    order = _order(release, wanted)
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]


def _parts(text: str) -> Release:
    return tuple(map(int, text.split(".")))


def _padded(release: Release, length: int) -> Release:
    return release + (0,) * (length - len(release))


def _order(one: Release, other: Release) -> int:
    length = max(len(one), len(other))
    one, other = _padded(one, length), _padded(other, length)
    return (one > other) - (one < other)


def _starts(release: Release, beginning: Release) -> bool:
    return _padded(release, len(beginning))[: len(beginning)] == beginning
