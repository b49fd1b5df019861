"""Promises: what the contracts say, sentence by sentence, and which tests hold a backend to it.

A sentence of a contract's docstring that ends with an id in brackets is a promise:

    Nothing is dropped, and the others go on. [source.pause-loses-nothing]

A test of a suite says by the same id what it tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from inspect import getdoc
from typing import Any, Final, TypeVar

from slipcore.interfaces import (
    Assignment,
    ICheckpointStore,
    ICodec,
    ISink,
    ISource,
    IStateStore,
    ITopic,
)

Test = TypeVar("Test", bound=Callable[..., object])

_CONTRACTS: Final = (Assignment, ISource, ISink, ITopic, IStateStore, ICodec, ICheckpointStore)
_KINDS: Final = "source|sink|topic|cache|codec|checkpoint-store"
_ID: Final = re.compile(rf"\[((?:{_KINDS})\.[a-z]+(?:-[a-z]+)*)\]")
_PROMISE: Final = re.compile(rf"([^\[\]]+)((?:\s*{_ID.pattern})+)")
_ITEM: Final = re.compile(r"^(?:Args|Attributes|Raises|Returns):$|^ +(?=\w+: )", re.MULTILINE)


def promise(*ids: str) -> Callable[[Test], Test]:
    """Say which promises a test holds a backend to.

    Args:
        ids: of sentences of the contracts.
    """

    def decorate(test: Test) -> Test:
        test.__promises__ = ids  # type: ignore[attr-defined]  # where ids_of looks
        return test

    return decorate


def ids_of(function: object) -> tuple[str, ...]:
    """The promises that a test holds a backend to; none if it does not say."""
    ids: tuple[str, ...] = getattr(function, "__promises__", ())
    return ids


def promised() -> dict[str, str]:
    """Id -> sentence of everything that the contracts promise, in their order."""
    return dict(found for docstring in _docstrings() for found in _promises(docstring))


def _docstrings() -> Iterator[str]:
    seen: set[Any] = set()
    for contract in _CONTRACTS:
        for part in (base for base in reversed(contract.__mro__) if base is not object):
            for thing in (part, *vars(part).values()):
                if id(thing) not in seen and callable(thing) and isinstance(thing.__doc__, str):
                    seen.add(id(thing))
                    yield getdoc(thing) or ""


def _promises(docstring: str) -> Iterator[tuple[str, str]]:
    """The ids of a docstring, each with the last sentence before it."""
    for paragraph in _ITEM.sub("\n\n", docstring).split("\n\n"):
        for found in _PROMISE.finditer(" ".join(paragraph.split())):
            sentence = re.split(r"(?<=\.)\s+(?=[A-Z`])", found[1].strip())[-1]
            for name in _ID.findall(found[2]):
                yield name, sentence.rstrip(",;:").strip()
