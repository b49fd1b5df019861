"""What an app would run on, why, and what a crash would cost: told before the start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from slipcore.caching import Cache
from slipcore.engine.bindings import Binding, compile_step
from slipcore.engine.policies import STAGES, DeadLetter, Policies, Retry, Rule, Skip, Stage
from slipcore.errorpolicies import settle
from slipcore.interfaces import Capability, ICache, ISink, ISource
from slipcore.resources import Sink, Source, Topic
from slipcore.wiring import caches_of, check_delivery

if TYPE_CHECKING:
    from slipcore.app import App

AT_LEAST_ONCE = "at-least-once"
AT_MOST_ONCE = "at-most-once"
EFFECTIVELY_ONCE = "effectively-once"


class ResourcePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One source, sink or cache of a binding.

    Attributes:
        kind: topic, source, iterable, sink, cache or function.
        backend: the backend's name; None where there is none to choose.
        reason: what decided on the backend.
        owner: the distribution and entry point that brings it.
        settings: as given, secrets masked.
        codec: of a topic's values, by name or type; None for what has none.
        notes: what else is worth knowing, e.g. settings that are set aside.
    """

    name: str
    kind: str
    backend: str | None = None
    reason: str | None = None
    owner: str | None = None
    settings: dict[str, Any] = {}
    codec: str | None = None
    notes: list[str] = []


