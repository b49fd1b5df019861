"""An app that was started and stopped a hundred times has left nothing in its process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from slipcore import App, Limits, Record
from slipcore.config import Config
from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

from .leaks import Held, left_by

MEGABYTE = 1 << 20
ROUNDS = 100


class BrokenError(Exception):
    """What a handler of these tests fails with."""


def app_on(directory: Path, topic: str, cache: str, **backends: str) -> App:
    """An app whose name nobody else has."""
    environ = {"SLIP_DEFAULTS__TOPIC": topic, "SLIP_DEFAULTS__CACHE": cache}
    environ |= {f"SLIP_BACKENDS__{key.upper()}": value for key, value in backends.items()}
    config = Config.load(directory, environ)
    return App(unique("shop"), config=config, limits=Limits(commit=0.02))


async def live(app: App, *, fails: bool = False) -> None:
    """Make an app count one record, run it, stop it and close it."""
    orders = app.topic(f"{app.name}-in")
    counted, counts = app.topic(f"{app.name}-out"), app.cache("counts")

    @app.handle(orders, sink=[counted])
    async def count(record: Record) -> tuple[str, str]:
        await counts.aset("k", 1)
        if fails:
            raise BrokenError
        app.stop()
        return record.key, record.value

    await orders("k", "v")
    await orders.aclose()
    with suppress(BrokenError):
        await app.stream()
    app.close()


def assert_nothing(left: Held) -> None:
    assert (left.tasks, left.threads, left.files) == (0, 0, 0)
    assert left.memory < 16 * MEGABYTE


@pytest.mark.parametrize("fails", [False, True], ids=["in order", "failing"])
@pytest.mark.parametrize("backend", ["memory", "sqlite"])
def test_a_hundred_apps_leave_nothing(tmp_path: Path, backend: str, fails: bool) -> None:
    """No task, thread, socket, open file, and no memory to speak of; also where handlers fail."""

    async def one() -> None:
        await live(app_on(tmp_path, backend, backend), fails=fails)

    assert_nothing(asyncio.run(left_by(one, ROUNDS, warm_up=5)))


def test_one_event_loop_after_the_other_leaves_nothing(tmp_path: Path) -> None:
    """Nothing of an app is bound to a loop that has ended."""
    app = app_on(tmp_path, "sqlite", "sqlite")
    orders = app.topic("orders")
    app.handle(orders)(lambda record: app.stop())

    async def one() -> None:
        await orders("k", "v")
        await orders.aclose()
        await app.stream()

    async def in_a_loop_of_its_own() -> None:
        await asyncio.to_thread(asyncio.run, one())

    assert_nothing(asyncio.run(left_by(in_a_loop_of_its_own, 30, warm_up=5)))
    app.close()


def test_apps_on_rocks_leave_nothing(tmp_path: Path) -> None:
    """The directories are let go of with each."""

    async def one() -> None:
        await live(app_on(tmp_path, "sqlite", "rocks"))

    assert_nothing(asyncio.run(left_by(one, 10)))


def test_apps_on_redis_leave_nothing(tmp_path: Path, redis: Redis) -> None:
    """All connections are closed."""

    async def one() -> None:
        await live(app_on(tmp_path, "redis", "redis", redis__url=redis.url))

    assert_nothing(asyncio.run(left_by(one, 10)))


def test_apps_on_kafka_leave_nothing(tmp_path: Path, kafka: Kafka) -> None:
    """All connections are closed."""

    async def one() -> None:
        address = {"kafka__bootstrap_servers": kafka.address}
        await live(app_on(tmp_path, "kafka", "sqlite", **address))

    assert_nothing(asyncio.run(left_by(one, 3)))
