"""From what was declared to what runs: bindings and names become streams, lanes and open sinks."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from slipcore.caching import Cache
from slipcore.engine.batches import BatchLane
from slipcore.engine.bindings import Binding, compile_step
from slipcore.engine.concurrency import ConcurrentLane
from slipcore.engine.delivery import Lane
from slipcore.engine.iterables import IterableStream
from slipcore.engine.letters import Letterbox
from slipcore.engine.pipes import PipedLane
from slipcore.engine.policies import DeadLetter, Rule
from slipcore.engine.runner import Limits, Runner
from slipcore.engine.sinks import MendingSink, RunSink
from slipcore.engine.sources import SourceStream
from slipcore.engine.state import StateWriter
from slipcore.engine.streams import PausableStream
from slipcore.engine.threads import ThreadPool
from slipcore.engine.trials import Trials
from slipcore.errorpolicies import settle
from slipcore.interfaces import ConfigError, ISink, ISource
from slipcore.opened import OpenTopic
from slipcore.resources import Sink, Source, Topic

if TYPE_CHECKING:
    from slipcore.app import App


class Wiring:
    """One run of an app: its streams, lanes and sinks, connected and not yet started."""

    def __init__(self, app: App, supplied: Mapping[str, Any], limits: Limits) -> None:
        self.app = app
        self.streams: list[PausableStream] = []
        self._topics: dict[Topic, OpenTopic] = {}
        self._identities: dict[tuple[str, str, str], SourceStream] = {}
        self._lanes: list[Lane] = []
        self._sinks: list[ISink] = []
        self._opened_sinks: dict[Sink, ISink] = {}
        self._run_sinks: dict[ISink, RunSink] = {}
        self._rules = settle(app)
        self._notify: Callable[[], None] = lambda: None
        self._fail: Callable[[BaseException], None] = lambda _: None
        self._finished: Callable[[int], None] = lambda _: None
        for cache in list(app.caches):
            cache.open()
        for binding in app.bindings:
            self._bind(binding, supplied)
        writer = StateWriter(self._lanes)
        self.runner = Runner(self.streams, self._lanes, self._sinks, writer, limits)
        self._notify = writer.notify
        self._fail = self.runner.fail
        self._finished = self.runner.finished

    def opened(self, topic: Topic) -> ISink | None:
        """What sends to a topic in this run."""
        opened = self._topics.get(topic)
        return self._of_this_run(opened, topic, opened.backend) if opened is not None else None

    def stream_of(self, source: Any) -> PausableStream | None:
        """The stream that reads what was given to `handle`."""
        for stream in self.streams:
            if stream.iterable is source:
                return stream
        if isinstance(source, Topic) and self._identities:
            return self._identities.get(source.identity())
        return None

    def _bind(self, binding: Binding, supplied: Mapping[str, Any]) -> None:
        check_delivery(binding)
        sinks = [self._sink(sink) for sink in binding.sinks]
        policies = self._rules.policies[binding.name]
        rules = policies.each(self._boxed)
        boxes = [self._sink(box) for box in policies.letterboxes()]
        pool = _threads_of(binding)
        step = compile_step(binding, sinks, supplied, guard=bool(rules), threads=pool)
        step = self.app.watch(step)
        to_flush = [sink for sink in (*sinks, *boxes) if isinstance(sink, ISink)]
        self._sinks.extend(to_flush)
        for source in binding.sources:
            stream = self._stream(source)
            lane = self._maker(binding, stream, pool)(
                f"{self.app.name}/{binding.name}/{stream.name}",
                step,
                to_flush,
                on_ready=lambda: self._notify(),
                on_failure=lambda error: self._fail(error),
                on_finished=lambda records: self._finished(records),
                holds=binding.holds,
                trials=Trials(rules, binding.name) if rules else None,
            )
            for cache in caches_of(binding):
                lane.uses(cache.open().store)
            if isinstance(source, Topic) and not source.choice().outlives_process:
                self._forget_former_process(lane, [*self.app.caches, *caches_of(binding)])
            for cache in list(self.app.caches):
                store = cache.open().store
                if isinstance(stream, SourceStream) and store.positions(lane.reader):
                    lane.uses(store)
            self._lanes.append(lane)
            if isinstance(stream, SourceStream):
                stream.attach(lane)
            elif isinstance(stream, IterableStream):
                stream.attach(lane, step, binding)

    def _maker(
        self, binding: Binding, stream: PausableStream, pool: ThreadPool | None
    ) -> Callable[..., Lane]:
        """What makes the lanes of a binding."""
        size = binding.threads or binding.concurrency
        if size is not None:
            return partial(ConcurrentLane, size=size, order=binding.order, threads=pool)
        if binding.pipe and isinstance(stream, SourceStream):
            return partial(PipedLane, pipes=binding.pipe)
        return BatchLane if binding.batch else Lane

    def _forget_former_process(self, lane: Lane, caches: Iterable[Cache]) -> None:
        """Let durable state say nothing of a topic that began anew with this process."""
        if lane.reader in self.app.begun:
            return
        self.app.begun.add(lane.reader)
        durable = (cache for cache in caches if cache.choice().outlives_process)
        for store in {cache.open().store for cache in durable}:
            if kept := store.positions(lane.reader):
                store.write({}, {lane.reader: dict.fromkeys(kept, -1)})

    def _sink(self, sink: Any) -> Any:
        if isinstance(sink, Topic):
            opened = self._open(sink)
            return self._of_this_run(opened, sink, opened.backend)
        if isinstance(sink, Sink):
            if sink not in self._opened_sinks:
                self._opened_sinks[sink] = sink.make()
            return self._of_this_run(self._opened_sinks[sink], sink)
        return self._of_this_run(sink, sink) if isinstance(sink, ISink) else sink

    def _of_this_run(self, sink: ISink, resource: Any, carrier: ISink | None = None) -> RunSink:
        if sink not in self._run_sinks:
            rules = self._rules.sinking.get(resource, ())
            self._run_sinks[sink] = (
                MendingSink(sink, carrier, tuple(map(self._boxed, rules)), self._back_off)
                if rules
                else RunSink(sink, carrier)
            )
        return self._run_sinks[sink]

    async def _back_off(self, seconds: float) -> bool:
        return await self.runner.back_off(seconds)

    def _boxed(self, rule: Rule) -> Rule:
        """A rule whose dead letters have a letterbox of this run."""
        if not isinstance(rule, DeadLetter):
            return rule
        sink = self._sink(rule.sink)
        own = getattr(rule.sink, "name", None) or getattr(rule.sink, "__name__", None)
        name = str(own or repr(rule.sink))
        if isinstance(rule.sink, Topic) and rule.sink.dry:
            return replace(rule, sink=Letterbox(name, _drop, sink.flush))
        if isinstance(sink, RunSink):
            return replace(rule, sink=Letterbox(name, sink.send_written, sink.flush))
        return replace(rule, sink=Letterbox(name, sink, _nothing_to_flush))

    def _open(self, topic: Topic) -> OpenTopic:
        if topic not in self._topics:
            self._topics[topic] = topic.make()
        return self._topics[topic]

    def _stream(self, source: Any) -> PausableStream:
        for stream in self.streams:
            if stream.iterable is source:
                return stream
        stream = self._new_stream(source)
        if stream not in self.streams:
            self.streams.append(stream)
        return stream

    def _new_stream(self, source: Any) -> PausableStream:
        if isinstance(source, Topic):
            identity = source.identity()
            shared = self._identities.get(identity)
            if shared is None:
                shared = self._identities[identity] = self._open(source).stream(self.app)
            elif shared.iterable is not source:
                source.agree_with(shared.iterable)
            return shared
        if isinstance(source, Source):
            return source.stream()
        name = getattr(source, "__name__", None) or type(source).__name__
        if isinstance(source, ISource):
            return SourceStream(
                source,
                name,
                source,
                store=self.app.checkpoint_store,
                assignment_timeout=self.app.limits.start,
            )
        return IterableStream(source, name)


def _threads_of(binding: Binding) -> ThreadPool | None:
    if binding.threads is None:
        return None
    return ThreadPool(binding.threads, binding.name, len(binding.sources))


def _drop(_: Any) -> None:
    """For a topic that sends nothing."""


async def _nothing_to_flush() -> None:
    """What a function has taken is where it is."""


def check_delivery(binding: Binding) -> None:
    """Refuse a guarantee that nothing here can give, naming the weakest link.

    Raises:
        ConfigError: `delivery="exactly-once"`.
    """
    if binding.delivery == "exactly-once":
        raise ConfigError(
            f"Handler {binding.name} asks for delivery='exactly-once', which needs one transaction "
            f"domain for its sources, sinks and state; {_weakest(binding)} offers none. Leave "
            "delivery out: state is effectively once, outputs at least once."
        )


def _weakest(binding: Binding) -> str:
    for thing in (*binding.sources, *binding.sinks):
        if not isinstance(thing, (Topic, Cache)):
            return getattr(thing, "__name__", None) or repr(thing)
    return repr(binding.sources[0])


def caches_of(binding: Binding) -> list[Cache]:
    """The caches that a binding visibly uses: its sinks and what its handler refers to."""
    found: dict[Cache, None] = {s: None for s in binding.sinks if isinstance(s, Cache)}
    found.update(dict.fromkeys(c for c in _referred(binding.handler) if isinstance(c, Cache)))
    return list(found)


def _referred(handler: Any) -> Iterable[Any]:
    handler = inspect.unwrap(handler)
    while isinstance(handler, partial):
        yield from handler.args
        yield from handler.keywords.values()
        handler = handler.func
    owner = getattr(handler, "__self__", None)
    if owner is None and not inspect.isroutine(handler):
        owner, handler = handler, getattr(handler, "__call__", handler)  # noqa: B004  # it is looked into, not asked for
    if owner is not None:
        yield from _attributes(owner)
    try:
        seen = inspect.getclosurevars(handler)
    except TypeError:
        return
    yield from seen.nonlocals.values()
    yield from seen.globals.values()


def _attributes(owner: Any) -> Iterable[Any]:
    """What an object holds, by itself or in a dict, without its `__dict__`.

    To ask for that makes it for good, and each look at an attribute takes longer from then on, in
    CPython to 3.12. Where it has been made, it is one of the dicts.
    """
    for held in gc.get_referents(owner):
        for attribute in held.values() if isinstance(held, dict) else (held,):
            yield attribute
            if isinstance(attribute, dict):
                yield from attribute.values()
