"""Suites run over wrong backends, several at once, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Final

from slipcore.testing.verify import Result, verify
from tests.kit.wrong.suites import RIGHT, WRONG, suite_of

WORKERS: Final = 4
"""Most runs wait for something that does not happen, so there are more than there are cores."""


def name_of(backend: type[Any]) -> str:
    """What a backend is called, and where it stands."""
    return f"{backend.__module__.rpartition('.')[2]}.{backend.__name__}"


BY_NAME: Final = {name_of(backend): backend for backend in (*RIGHT, *WRONG)}


class Runs:
    """Runs that are under way."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def start(self, backend: type[Any], *without: str) -> Future[list[Result]]:
        """Run the suite over a backend.

        Args:
            without: ids of promises whose tests are left out.
        """
        return self._pool.submit(_run, name_of(backend), without)


@contextmanager
def runs() -> Iterator[Runs]:
    """What starts runs; those that are not over at the end are given up."""
    pool = ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"))
    try:
        yield Runs(pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _run(name: str, without: tuple[str, ...]) -> list[Result]:
    return verify(suite_of(BY_NAME[name]), without=without)
