"""What all suites have in common: what is offered, and that nothing is overridden silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import pytest

from slipcore.testing.promises import ids_of

Test = TypeVar("Test", bound=Callable[..., object])


def needs(*words: str) -> Callable[[Test], Test]:
    """Say what a backend has to offer for a test to be run.

    Args:
        words: of what a suite's `offers` may name.
    """

    def decorate(test: Test) -> Test:
        test.__needs__ = words  # type: ignore[attr-defined]  # where the base class looks
        return test

    return decorate


def overrides(reason: str) -> Callable[[Test], Test]:
    """Say why a backend has a test of its own in the place of one of its suite.

    The test is reported as an expected failure for this reason, and it has to fail: call the
    suite's own with `super()`, so that it is seen when the reason is gone.

    Args:
        reason: what the backend does not keep, and why.
    """

    def decorate(test: Test) -> Test:
        test.__overrides__ = reason  # type: ignore[attr-defined]  # where the base class looks
        marked: Test = pytest.mark.xfail(reason=reason, strict=True)(test)
        return marked

    return decorate


class Contract:
    """The base of all suites.

    Attributes:
        offers: what the backend can do beyond what everyone must; tests that need anything else
            are skipped, and say so.
        patience: seconds that anything which is to happen may take.
        silence: seconds after which what did not happen is taken not to happen.
    """

    offers: ClassVar[frozenset[str]] = frozenset()
    patience: float = 30.0
    silence: float = 0.3

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in (name for name in dir(cls) if name.startswith("test_")):
            _check_overriding(cls, name)
        _check_offers(cls)

    @pytest.fixture(autouse=True)
    def _skip_what_is_not_offered(self, request: pytest.FixtureRequest) -> None:
        missing = [word for word in _needed(request.function) if word not in self.offers]
        if missing:
            pytest.skip(f"not offered: {', '.join(missing)}")


def _needed(test: object) -> tuple[str, ...]:
    words: tuple[str, ...] = getattr(test, "__needs__", ())
    return words


def _check_overriding(cls: type, name: str) -> None:
    """Refuse a test that takes the place of another one without a reason; keep its promises."""
    ways = [vars(base)[name] for base in cls.__mro__ if name in vars(base)]
    if len(ways) == 1:
        return
    if not hasattr(ways[0], "__overrides__"):
        raise TypeError(
            f"{cls.__qualname__} overrides the contract's test {name}: give it another name, or "
            f'say why with @overrides("reason")'
        )
    ways[0].__promises__ = ids_of(ways[-1])
    ways[0].__needs__ = _needed(ways[-1])


def _check_offers(cls: type[Contract]) -> None:
    offered = set(_words(cls))
    for word in sorted(cls.offers - offered):
        raise TypeError(
            f"{cls.__qualname__} offers '{word}', which no test of its suite is about: "
            f"there are {', '.join(sorted(offered)) or 'none'}"
        )


def _words(cls: type) -> Iterator[str]:
    """What the tests of a suite may need."""
    for name in dir(cls):
        if name.startswith("test_"):
            yield from _needed(getattr(cls, name))
