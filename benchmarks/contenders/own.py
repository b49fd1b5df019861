"""slipcore from topic to topic: see `jobs` for how it is started."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from benchmarks.contenders.jobs import SCHEMA, Order, Task, on_dict, task
from slipcore import App
from slipcore.config import Config


def bind(app: App, given: Task) -> None:
    """Bind the job's handler."""
    conf = {"bootstrap_servers": given.bootstrap}
    options: dict[str, Any] = {"codec": "raw"}
    if given.job == "json":
        options = {"codec": "json", "key_codec": "raw"}
    elif given.job == "typed":
        options = {"type": Order, "key_codec": "raw"}
    elif given.job == "avro":
        from slip_avro import AvroCodec

        options = {"codec": AvroCodec(SCHEMA), "key_codec": "raw"}
    source = app.topic(given.source, conf, **options)
    sink = app.topic(given.sink, conf, **options)
    handle = app.handle(source, sink=[sink])
    if given.job == "pass":
        handle(lambda record: (record.key, record.value))
    elif given.job == "typed":
        handle(on_order)
    elif given.job == "count":
        cache = app.cache("counts", backend="rocks")

        def count(record: Any) -> tuple[bytes, bytes]:
            number = cache.get(record.key, 0) + 1
            cache.put(record.key, number)
            return record.key, b"%d" % number

        handle(count)
    else:
        handle(on_dict)


def on_order(record: Any) -> tuple[bytes, Order]:
    """Change a Struct."""
    order = record.value
    order.n += 1
    return record.key, order


def main() -> None:
    """Run until a signal says to stop."""
    for library in ("slip_kafka.topic", "slip_rocks.state"):
        import_module(library)  # what is loaded at first use belongs to an idle app too
    given = task()
    app = App(given.group, config=Config(given.folder))
    bind(app, given)
    asyncio.run(app.stream())


if __name__ == "__main__":
    main()
