"""What a handler visibly keeps its state in is known before the first record."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from slipcore.caching import Cache
from slipcore.wiring import caches_of

from .conftest import BETWEEN_APPS, MakeApp


class Keeper:
    """A handler that has a cache."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def handle(self, record: Any) -> None: ...

    def __call__(self, record: Any) -> None: ...


class Slotted:
    """A handler that has a cache in a slot, and nothing else."""

    __slots__ = ("cache",)

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def __call__(self, record: Any) -> None: ...


class Several:
    """A handler that has caches in a dict."""

    def __init__(self, cache: Cache) -> None:
        self.caches = {"counts": cache}

    def __call__(self, record: Any) -> None: ...


def several_looked_into(cache: Cache) -> Callable[[Any], None]:
    several = Several(cache)
    assert vars(several)
    return several


def looked_into(cache: Cache) -> Callable[[Any], None]:
    keeper = Keeper(cache)
    assert vars(keeper)
    return keeper.handle


@BETWEEN_APPS
@pytest.mark.parametrize(
    "handler_with",
    [
        Keeper,
        Slotted,
        lambda cache: Keeper(cache).handle,
        looked_into,
        Several,
        several_looked_into,
    ],
    ids=["object", "slots", "method", "with its dict", "in a dict", "in a dict, with its own"],
)
def test_a_cache_that_the_handlers_object_has_is_seen(
    make_app: MakeApp, handler_with: Callable[[Cache], Callable[[Any], None]]
) -> None:
    app = make_app()
    cache = app.cache("counts")
    app.handle(app.topic("orders"))(handler_with(cache))
    assert caches_of(app.bindings[0]) == [cache]


@BETWEEN_APPS
def test_a_handlers_object_is_as_fast_as_before(make_app: MakeApp) -> None:
    """Its `__dict__` is not made: attributes would be looked up in it from then on."""
    app = make_app()
    keeper = Keeper(app.cache("counts"))
    app.handle(app.topic("orders"))(keeper.handle)
    caches_of(app.bindings[0])
    assert dict not in map(type, gc.get_referents(keeper))
