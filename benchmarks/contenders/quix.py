"""Quix Streams from topic to topic: see `jobs` for how it is started."""

from __future__ import annotations

from typing import Any

from quixstreams import Application

from benchmarks.contenders.jobs import Task, change_of, task


def run(given: Task) -> None:
    """Run until a signal says to stop."""
    app = Application(
        given.bootstrap,
        consumer_group=given.group,
        auto_offset_reset="earliest",
        commit_interval=1.0,
        consumer_extra_config={"fetch.queue.backoff.ms": 10},
        producer_extra_config={"acks": "all"},
        state_dir=given.folder,
        loglevel="ERROR",
    )
    coded = "json" if given.job == "json" else "bytes"
    source = app.topic(given.source, value_deserializer=coded, key_deserializer="bytes")
    sink = app.topic(given.sink, value_serializer=coded, key_serializer="bytes")
    frame = app.dataframe(source)
    if given.job == "json":
        frame = frame.apply(on_dict)
    elif given.job == "count":
        frame = frame.apply(count, stateful=True)
    elif given.job != "pass":
        frame = frame.apply(change_of(given.job))
    frame.to_topic(sink)
    app.run()


def on_dict(order: dict[str, Any]) -> dict[str, Any]:
    """Change a decoded dict."""
    order["n"] += 1
    return order


def count(value: bytes, state: Any) -> bytes:
    """Count in the state of Quix: RocksDB and a changelog."""
    number = state.get("n", 0) + 1
    state.set("n", number)
    return b"%d" % number


if __name__ == "__main__":
    run(task())
