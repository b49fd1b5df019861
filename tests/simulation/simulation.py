"""One scenario, run over the real engine with a clock that stands still, before a judge."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from slipcore import App, Cache, Limits, Topic, retry
from slipcore.config import Config
from slipcore.engine.bindings import HeldPipe
from slipcore.interfaces import ISink, Record, SlipError
from slipcore.plugins import Plugins
from slipcore.scope import AppScope
from slipcore.testing.app_loop import FrozenLoop, Quiet
from tests.simulation.backends import SimulatedCodec, SimulatedSink, SimulatedStore, simulated
from tests.simulation.judge import TOTAL, Judge, Output, key_of
from tests.simulation.scenario import Scenario, Shape, Step
from tests.simulation.world import Crash, World

REST_SECONDS: Final = 600.0
"""After which an app that has everything it needs has come to rest, on its own clock."""

REAL_SECONDS: Final = 5.0
"""After which an app that never waits is given up."""


class Boom(Exception):
    """What simulated handlers fail with."""


class Stuck(Exception):
    """The app does not come to rest."""


def simulate(scenario: Scenario) -> str | None:
    """What was wrong first; None if nothing was."""
    simulation = Simulation(scenario)
    logger = logging.getLogger("slipcore")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        simulation.run()
    except Stuck as stuck:
        simulation.judge.complain(str(stuck))
    finally:
        simulation.close()
        logger.setLevel(level)
    return simulation.judge.complaints[0] if simulation.judge.complaints else None


class Simulation:
    """An app, its world, and its judge."""

    def __init__(self, scenario: Scenario) -> None:
        self._loop = FrozenLoop(0.0)
        self._loop.set_exception_handler(lambda loop, context: None)
        self._scenario = scenario
        self.world = World(scenario, self._loop.stop)
        self.judge = Judge(scenario, self.world)
        self.world.store = SimulatedStore(self.world, self.judge)
        self._app: App | None = None
        self._topics: list[Topic] = []
        self._running: asyncio.Task[None] | None = None
        self._seeking: tuple[int, int, int] | None = None
        self._stopping = False

    def run(self) -> None:
        """All steps; then a last run without faults, to its end."""
        for step in self._scenario.steps:
            self._do(step)
            self.judge.see_all()
            if self.judge.complaints:
                return
        self._finish()

    def close(self) -> None:
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()
        self._cancel_all()
        self._loop.close()

    # --- steps ----------------------------------------------------------------------------

    def _do(self, step: Step) -> None:
        verb, *args = step
        if verb in ("produce", "revoke", "lose", "seek", "seek in handler", "elsewhere", "poison"):
            args[1] = int(args[1]) % self._scenario.partitions[int(args[0])]
        act: Callable[..., None] = getattr(self, "_" + str(verb).replace(" ", "_"))
        act(*args)
        self._reap()

    def _produce(self, topic: int, partition: int, count: int, gap: int) -> None:
        self.world.produce(topic, partition, count, gap)

    def _turns(self, count: int) -> None:
        self._start()

        left = count

        def turn() -> None:
            nonlocal left
            left -= 1
            if left > 0:
                self._loop.call_soon(turn)
            elif left == 0:
                self._loop.stop()

        self._loop.call_soon(turn)
        self._drive(lambda to_timer: None)
        left = 0

    def _advance(self, seconds: float) -> None:
        self._start()
        end = self._loop.time() + seconds

        def pass_time(to_timer: float) -> float | None:
            left = end - self._loop.time()
            return min(left, to_timer) if left > 0 else None

        self._drive(pass_time)

    def _idle(self) -> None:
        self._start()
        self._rest(lambda: bool(self._under_way()))

    def _pause(self, topic: int) -> None:
        if self._is_up():
            self._in_app(lambda app: app.pause(self._topics[topic]))

    def _resume(self, topic: int) -> None:
        if self._is_up():
            self._in_app(lambda app: app.resume(self._topics[topic]))

    def _seek(self, topic: int, partition: int, offset: int) -> None:
        if self._is_up():
            self._loop.create_task(_harmless(self._topics[topic].seek({partition: offset})))

    def _seek_in_handler(self, topic: int, partition: int, offset: int) -> None:
        self._seeking = (topic, partition, offset)

    def _revoke(self, topic: int, partition: int) -> None:
        self.world.groups[topic].take(partition)

    def _lose(self, topic: int, partition: int) -> None:
        self.world.groups[topic].take_over(partition)

    def _give_back(self, topic: int) -> None:
        self.world.groups[topic].give_back()

    def _elsewhere(self, topic: int, partition: int, count: int) -> None:
        group = self.world.groups[topic]
        keeps = any(shape.keeps for _, shape, _ in self.judge.of(topic, partition))
        if keeps or partition not in group.wanted or partition in group.held:
            return
        committed = group.committed.get(partition, -1)
        following = [o for o in self.world.logs[topic][partition] if o > committed][:count]
        if following:
            group.committed[partition] = following[-1]
            self.judge.elsewhere(topic, partition)

    def _fail(self, call: str, count: int) -> None:
        self.world.fail(call, count)

    def _poison(self, topic: int, partition: int, times: int) -> None:
        self.world.spoil(topic, partition, times)

    def _hang(self, seconds: float) -> None:
        self.world.hang = seconds

    def _crash_at(self, point: str, passes: int) -> None:
        self.world.arm(point, passes)

    def _crash(self) -> None:
        if self._running is not None:
            self.world.kill()

    def _ask_to_stop(self) -> None:
        if self._is_up():
            self._stopping = True
            self._in_app(lambda app: app.stop())

    def _stop(self) -> None:
        self._ask_to_stop()
        if self._running is not None:
            self._rest(lambda: True)

    def _finish(self) -> None:
        """Let it come to rest with nothing in its way, and stop it in order."""
        self.world.heal()
        self._seeking = None
        for topic, group in enumerate(self.world.groups):
            group.give_back()
            self._resume(topic)
        for _ in range(10):
            if self.judge.complaints:
                return
            self._start()
            self._rest(lambda: bool(self._under_way()) or self._lags())
            failed = self._running is None or self._running.done()
            self._reap()
            if not failed and not self._lags():
                break
        else:
            raise Stuck("the app, which nothing is in the way of, fails again and again")
        self.judge.see_all()
        self._stop()
        self._reap(must_be_orderly=True)
        self.judge.see_nothing_lost()

    def _lags(self) -> bool:
        """Whether the app has still to be told of something."""
        return any(
            len(group.held) < group.partitions or group.outstanding is not None
            for group in self.world.groups
        ) or any(
            track.cursor is None or track.cursor < log[-1]
            for (_, topic, partition), track in self.judge.tracks.items()
            if (log := self.world.logs[topic][partition])
        )

    # --- the process ----------------------------------------------------------------------

    def _start(self) -> None:
        if self._running is not None:
            return
        self._app = self._make_app()
        self._running = self._loop.create_task(self._app.serve())
        self._running.add_done_callback(lambda _: self._loop.stop())
        self._loop.call_soon(self._loop.stop)  # it is wired after one turn
        self._drive(lambda to_timer: None)

    def _make_app(self) -> App:
        scenario = self._scenario
        limits = Limits(commit=scenario.commit, commit_records=scenario.commit_records)
        config = _config().forcing(simulated(self.world, self.judge))
        app = App("simulation", config=config, plugins=_plugins(), limits=limits)
        app._scope = AppScope("simulation", Path())
        codec = SimulatedCodec(self.world)
        self._topics = [app.topic(str(n), codec=codec) for n in range(len(scenario.partitions))]
        state = app.cache("state")
        for number, shape in enumerate(scenario.bindings):
            sinks: list[ISink] = [
                SimulatedSink(f"{number}/{sink}", self.world, self.judge)
                for sink in range(shape.sinks)
            ]
            handler = self._handler(number, shape, state if shape.keeps else None)
            pipes = () if shape.holds is None else (self._pipe(number, shape.holds),)
            sources = [self._topics[topic] for topic in shape.topics]
            rule = retry(scenario.retries, jitter=0.0) if scenario.retries and not pipes else None
            app.handle(
                *sources,
                sink=sinks,
                pipe=pipes,
                name=str(number),
                on_error=rule,
                concurrency=shape.width,
            )(handler)
        return app

    def _is_up(self) -> bool:
        return self._running is not None and self._app is not None and self._app.running

    def _in_app(self, act: Callable[[App], None]) -> None:
        assert self._app is not None
        act(self._app)

    def _under_way(self) -> list[str]:
        if self._running is None or self._running.done() or self._app is None:
            return []
        runner = self._app.runner
        return ["the app is ending"] if runner is None else runner.under_way()

    def _reap(self, must_be_orderly: bool = False) -> None:
        """Take note that the process has ended, and how."""
        running = self._running
        if running is None or not (running.done() or self.world.dead):
            return
        if self.world.dead:
            running.cancel()
            self._rest(lambda: not running.done())
            in_order = False
        else:
            error = None if running.cancelled() else running.exception()
            in_order = error is None and not running.cancelled()
            if error is not None and not isinstance(error, SlipError | Boom):
                self.judge.complain(f"the run ends with {type(error).__name__}: {error}")
            if must_be_orderly and error is not None:
                self.judge.complain(f"the last stop is not orderly: {error}")
            if in_order and not self._stopping:
                self.judge.complain("the run ends, and nobody has asked for it")
        self._cancel_all()
        self.judge.ended(in_order)
        if self._app is not None:
            self._app.forget()
        self._running, self._app, self._stopping = None, None, False
        self.world.restart()

    def _cancel_all(self) -> None:
        for _ in range(20):
            left = asyncio.all_tasks(self._loop)
            if not left:
                return
            for task in left:
                task.cancel()
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    # --- time -----------------------------------------------------------------------------

    def _drive(self, quiet: Quiet) -> None:
        if not self._loop.drive(quiet, REAL_SECONDS):
            raise Stuck(f"the app never waits: {self._under_way()}")

    def _rest(self, goes_on: Callable[[], bool]) -> None:
        """Let time pass for as long as something goes on, or until the process has ended."""
        end = self._loop.time() + REST_SECONDS

        def pass_time(to_timer: float) -> float | None:
            return to_timer if to_timer < math.inf and goes_on() else None

        running = self._running
        self._drive(
            lambda to_timer: pass_time(to_timer) if self._loop.time() < end else None,
        )
        if goes_on() and not self.world.dead and running is not None and not running.done():
            raise Stuck(f"the app does not come to rest: {self._under_way()}")

    # --- handlers -------------------------------------------------------------------------

    def _handler(self, number: int, shape: Shape, state: Cache | None) -> Callable[[Any], Any]:
        def place(item: Any) -> tuple[int, int, int, int]:
            if shape.holds is not None:
                record, turn = item
            else:
                record, turn = item, self._begins(number, item)
            return int(record.topic), record.partition, record.offset, turn

        def outputs(item: Any) -> Iterator[Output]:
            """The handler itself, whatever it is called through."""
            topic, partition, offset, turn = place(item)
            self.world.at("before handler")
            if state is not None:
                key = key_of((number, topic, partition))
                effects = state[key] or ()
                state[key] = (*effects, -1)  # what is undone in the wrong order leaves this
                state[key] = (*effects, offset)
                state[TOTAL] = (state[TOTAL] or 0) + 1
            for part in range(self.judge.outputs_of(number, offset)):
                yield Output(number, topic, partition, offset, turn, part)
            if self.world.fails("handler"):
                self.judge.failed(number, topic, partition, offset)
                raise Boom
            self.world.at("after handler")
            self.judge.handled(number, topic, partition, offset, turn)

        def plain(item: Any) -> Output | None:
            self._seek_now()
            found = list(outputs(item))
            return found[0] if found else None

        async def waits(item: Any) -> Output | None:
            begun = outputs(item)
            first = next(begun, None)
            await self._take_time()
            for _ in begun:
                pass
            return first

        def generates(item: Any) -> Iterator[Output]:
            self._seek_now()
            yield from outputs(item)

        async def generates_slowly(item: Any) -> AsyncIterator[Output]:
            for output in outputs(item):
                await self._take_time()
                yield output

        return {
            "plain": plain,
            "async": waits,
            "generator": generates,
            "async generator": generates_slowly,
        }[shape.kind]

    def _begins(self, number: int, record: Record) -> int:
        self.world.alive()
        assert record.value == f"{record.topic}/{record.partition}/{record.offset}".encode()
        return self.judge.begins(number, int(record.topic), record.partition, record.offset)

    async def _take_time(self) -> None:
        if self.world.hang:
            seconds, self.world.hang = self.world.hang, 0.0
            await asyncio.sleep(seconds)
        if self._seeking is not None:
            (topic, partition, offset), self._seeking = self._seeking, None
            await _harmless(self._topics[topic].seek({partition: offset}))
        await self.world.take_time()

    def _seek_now(self) -> None:
        if self._seeking is not None:
            topic, partition, offset = self._seeking
            self._seeking = None
            seeking = self._topics[topic].seek({partition: offset})
            asyncio.ensure_future(_harmless(seeking))  # noqa: RUF006  # the run ends before the loop

    def _pipe(self, number: int, holds: int) -> HeldPipe:
        """A pipe that lets a record out when it has taken in so many more."""

        async def through(records: Any) -> AsyncIterator[tuple[Record, int]]:
            held: deque[tuple[Record, int]] = deque()
            async for record in records:
                held.append((record, self._begins(number, record)))
                if len(held) > holds:
                    yield held.popleft()

        return HeldPipe(through, holds)


async def _harmless(seeking: Any) -> None:
    """A seek may be refused, or take too long: then nothing has moved, or the run fails."""
    try:
        await seeking
    except (SlipError, TimeoutError, Crash):
        return


@cache
def _config() -> Config:
    return Config.load(cwd=Path(__file__).parent, environ={})


@cache
def _plugins() -> Plugins:
    return Plugins(entry_points=[])
