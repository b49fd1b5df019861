"""A run that is cancelled at whatever step of its loop, in the process of another program."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from slipcore import App, Limits, Record
from slipcore.config import Config
from slipcore.engine.runner import Runner
from tests.faults.checker import End, chained
from tests.faults.fault import fault
from tests.faults.topics import on_redis, on_sqlite
from tests.faults.yard import Yard

STEPS: Final = {"sqlite": range(1, 121), "redis": range(1, 241, 3)}
"""At which steps a run is cancelled; with a server each takes longer."""
LONGEST: Final = 1.0
"""Seconds after which a run is cancelled that has nothing to do."""
LEFT: Final = "letting go"


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that cancels a task when it has turned so often."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 0
        self._task: asyncio.Task[None] | None = None

    def cancel_at(self, step: int, task: asyncio.Task[None]) -> None:
        """Cancel a task at a step from now."""
        self._left, self._task = step, task

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # a loop's own method, of which nobody is told
        self._left -= 1
        if self._left == 0 and self._task is not None:
            self._task.cancel()


def make_app(yard: Yard, name: str) -> App:
    """The worker's app, as a program makes it that has others beside."""
    app = App(
        config=Config.load(cwd=yard.directory, environ={}), limits=Limits(commit=0.01, close=3.0)
    )
    orders, results = app.topic(yard.orders, codec="json"), app.topic(yard.results, codec="json")
    counts = app.cache("counts")

    @app.handle(orders, sink=[results], name="count")
    async def count(record: Record) -> tuple[str, dict[str, Any]]:
        kept = await counts.aget(record.key) or {"count": 0, "hash": "", "last": ""}
        number, order = kept["count"] + 1, record.value["id"]
        done = {"count": number, "hash": chained(kept["hash"], order), "last": ""}
        await counts.aset(record.key, done)
        await asyncio.sleep(0)
        return record.key, {
            "id": order,
            "count": number,
            "partition": record.partition,
            "offset": record.offset,
            "by": name,
        }

    return app


def run_cancelled(app: App, step: int) -> list[str]:
    """Run an app until a step, and cancel it; the tasks that it has left."""
    loop = CountingLoop()

    async def work() -> list[str]:
        running = asyncio.ensure_future(app.stream())
        loop.cancel_at(step, running)
        loop.call_later(LONGEST, running.cancel)
        with suppress(asyncio.CancelledError):
            await running
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:  # what runs in a thread can't be cancelled, and may take a moment
            await asyncio.wait(left, timeout=2.0)
        return [repr(task) for task in left if not task.done()]

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work())


@contextmanager
def without(protection: str | None) -> Iterator[None]:
    """Take this process's protection out for a while."""
    real = Runner._let_go

    async def keep_all(runner: Runner, opened: Any) -> None:
        await asyncio.sleep(0)

    if protection == LEFT:
        setattr(Runner, "_let_go", keep_all)  # noqa: B010  # that is what is broken
    try:
        yield
    finally:
        setattr(Runner, "_let_go", real)  # noqa: B010  # and whole again


@fault(
    "the task of an app cancelled at each step of its loop, one run after the other",
    protects="A cancelled run lets go of all it has, and counts nothing as finished that is not.",
    without=LEFT,
)
def cancelled_at_each_step(yard: Yard) -> None:
    kind = yard.chance.choice(("sqlite", "redis"))
    topics = on_sqlite(yard.directory) if kind == "sqlite" else on_redis(yard.lane.redis)
    yard.prepare(topics=topics, cache=yard.chance.choice(("sqlite", "rocks")), partitions=1)
    protection = yard.wanted.pop("without")
    with without(protection):
        for step in STEPS[kind]:
            yard.fill(3)
            name = f"c{step}"
            app = make_app(yard, name)
            try:
                left = run_cancelled(app, step)
            finally:
                app.close()
            yard.evidence.ends.append(End(name, False, yard.committed()))
            if left:
                yard.complain(f"cancelled at step {step}, a run has left {left[0]}")
                break
    yard.finish()
