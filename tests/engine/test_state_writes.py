"""Under load a key that is written over and over goes to its store now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest

from slipcore.engine import state

from .conftest import BETWEEN_APPS, MakeApp

RECORDS = 50_000


def counted(store: Any) -> list[int]:
    """The numbers of values in the writes of a store, from now on."""
    seen: list[int] = []
    write = store.awrite

    async def awrite(changes: Any, positions: Any = None) -> None:
        seen.append(sum(map(len, changes.values())))
        await write(changes, positions or {})

    store.awrite = awrite
    return seen


@BETWEEN_APPS
def test_a_key_that_many_records_write_is_written_now_and_then(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "BETWEEN_WRITES", 0.5)  # a machine may be slow
    app = make_app()
    counts = app.cache("counts", backend="memory")
    seen = counted(counts.open().store)

    async def numbers() -> AsyncIterator[int]:
        for number in range(RECORDS):
            yield number

    @app.handle(numbers())
    def count(number: int) -> None:
        counts[number % 10] = counts.get(number % 10, 0) + 1

    began = monotonic()
    asyncio.run(app.stream())
    took = monotonic() - began
    assert [counts[key] for key in range(10)] == [RECORDS // 10] * 10
    assert len(seen) < 2 * took + 5
    app.close()


@BETWEEN_APPS
def test_a_record_alone_is_written_at_once(make_app: MakeApp) -> None:
    app = make_app()
    counts = app.cache("counts", backend="memory")
    seen = counted(counts.open().store)
    waited: list[float] = []

    async def numbers() -> AsyncIterator[int]:
        for number in range(20):
            written, began = len(seen), monotonic()
            yield number
            while len(seen) == written and monotonic() - began < 5:
                await asyncio.sleep(0.001)
            waited.append(monotonic() - began)

    @app.handle(numbers())
    def count(number: int) -> None:
        counts["sum"] = counts.get("sum", 0) + number

    asyncio.run(app.stream())
    assert counts["sum"] == 190
    assert sorted(waited)[len(waited) // 2] < 0.04
    app.close()
