"""Another framework without Kafka: `python -m benchmarks.contenders.in_memory FRAMEWORK CASE N`.

It handles N records as the case says and prints seconds, the count of results and their checksum.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from benchmarks.contenders.functions import (
    Tally,
    double,
    double_again,
    double_async,
    double_batch,
    each,
    halves,
    halves_async,
    through,
)

BATCH: Final = 1000
"""Records that Bytewax gets from its source at once."""


@dataclass(slots=True)
class Item:
    """A record, as far as the handlers look at it."""

    offset: int


def slipstream(case: str, records: list[Item], tally: Tally) -> Callable[[], object]:
    """Bind a case as slipstream-async does; the answer runs it."""
    import slipstream as framework

    source = each(records)
    handle = framework.handle
    match case:
        case "sync-0":
            handle(source)(tally.handle)
        case "sync-1":
            handle(source, sink=[tally.sink])(double)
        case "sync-3":
            handle(source, sink=[tally.sink] * 3)(double)
        case "async":
            handle(source, sink=[tally.sink_async])(double_async)
        case "generator":
            handle(source, sink=[tally.sink])(halves)
        case "async-generator":
            handle(source, sink=[tally.sink])(halves_async)
        case "pipe":
            handle(source, pipe=[through], sink=[tally.sink])(double)
        case "shared":
            handle(source, sink=[tally.sink])(double)
            handle(source, sink=[tally.sink])(double_again)
    return lambda: asyncio.run(framework.stream())


def bytewax(case: str, records: list[Item], tally: Tally) -> Callable[[], object]:
    """Build a case as a dataflow of Bytewax; the answer runs it."""
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.outputs import DynamicSink, StatelessSinkPartition
    from bytewax.testing import TestingSource, run_main

    class Partition(StatelessSinkPartition[int]):  # type: ignore[misc, unused-ignore]  # it may not be installed
        def write_batch(self, items: list[int]) -> None:
            for item in items:
                tally.sink(item)

    class Sink(DynamicSink[int]):  # type: ignore[misc, unused-ignore]  # it may not be installed
        def build(self, step_id: str, worker_index: int, worker_count: int) -> Partition:
            return Partition()

    flow = Dataflow("bench")
    stream = op.input("records", flow, TestingSource(records, BATCH))
    results = {
        "sync-1": lambda: [op.map("double", stream, double)],
        "sync-3": lambda: [op.map("double", stream, double)] * 3,
        "generator": lambda: [op.flat_map("halves", stream, halves)],
        "shared": lambda: [op.map("one", stream, double), op.map("two", stream, double_again)],
        "batch": lambda: [op.flat_map_batch("double", stream, double_batch)],
    }[case]()
    for number, result in enumerate(results):
        op.output(f"sink-{number}", result, Sink())
    return lambda: run_main(flow)


def main(framework: str, case: str, count: int) -> None:
    """Run one case and print what it took."""
    tally = Tally()
    records = [Item(offset) for offset in range(count)]
    run = {"slipstream": slipstream, "bytewax": bytewax}[framework](case, records, tally)
    began = perf_counter()
    run()
    seconds = perf_counter() - began
    print(json.dumps({"seconds": seconds, "count": tally.count, "total": tally.total}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
