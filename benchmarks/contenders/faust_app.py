"""Faust from topic to topic, tuned: see `jobs` for how it is started."""

from __future__ import annotations

from typing import Any

import faust

from benchmarks.contenders.jobs import PARTITIONS, Task, change_of, task


def made(given: Task) -> Any:
    """The application."""
    app = faust.App(
        given.group,
        broker=f"kafka://{given.bootstrap}",
        datadir=str(given.folder),
        store="memory://",
        value_serializer="raw",
        key_serializer="raw",
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        producer_linger=0.005,
        producer_acks=-1,
        stream_wait_empty=False,
        web_enabled=False,
    )
    source = app.topic(given.source, key_type=bytes, value_type=bytes)
    sink = app.topic(given.sink, key_type=bytes, value_type=bytes)
    counts = app.Table("counts", default=int, partitions=PARTITIONS)

    @app.agent(source)  # type: ignore[untyped-decorator]  # the peer has no types
    async def on(stream: Any) -> None:
        if given.job == "count":
            async for message in stream.events():
                key = message.key
                number = counts[key.decode()] = counts[key.decode()] + 1
                await sink.send(key=key, value=b"%d" % number)
        else:
            change = change_of(given.job)
            async for key, value in stream.items():
                await sink.send(key=key, value=change(value))

    return app


if __name__ == "__main__":
    import sys

    application = made(task())
    sys.argv = ["faust", "worker", "--without-web", "-l", "error"]
    application.main()
