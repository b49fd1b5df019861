"""What is finished is kept by nobody, however the records that wrote state are chained."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipcore import App, Record
from slipcore.engine.delivery import Lane
from slipcore.engine.generations import Generation

from .conftest import BETWEEN_APPS, MakeApp

SIDE_BY_SIDE = pytest.mark.parametrize(
    "how", [{}, {"concurrency": 4}], ids=["in turn", "4 at once"]
)


class Item:
    """Something that can be seen to go."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


async def items(n: int, alive: weakref.WeakSet[Item]) -> AsyncIterator[Item]:
    for number in range(n):
        item = Item(number)
        alive.add(item)
        yield item
        del item
        if number % 5 == 0:
            await asyncio.sleep(0)


@BETWEEN_APPS
@SIDE_BY_SIDE
def test_items_that_write_one_key_over_and_over_do_not_pile_up(
    make_app: MakeApp, how: dict[str, Any]
) -> None:
    app = make_app()
    last = app.cache("last")
    alive: weakref.WeakSet[Item] = weakref.WeakSet()
    most = 0

    @app.handle(items(60_000, alive), **how)
    async def keep(item: Item) -> None:
        nonlocal most
        last["hot"] = item.number
        most = max(most, len(alive))

    asyncio.run(app.stream())
    assert last["hot"] == 59_999
    assert most < 45_000  # MAX_AHEAD may be on the way; all, were each kept by the next


@SIDE_BY_SIDE
@pytest.mark.parametrize("ends", ["by itself", "stopped", "by an error"])
def test_nothing_is_left_of_a_run(make_app: MakeApp, how: dict[str, Any], ends: str) -> None:
    alive: weakref.WeakSet[Item] = weakref.WeakSet()
    run(make_app(), alive, how, ends)
    gc.collect()
    assert len(alive) == 0


def run(app: App, alive: weakref.WeakSet[Item], how: dict[str, Any], ends: str) -> None:
    last = app.cache("last")

    @app.handle(items(1_000, alive), **how)
    async def keep(item: Item) -> None:
        last[f"key {item.number % 3}"] = item.number
        await asyncio.sleep(0)
        if item.number == 500 and ends == "stopped":
            app.stop()
        if item.number == 500 and ends == "by an error":
            raise ValueError("this one")

    try:
        asyncio.run(app.stream())
    except ValueError:
        assert ends == "by an error"
    app.close()


@given(
    places=st.lists(st.integers(0, 2), max_size=12),
    held=st.sets(st.integers(0, 2)),
    lost=st.sets(st.integers(0, 2)),
    won=st.sets(st.integers(0, 2)),
)
def test_a_generation_knows_where_it_ends_without_its_records(
    places: list[int], held: set[int], lost: set[int], won: set[int]
) -> None:
    """Whatever partitions went to others while it was handled, or came back in a later epoch."""
    lane = Lane.bare("reader")
    lane.since = dict.fromkeys(held, 3)
    records = [
        Record(partition=partition, offset=offset) for offset, partition in enumerate(places)
    ]
    generation = Generation(lane, records, 3)
    generation.let_go()
    for partition in lost:
        lane.since.pop(partition, None)
    lane.since.update(dict.fromkeys(won, 4))
    assert generation.count == len(records)
    assert len(generation.records) <= 3
    assert generation.live_positions() == {
        record.partition: record.offset
        for record in records
        if record.partition in held - lost - won
    }
