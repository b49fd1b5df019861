"""`App`: bindings, their resources and their configuration, and the run of all of it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from slipcore.choice import choose
from slipcore.config import Config
from slipcore.engine.bindings import Binding, Handler, Order, Pipe, Step, check_sinks
from slipcore.engine.overlap import check_side_by_side
from slipcore.engine.policies import OnError, Policies, check_rules
from slipcore.engine.runner import Limits, Runner
from slipcore.engine.signals import Interrupted, interruptible, orderly_stop_on_signals
from slipcore.engine.streams import PausableStream
from slipcore.interfaces import ConfigError, ICheckpointStore, ISink, ISource, SlipError
from slipcore.plan import Plan, make_plan
from slipcore.plugins import Plugins
from slipcore.resources import Sink, Source, Topic
from slipcore.scope import AppScope
from slipcore.wiring import Wiring

if TYPE_CHECKING:
    from slipcore.caching import Cache
    from slipcore.control.monitor import Monitor
    from slipcore.control.report import Health

logger = logging.getLogger(__name__)

H = TypeVar("H", bound=Handler)

DELIVERIES = ("at-least-once", "exactly-once")

PREPARE: ContextVar[Callable[[App], None] | None] = ContextVar("slipcore_prepare", default=None)
"""Called with each new App, before it is used: a test puts things beneath those of a file."""


class App:
    """Bindings, their resources and their configuration; several may live in one process.

    Args:
        name: the default consumer group and the owner of stored positions; default `[app] name`
            of the configuration, else the name of the script.
        config: the configuration; default: slip.toml and the environment.
        plugins: the backends; default: what is installed.
        limits: deadlines and the commit interval.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        config: Config | None = None,
        plugins: Plugins | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.bindings: list[Binding] = []
        self.caches: WeakSet[Cache] = WeakSet()
        self.topics: WeakSet[Topic] = WeakSet()
        self.conf: dict[str, Any] = {}
        self.limits = limits if limits is not None else Limits()
        self.exit_hooks: list[Callable[[], Any]] = []
        self.begun: set[str] = set()
        """Readers of topics that last as long as this process, as far as it has read them."""
        self.named_iterables: dict[str, AsyncIterable[Any]] = {}
        self.watch: Callable[[Step], Step] = lambda step: step
        self._name = name
        self._config = config
        self._plugins = plugins
        self._scope: AppScope | None = None
        self._start_hooks: list[Callable[[], Any]] = []
        self._paused: list[Any] = []
        self.dead_letters: dict[str, Topic] = {}
        self._wiring: Wiring | None = None
        self._monitor: Monitor | None = None
        self._running: asyncio.Task[None] | None = None
        self._starting: asyncio.Timeout | None = None
        if (prepare := PREPARE.get()) is not None:
            prepare(self)

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    # --- what it stands on ----------------------------------------------------------------

    @property
    def name(self) -> str:
        if self._name is not None:
            return self._name
        configured = self.config.app_name
        return str(configured.value) if configured is not None else _script_name()

    @property
    def config(self) -> Config:
        if self._config is None:
            self._config = Config.load()
        return self._config

    @property
    def plugins(self) -> Plugins:
        if self._plugins is None:
            self._plugins = Plugins.of(self.config)
        return self._plugins

    @property
    def scope(self) -> AppScope:
        """What backends are told of the app, and what they share within it."""
        if self._scope is None:
            self._scope = AppScope(self.name, self.config.state_dir)
        return self._scope

    def checkpoint_store(self) -> ICheckpointStore:
        """Where checkpoints are saved, and positions of sources that keep none."""
        return self.scope.shared("checkpoint store", self._make_checkpoint_store)

    def _make_checkpoint_store(self) -> ICheckpointStore:
        choice = choose("checkpoint_store", self.name, plugins=self.plugins, config=self.config)
        store = choice.backend.load()(self.name, choice.options(), self.scope)
        if not isinstance(store, ICheckpointStore):
            raise ConfigError(
                f"{choice.resource}: '{choice.backend.name}' of {choice.backend.owner} is no "
                "ICheckpointStore."
            )
        return store

    # --- declaring ------------------------------------------------------------------------

    def handle(
        self,
        *sources: AsyncIterable[Any] | ISource | Topic | Source,
        pipe: Iterable[Pipe] = (),
        sink: Iterable[Any] = (),
        name: str | None = None,
        delivery: str = "at-least-once",
        on_error: OnError = None,
        on_decode_error: OnError = None,
        on_sink_error: OnError = None,
        timeout: float | None = None,
        batch: bool = False,
        concurrency: int | None = None,
        threads: int | None = None,
        order: Order = "key",
    ) -> Callable[[H], H]:
        """Bind sources and sinks to a function; the function itself is returned unchanged.

        Args:
            sources: AsyncIterables, topics, sources; shared with other handlers as they are.
            pipe: functions AsyncIterable -> AsyncIterable that the stream goes through first.
            sink: what every result goes to, in order.
            name: under which positions are stored; default the function's.
            delivery: the guarantee asked for; refused at start where it can't be given.
            on_error: what is done when the handler raises: `retry(...)`, `skip(...)`,
                `dead_letter(...)`, or a list of them, of which the first that fits takes it;
                []: the error is raised; None: what `[errors]` says.
            on_decode_error: the same when a codec can't read a record.
            on_sink_error: the same when a sink fails; the handler is not run again for it.
            timeout: seconds that an async handler may take for one call; then it fails with a
                TimeoutError.
            batch: the handler is given a list of records, those of one read, and gives a list (or
                any other iterable) of results, or None; all of it is finished, or fails, as one.
            concurrency: how many records of each source an async handler has in hand at a time;
                records of one key come one after the other, those without a key in any order.
            threads: the same for a function that blocks, in so many threads.
            order: "partition": records of a partition come one after the other.

        Raises:
            ConfigError: something that is no source, no sink, no pipe or no policy, or that can't
                be had together.
        """
        for source in sources:
            check_source(source)
        if not sources:
            raise ConfigError("handle() needs a source: @handle(source, sink=[...]).")
        if delivery not in DELIVERIES:
            raise ConfigError(f"delivery={delivery!r}: it is one of {', '.join(DELIVERIES)}.")

        policies = Policies(
            check_rules(on_decode_error, "on_decode_error"),
            check_rules(on_error, "on_error"),
            check_rules(on_sink_error, "on_sink_error"),
        )

        def bind(handler: H) -> H:
            if not callable(handler):
                raise ConfigError(f"handle() binds a function, not {handler!r}.")
            own = name or getattr(handler, "__qualname__", None) or type(handler).__qualname__
            pipes = tuple(pipe)
            for function in pipes:
                if not callable(function):
                    raise ConfigError(f"Handler {own}: {function!r} in pipe= can't be called.")
            sinks = check_sinks(sink, own, also=(Sink,))
            boxes = [box for box in policies.letterboxes() if not isinstance(box, str)]
            check_sinks(boxes, f"{own}, dead_letter", also=(Sink,))
            own = self._unique(own, name)
            settings = (delivery, policies, timeout, batch, concurrency, threads, order)
            binding = Binding(own, handler, sources, pipes, sinks, *settings)
            check_side_by_side(binding)
            self.bindings.append(binding)
            return handler

        return bind

    def _unique(self, own: str, given: str | None) -> str:
        taken = {binding.name for binding in self.bindings}
        if own not in taken:
            return own
        if given is not None:
            raise ConfigError(f"Two handlers are named {given!r}; positions are stored by name.")
        return next(n for i in range(2, len(taken) + 3) if (n := f"{own}#{i}") not in taken)

    def topic(self, name: str, *args: Any, **kwargs: Any) -> Topic:
        """A `Topic` of this app."""
        return Topic(name, *args, app=self, **kwargs)

    def cache(self, path: str, **kwargs: Any) -> Cache:
        """A `Cache` of this app."""
        from slipcore.caching import Cache

        return Cache(path, app=self, **kwargs)

    def on_start(self, hook: Callable[[], Any]) -> None:
        """Call a function, sync or async, at each start before the first record is read."""
        self._start_hooks.append(hook)

    def on_exit(self, hook: Callable[[], Any]) -> None:
        """Call a function, sync or async, after each run; hooks run in the order of asking."""
        self.exit_hooks.append(hook)

    # --- running --------------------------------------------------------------------------

    async def stream(self, **kwargs: Any) -> None:
        """Run all bindings until their sources end, one fails, or a stop is asked for.

        SIGTERM and SIGINT stop in order where this is the main thread and nobody else handles
        them; a second one stops at once. During the start the first one gives up what is waited
        for.

        Args:
            kwargs: supplied to handlers by name.

        Raises:
            Exception: what a handler, a sink or a source raised; the others were stopped in order.
            ConfigError: nothing was started.
            DeadlineError: stopped with unfinished work.
        """
        with orderly_stop_on_signals(self._signalled, self.limits.stop):
            try:
                with interruptible():
                    wiring = self._wire(kwargs)
                await self._run(wiring)
            except Interrupted:
                self._wiring = None  # the call that was given up may have been its making

    async def serve(self, **kwargs: Any) -> None:
        """`stream()` for who sees to signals: they are left as they are."""
        await self._run(self._wire(kwargs))

    def observe(self, *, http: str | None = None) -> None:
        """Let `slip status`, `pause`, `resume` and `stop` reach its runs, as those of `slip run`.

        They are answered from a socket in the state directory, which only its owner may use.

        Args:
            http: a port of 127.0.0.1, or HOST:PORT, for /live, /ready and /metrics.

        Raises:
            ConfigError: no such address, or what serves HTTP is not installed.
        """
        from slipcore.control.attendant import attend
        from slipcore.control.web import Address

        attend(self, None if http is None else Address.parse(http))

    async def health(self) -> Health:
        """Whether it gets on, told from its progress since the last time that somebody asked."""
        from slipcore.control.monitor import health_of
        from slipcore.control.report import Health

        monitor = self.monitor
        if monitor is None:
            return Health(live=True, ready=False, problems=["the app is not running"])
        return health_of(await monitor.look(), monitor.hung)

    @property
    def monitor(self) -> Monitor | None:
        """What looks at its run; None where it is not running."""
        runner = self.runner
        if runner is not None and (self._monitor is None or self._monitor.runner is not runner):
            from slipcore.control.monitor import Monitor

            self._monitor = Monitor(self.name, runner, self.limits.hung)
        return self._monitor if runner is not None else None

    def stop(self) -> None:
        """Stop in order: the record in hand completes. May be called in a handler."""
        if self._wiring is not None:
            self._wiring.runner.stop()

    def _signalled(self) -> None:
        if self._wiring is not None:
            self._wiring.runner.signal()
        if self._starting is not None and not self._starting.expired():
            self._starting.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> App:
        wiring = self._wire({})
        self._running = asyncio.ensure_future(self._run(wiring))
        started = asyncio.ensure_future(wiring.runner.started.wait())
        await asyncio.wait([self._running, started], return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._running.done():
            self._running.result()
        return self

    async def __aexit__(self, *exc: object) -> None:
        running, self._running = self._running, None
        self.stop()
        if running is not None:
            await running

    def _wire(self, supplied: Mapping[str, Any]) -> Wiring:
        if self._wiring is not None:
            raise SlipError(f"{self!r} is running already; make another App to run beside it.")
        self._wiring = wiring = Wiring(self, supplied, self.limits)
        return wiring

    async def _run(self, wiring: Wiring) -> None:
        try:
            await self._call_start_hooks()
            paused, self._paused = self._paused, []
            for source in paused:
                self.pause(source)
            await wiring.runner.run()
        finally:
            self._wiring = None
            await self._exit()

    async def _call_start_hooks(self) -> None:
        try:
            async with asyncio.timeout(None) as self._starting:
                for hook in self._start_hooks:
                    with interruptible():
                        answer = hook()
                    if hasattr(answer, "__await__"):
                        await answer
        except TimeoutError:
            if self._starting is not None and self._starting.expired():
                raise Interrupted from None
            raise
        finally:
            self._starting = None

    async def _exit(self) -> None:
        for hook in self.exit_hooks:
            try:
                async with asyncio.timeout(self.limits.close):
                    await _call(hook)
            except Exception:
                logger.exception("Exit hook %r failed; the others go on.", hook)

    def plan(self, **kwargs: Any) -> Plan:
        """What would run on what, why, and what a crash would cost; nothing is started.

        Args:
            kwargs: what `stream()` will be given.
        """
        return make_plan(self, kwargs)

    def close(self) -> None:
        """Give up caches and everything its backends share. The next use opens them again."""
        self.forget()
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.close()

    def forget(self) -> None:
        """Know nothing but what is durable, as after a start of the process."""
        self._paused.clear()
        for cache in list(self.caches):
            cache.close()

    @contextmanager
    def standing_on(
        self, config: Config, scope: AppScope, limits: Limits, watch: Callable[[Step], Step]
    ) -> Iterator[None]:
        """Have other things beneath it for a while, and nothing of them afterwards: for tests.

        Args:
            config: as a rule one that forces backends.
            scope: what the backends share.
            limits: deadlines and the commit interval.
            watch: given each compiled step, gives the one that is run in its place.
        """
        own = self._config, self._scope, self.limits, self.watch
        self.forget()
        self._config, self._scope, self.limits, self.watch = config, scope, limits, watch
        try:
            yield
        finally:
            self.forget()
            self._config, self._scope, self.limits, self.watch = own

    # --- while it runs --------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._wiring is not None

    @property
    def runner(self) -> Runner | None:
        """What runs it; None where it is not running."""
        return self._wiring.runner if self._wiring is not None else None

    @property
    def streams(self) -> list[PausableStream]:
        """What is being read; [] where the app is not running."""
        return self._wiring.streams if self._wiring is not None else []

    def stream_of(self, source: Any) -> PausableStream | None:
        """The stream that reads a source, while the app runs."""
        return self._wiring.stream_of(source) if self._wiring is not None else None

    def opened(self, topic: Topic) -> ISink | None:
        """What sends to a topic in this run."""
        return self._wiring.opened(topic) if self._wiring is not None else None

    def pause(self, source: Any) -> None:
        """Hand nothing more of a source to any handler, at once. Remembered until the start.

        Raises:
            ConfigError: no handler reads it.
        """
        stream = self._bound_stream(source, "pause")
        if stream is not None:
            stream.pause()
        elif not any(p is source for p in self._paused):
            self._paused.append(source)

    def resume(self, source: Any) -> None:
        """Undo `pause`."""
        stream = self._bound_stream(source, "resume")
        if stream is not None:
            stream.resume()
        self._paused = [p for p in self._paused if p is not source]

    def _bound_stream(self, source: Any, verb: str) -> PausableStream | None:
        stream = self.stream_of(source)
        if stream is None and self._wiring is not None:
            raise ConfigError(f"Can't {verb} {source!r}: no handler of {self!r} reads it.")
        return stream


# --- the current app ----------------------------------------------------------------------


def check_source(source: Any) -> None:
    """Refuse what can't be read.

    Raises:
        ConfigError: it is no source; what to write instead.
    """
    if isinstance(source, (ISource, Topic, Source)) or hasattr(type(source), "__aiter__"):
        return
    if hasattr(source, "__iter__"):
        raise ConfigError(
            f"{type(source).__name__} is no AsyncIterable. Wrap it: "
            "`async def messages():` with `for item in ...: yield item`, and handle(messages())."
        )
    if callable(source):
        raise ConfigError(
            f"{getattr(source, '__name__', source)!r} is a function and no source: call it, "
            "handle(messages())."
        )
    raise ConfigError(f"{source!r} is no source: handle() takes AsyncIterables, topics, sources.")


def _script_name() -> str:
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "slipcore"


async def _call(hook: Callable[[], Any]) -> None:
    answer = hook()
    if hasattr(answer, "__await__"):
        await answer
