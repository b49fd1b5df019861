"""Protections that can be taken out of a worker, to see that the yard notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import slipcore.engine.delivery as engine
from slipcore.engine import finishing
from slipcore.engine.runner import Runner
from slipcore.interfaces import IStateStore
from tests.faults.without_state import AROUND_STATE, put

_TAKE_OUT: dict[str, Callable[[], None]] = {}


def take_out(name: str | None) -> None:
    """Break the engine of this process in the way of that name."""
    if name is not None:
        (_TAKE_OUT | AROUND_STATE)[name]()


def _named(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(function: Callable[[], None]) -> Callable[[], None]:
        _TAKE_OUT[name] = function
        return function

    return keep


@_named("finished before committed")
def _commit_what_is_handled() -> None:
    """What is handled counts as finished, whether or not its outputs are durable."""
    real = engine.Lane._go_on

    def go_on(lane: engine.Lane, generation: Any, finished: int) -> None:
        real(lane, generation, finished)
        lane.finished.update(generation.live_positions())

    put(engine.Lane, "_go_on", go_on)


@_named("flushed before finished")
def _flush_nothing() -> None:
    """Nobody waits until outputs are durable."""

    async def flush_all(sinks: Any) -> None:
        await asyncio.sleep(0)

    put(finishing, "flush_all", flush_all)


@_named("position with state")
def _write_values_alone() -> None:
    """A store keeps values and no positions."""
    from slip_redis.state import RedisStateStore

    def alone(real: Any) -> Any:
        async def awrite(store: Any, changes: Any, positions: Mapping[str, Any] = {}) -> None:
            await real(store, changes, {})

        return awrite

    for each in (IStateStore, RedisStateStore):  # the latter has one of its own
        put(each, "awrite", alone(each.awrite))


@_named("commit at the stop")
def _forget_the_last_commit() -> None:
    """A run ends without committing what it has finished."""

    async def commit(runner: Runner) -> None:
        await asyncio.sleep(0)

    put(Runner, "_commit", commit)


@_named("the record in hand")
def _wait_for_nothing() -> None:
    """A stop does not wait for the record in hand."""

    async def settle(runner: Runner) -> None:
        await asyncio.sleep(0)

    put(Runner, "_settle", settle)


@_named("deadline of the stop")
def _stop_as_long_as_it_takes() -> None:
    """A stop waits for all that is unfinished."""

    async def until(runner: Runner, deadline: float, work: Any) -> bool:
        await work
        return True

    put(Runner, "_until", until)


@_named("undo of a failed try")
def _undo_nothing() -> None:
    """What a failed try wrote stays."""
    put(engine, "undo", lambda generation, index: set())


@_named("position of the group")
def _forget_positions() -> None:
    """A member that is given a partition does not ask where the group is."""
    from slip_kafka.membership import Member

    async def committed(member: Member, partitions: Any) -> dict[int, int | None]:
        return {place.partition: None for place in partitions}

    put(Member, "committed", committed)


@_named("later assignments")
def _assign_once() -> None:
    """A member keeps to what it was first given, nothing included."""
    from slip_kafka.reading import Reader

    real = Reader.assign
    assigned: set[int] = set()

    def assign(reader: Reader, partitions: Any, epoch: int, total: int) -> None:
        first = id(reader) not in assigned
        assigned.add(id(reader))
        real(reader, partitions if first else (), epoch, total)

    put(Reader, "assign", assign)


@_named("search for the coordinator")
def _keep_to_the_coordinator() -> None:
    """A client goes on asking the coordinator that it had."""
    from aiokafka.consumer.group_coordinator import GroupCoordinator

    put(GroupCoordinator, "coordinator_dead", lambda coordinator: None)


@_named("owner of state")
def _own_together() -> None:
    """All who claim a state on Redis are one owner."""
    from slip_redis.claims import Claims

    real = Claims.__init__

    def init(claims: Claims, *given: Any) -> None:
        real(claims, *given)
        claims.token = "everybody"

    put(Claims, "__init__", init)


@_named("handover")
def _give_up_at_once() -> None:
    """Partitions go to others before what is on the way is finished."""
    from slip_kafka.membership import Member

    real = Member._release

    async def release(member: Member, lost: bool) -> None:
        await real(member, True)

    put(Member, "_release", release)


@_named("heartbeats beside the handler")
def _beat_no_heart() -> None:
    """The group does not hear of a member."""
    from slip_kafka.membership import Member

    def silence(member: Member, consumer: Any) -> None:
        async def beat() -> bool:
            return True

        consumer._coordinator._do_heartbeat = beat

    put(Member, "_note_heartbeats", silence)


@_named("patience of the producer")
def _give_up_soon() -> None:
    """Outputs fail when a broker is away for a moment."""
    from slip_kafka.producing import Producer

    real = Producer.__init__

    def init(producer: Producer, *given: Any) -> None:
        real(producer, *given)
        producer._patience = 0.3

    put(Producer, "__init__", init)


@_named("idempotence")
def _write_again() -> None:
    """A broker does not know a batch that it has written."""
    from slip_kafka.settings import KafkaTopicOptions

    put(KafkaTopicOptions, "idempotent", property(lambda options: False))


@_named("deadline of requests")
def _wait_for_answers() -> None:
    """A client waits for an answer as long as it takes."""
    from slip_kafka import settings

    real = settings.client_arguments

    def arguments(options: Any) -> dict[str, Any]:
        return {**real(options), "request_timeout_ms": 600_000}

    put(settings, "client_arguments", arguments)


@_named("out of range")
def _jump_to_what_is_there() -> None:
    """A position that is out of range becomes the first that is not."""
    from slip_kafka import membership, settings

    real = settings.consumer_arguments

    def arguments(options: Any) -> dict[str, Any]:
        return {**real(options), "auto_offset_reset": "earliest"}

    put(membership, "consumer_arguments", arguments)
