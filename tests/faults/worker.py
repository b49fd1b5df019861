"""The app that the yard breaks: it counts orders per key, and sends each on with its number.

slip run worker.py

Its backends are those of the slip.toml in the working directory. Its name is part of its topics'.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from typing import Any

from slipcore import App, ISink, Limits, Out, Record, dead_letter, retry, skip
from tests.faults.lag import Ticker
from tests.faults.wanted import Wanted
from tests.faults.without import take_out

LAST_IDS = 5


class Full(ISink):
    """Takes outputs, and never has room to keep them."""

    def send(self, output: Out) -> None:
        pass

    async def flush(self) -> None:
        await asyncio.Event().wait()


def policies() -> list[Any]:
    """What happens to a record that fails."""
    rules: list[Any] = [retry(wanted.retries, backoff=0.01)] if wanted.retries else []
    if wanted.policy == "skip":
        rules.append(skip())
    if wanted.policy == "dead letter":
        rules.append(dead_letter(letters))
    return rules


def chained(before: str, order: str) -> str:
    """The hash of all ids so far, in their order."""
    return hashlib.sha256(f"{before}{order}".encode()).hexdigest()[:16]


wanted = Wanted.from_environment()
take_out(wanted.without)
app = App(limits=Limits(stop=wanted.stop, close=wanted.close, commit=wanted.commit))
orders = app.topic(f"{app.name}-orders", codec="json")
results = app.topic(f"{app.name}-results", codec="json")
letters = app.topic(f"{app.name}-letters", codec="raw")
sinks = [results, Full()] if wanted.full else [results]


taken: set[str] = set()


async def work(order: dict[str, Any]) -> None:
    """Take the time that an order takes, and fail where it is a bad one."""
    # What takes so long does once: else an order that can't be committed for it never could be.
    seconds = wanted.delay if order["id"] in taken else order.get("takes", wanted.delay)
    taken.add(order["id"])
    if seconds and wanted.blocks:
        time.sleep(seconds)  # noqa: ASYNC251  # a handler that blocks is what is wanted
    elif seconds:
        await asyncio.sleep(seconds)
    if order.get("bad") == "hangs" or wanted.hangs == order["id"]:
        await asyncio.Event().wait()
    if order.get("bad") == "raises":
        raise ValueError(f"order {order['id']} is bad")


def result(record: Record, count: int) -> tuple[str, dict[str, Any]]:
    return record.key, {
        "id": record.value["id"],
        "count": count,
        "partition": record.partition,
        "offset": record.offset,
        "by": wanted.name,
        "padding": "x" * record.value.get("size", 0),
    }


if wanted.counts:
    counts = app.cache("counts")

    @app.handle(
        orders, sink=sinks, on_error=policies(), on_decode_error=policies(), timeout=wanted.timeout
    )
    async def count(record: Record) -> tuple[str, dict[str, Any]]:
        kept = await counts.aget(record.key) or {"count": 0, "hash": "", "last": ""}
        order = record.value["id"]
        number = kept["count"] + 1
        last = [*kept["last"].split(), order][-LAST_IDS:]
        await counts.aset(
            record.key,
            {"count": number, "hash": chained(kept["hash"], order), "last": " ".join(last)},
        )
        await work(record.value)
        return result(record, number)

else:

    @app.handle(
        orders, sink=sinks, on_error=policies(), on_decode_error=policies(), timeout=wanted.timeout
    )
    async def forward(record: Record) -> tuple[str, dict[str, Any]]:
        await work(record.value)
        return result(record, 0)


def end_with_the_yard() -> None:
    """End when nobody holds the other end of standard input any more."""
    os.read(0, 1)
    os._exit(1)


threading.Thread(target=end_with_the_yard, daemon=True).start()


@app.on_start
def say() -> None:
    print(f"{wanted.name} is process {os.getpid()}", flush=True)


if wanted.ticks:

    @app.on_start
    def tick() -> None:
        Ticker()