class WeakestLink(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a binding that keeps its guarantee from being more.

    Attributes:
        kind: as in `ResourcePlan`, or pipe.
        reason: what it can't do.
    """

    name: str
    kind: str
    reason: str


class PolicyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a binding does about failures of one stage.

    Attributes:
        stage: decoding, handling or sinking.
        rules: in words; the first that fits an error takes it, and without one it is raised.
        letters: where dead letters go.
    """

    stage: str
    rules: list[str]
    letters: list[ResourcePlan] = []


class BindingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One binding.

    Attributes:
        delivery: the guarantee for its outputs.
        state_delivery: the guarantee for its state; None where it keeps none.
        reasons: why these guarantees, and what a crash costs.
        weakest: what limits them; None: nothing does.
        policies: what is done about failures, but for stages whose errors are all raised.
        timeout: seconds that the handler may take for one call; None: any time.
        batch: whether the handler takes all records of a read at once.
        concurrency: records of each source in hand at a time.
        threads: threads that the handler runs in; None: the event loop.
        order: what is handled one after the other where more than one is in hand.
    """

    name: str
    sources: list[ResourcePlan]
    pipes: list[str]
    sinks: list[ResourcePlan]
    state: list[ResourcePlan]
    delivery: str
    state_delivery: str | None
    reasons: list[str]
    weakest: WeakestLink | None
    policies: list[PolicyPlan] = []
    timeout: float | None = None
    batch: bool = False
    concurrency: int = 1
    threads: int | None = None
    order: str = "key"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One app. Field names are stable: `slip plan --json` prints them."""

    app: str
    group: str
    config: str | None
    state_dir: str
    bindings: list[BindingPlan]


def make_plan(app: App, supplied: Mapping[str, Any]) -> Plan:
    """Settle what can be settled without opening anything.

    Args:
        supplied: what `stream()` will be given for the handlers.

    Raises:
        ConfigError: what the start would refuse too.
    """
    _agree([s for b in app.bindings for s in b.sources if isinstance(s, Topic)])
    for binding in app.bindings:
        compile_step(binding, (), supplied)
    settled = settle(app)
    return Plan(
        app=app.name,
        group=app.name,
        config=str(app.config.path) if app.config.path is not None else None,
        state_dir=str(app.config.state_dir),
        bindings=[_plan(it, settled.policies[it.name]) for it in app.bindings],
    )


def _agree(topics: list[Topic]) -> None:
    """See that topics which are one source can be read as one."""
    first: dict[tuple[str, str, str], Topic] = {}
    for topic in topics:
        same = first.setdefault(topic.identity(), topic)
        if same is not topic:
            topic.agree_with(same)


def _plan(binding: Binding, policies: Policies) -> BindingPlan:
    check_delivery(binding)
    caches = caches_of(binding)
    reasons: list[str] = []
    delivery = AT_LEAST_ONCE
    state: str | None = EFFECTIVELY_ONCE if caches else None
    for source in binding.sources:
        kept, why = _replay(source)
        reasons.append(why)
        if not kept:
            delivery = AT_MOST_ONCE
            state = AT_MOST_ONCE if caches else None
    if delivery == AT_LEAST_ONCE and binding.sinks:
        reasons.append("after a crash, outputs since the last commit are sent again")
    if state == EFFECTIVELY_ONCE:
        state = _state(binding, caches, reasons)
    if binding.pipe:
        held = (
            f"declared to hold {binding.holds} inputs, which come again"
            if binding.holds
            else ("what a pipe holds when a crash comes is lost (pipe(f, holds=n) keeps it)")
        )
        reasons.append(f"pipe: {held}")
    if binding.batch:
        reasons.append("batch: the records of one read are finished, or come again, as one")
    planned = [_policy(stage, policies.of(stage)) for stage in STAGES if policies.of(stage)]
    reasons.extend(_costs(policies))
    reasons.extend(_costs_of_concurrency(binding, policies))
    return BindingPlan(
        name=binding.name,
        sources=[_resource(source) for source in binding.sources],
        pipes=[getattr(p, "__name__", repr(p)) for p in binding.pipe],
        sinks=[_resource(sink) for sink in binding.sinks],
        state=[_resource(cache) for cache in caches],
        delivery=delivery,
        state_delivery=state,
        reasons=reasons,
        weakest=_weakest(binding, caches),
        policies=planned,
        timeout=binding.timeout,
        batch=binding.batch,
        concurrency=binding.threads or binding.concurrency or 1,
        threads=binding.threads,
        order=binding.order,
    )


def _policy(stage: Stage, rules: Sequence[Rule]) -> PolicyPlan:
    return PolicyPlan(
        stage=stage,
        rules=[
            f"{rule} to {_name(rule.sink)}" if isinstance(rule, DeadLetter) else str(rule)
            for rule in rules
        ],
        letters=[_resource(rule.sink) for rule in rules if isinstance(rule, DeadLetter)],
    )


def _costs(policies: Policies) -> Iterator[str]:
    """What the rules cost, stage by stage."""
    for stage in STAGES:
        for rule in policies.of(stage):
            if isinstance(rule, Skip):
                yield f"skip: records that fail in {stage} are dropped"
            elif isinstance(rule, DeadLetter):
                box = _name(rule.sink)
                yield f"dead letter: records that fail in {stage} are finished once {box} has them"
            elif rule.times is None:
                yield f"retry: a record that never succeeds in {stage} holds up those after it"


def _costs_of_concurrency(binding: Binding, policies: Policies) -> Iterator[str]:
    """What it costs to have several records in hand."""
    if binding.threads is None and binding.concurrency is None:
        return
    if binding.order == "key":
        yield "side by side: records of one key keep their order, those without a key have none"
    rules = (*policies.of("handling"), *policies.of("sinking"))
    if any(isinstance(rule, Retry) for rule in rules):
        yield (
            "side by side: what is finished behind a record that waits for another try is "
            "committed after it, and comes again if the app stops meanwhile"
        )


def _weakest(binding: Binding, caches: list[Cache]) -> WeakestLink | None:
    for source in binding.sources:
        kept, why = _replay(source)
        if not kept:
            return _link(source, why)
    if binding.pipe and not binding.holds:
        name = ", ".join(map(_name, binding.pipe))
        return WeakestLink(name=name, kind="pipe", reason="what it holds in a crash is lost")
    for cache in caches:
        if not cache.choice().outlives_process:
            return _link(cache, "what is in memory is lost with the process")
    if len({_store(cache) for cache in caches}) > 1:
        return _link(caches[1], f"it is not in one store with {caches[0].name}")
    for sink in binding.sinks:
        if not isinstance(sink, Cache):
            return _link(sink, "what it was sent since the last commit is sent again")
    if caches and binding.holds:
        name = ", ".join(map(_name, binding.pipe))
        return WeakestLink(name=name, kind="pipe", reason="what it holds is applied again")
    return None


def _link(thing: Any, reason: str) -> WeakestLink:
    return WeakestLink(name=_name(thing), kind=_kind(thing), reason=reason)


def _state(binding: Binding, caches: list[Cache], reasons: list[str]) -> str:
    stores = {_store(cache) for cache in caches}
    if len(stores) > 1:
        reasons.append(
            f"state in {len(stores)} stores can't be written at once: a crash between two writes "
            "repeats the one that came first"
        )
        return AT_LEAST_ONCE
    if not all(cache.choice().outlives_process for cache in caches):
        reasons.append("state in memory is lost with the process")
        return AT_MOST_ONCE
    if binding.holds:
        reasons.append("inputs that the pipe holds are applied to the state again")
        return AT_LEAST_ONCE
    reasons.append("state: its store keeps the source's positions in the same write")
    return EFFECTIVELY_ONCE


def _store(cache: Cache) -> object:
    """What is written at once: caches of one backend that keeps all its spaces in one store."""
    choice = cache.choice()
    if getattr(choice.backend.options_type(), "one_store", False):
        return choice.backend.name, msgspec.json.encode(choice.options())
    return choice.backend.name, cache.name


def _replay(source: Any) -> tuple[bool, str]:
    """Whether what was read and not finished comes again after a crash."""
    name = _name(source)
    if isinstance(source, Topic):
        if not source.choice().outlives_process:
            return False, f"{name} is in memory: what it holds is lost with the process"
        return True, f"{name} keeps what was read; it comes again from the last commit"
    if isinstance(source, Source):
        factory = source.choice().backend.load()
        capabilities: frozenset[Capability] = getattr(factory, "capabilities", frozenset())
    elif isinstance(source, ISource):
        capabilities = source.capabilities
    else:
        return False, f"{name}: source cannot replay; what is on the way in a crash is lost"
    if Capability.COMMIT in capabilities:
        return True, f"{name} keeps positions; what is not finished comes again"
    if Capability.SEEK in capabilities:
        return True, f"{name} can be read again from the positions that the app's store keeps"
    return False, f"{name}: source cannot replay; what is on the way in a crash is lost"


def _resource(thing: Any) -> ResourcePlan:
    if isinstance(thing, (Topic, Source, Sink, Cache)):
        choice = thing.choice()
        choice.options()
        choice.backend.load()  # what can't be imported here can't start either
        if isinstance(thing, Topic):
            thing.codecs()
        codec = thing.codec_name() if isinstance(thing, Topic) else None
        aside = [f"{key} belongs to another backend and is not used" for key in choice.set_aside]
        return ResourcePlan(
            name=thing.name,
            kind=_kind(thing),
            backend=choice.backend.name,
            reason=choice.reason,
            owner=choice.backend.owner,
            settings=choice.shown(),
            codec=codec,
            notes=aside,
        )
    return ResourcePlan(name=_name(thing), kind=_kind(thing))


def _kind(thing: Any) -> str:
    if isinstance(thing, (Topic, Source, Sink, Cache)):
        return type(thing).__name__.lower()
    if isinstance(thing, ISource):
        return "source"
    if isinstance(thing, ISink):
        return "sink"
    if isinstance(thing, ICache):
        return "cache"
    return "iterable" if _iterable(thing) else "function"


def _iterable(thing: Any) -> bool:
    return hasattr(type(thing), "__aiter__")


def _name(thing: Any) -> str:
    own = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return str(own) if own else type(thing).__name__
