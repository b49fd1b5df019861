"""Groups that begin with what is written after they have joined."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka.errors import CommitFailedError
from slip_kafka import membership
from slip_kafka.topic import KafkaTopic

from slipcore.interfaces import SourceError
from slipcore.testing import MakeTopic, Reader
from slipcore.testing.reader import numbered, send

from .plain import run


def member_of(reader: Reader) -> membership.Member:
    """The member that a topic is read by."""
    assert isinstance(reader.topic, KafkaTopic)
    return reader.topic._opened()._joined()


@pytest.mark.parametrize("old", [0, 3])
def test_what_the_first_reader_did_not_finish(
    old: int, make_topic: MakeTopic, name: str, group: str
) -> None:
    """It comes again, though nothing was finished before the group's first reader ended."""

    async def scenario() -> None:
        async with make_topic(name, group, 1) as sender:
            await send(sender, *numbered(0, old))
            async with Reader(make_topic(name, group, 1, auto_offset_reset="latest")) as first:
                await first.holds({0})
                await send(sender, *numbered(3, 5))
                assert await first.values(2) == [b"3", b"4"]
            assert first.assignments[0].added == {0: None}
            await send(sender, *numbered(5, 6))
            async with Reader(make_topic(name, group, 1, auto_offset_reset="latest")) as second:
                assert await second.values(3) == [b"3", b"4", b"5"]
            assert second.assignments[0].added == {0: old - 1}

    run(scenario())


def test_nothing_is_read_before_the_group_has_a_position(
    make_topic: MakeTopic, name: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the brokers do not answer; what comes meanwhile is not skipped."""

    async def scenario() -> None:
        async with make_topic(name, group, 1) as sender:
            reader = Reader(make_topic(name, group, 1, auto_offset_reset="latest"))
            reader.ready.clear()
            async with reader:
                await reader.until(lambda it: bool(it.assignments))
                monkeypatch.setattr(membership, "REQUEST_SECONDS", 1.0)
                lock = member_of(reader).consumer._coordinator._commit_lock
                await lock.acquire()
                reader.ready.set()
                await asyncio.sleep(0.5)
                await send(sender, *numbered(0, 2))
                assert await reader.silent(2.0)
                assert reader.held == set()
                lock.release()
                assert await reader.values(2) == [b"0", b"1"]

    run(scenario())


def test_a_position_that_comes_too_late(
    make_topic: MakeTopic, name: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group has gone on without this member: it reads when it has joined again."""

    async def scenario() -> None:
        async with make_topic(name, group, 1) as sender:
            reader = Reader(make_topic(name, group, 1, auto_offset_reset="latest"))
            reader.ready.clear()
            async with reader:
                await reader.until(lambda it: bool(it.assignments))
                consumer = member_of(reader).consumer

                async def too_late(offsets: Mapping[object, int]) -> None:
                    raise CommitFailedError

                with monkeypatch.context() as patch:
                    patch.setattr(consumer, "commit", too_late)
                    reader.ready.set()
                    await reader.holds({0})
                    await send(sender, *numbered(0, 2))
                    assert await reader.silent(1.0)
                consumer._coordinator.reset_generation()
                await reader.until(lambda it: len(it.assignments) == 3 and it.held == {0})
                await send(sender, *numbered(2, 4))
                assert await reader.values(2) == [b"2", b"3"]

    run(scenario())


def test_a_position_that_is_refused(
    make_topic: MakeTopic, name: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who places the partition is told, and nothing is read."""
    monkeypatch.setattr(membership.Member, "commit", _refuse)

    async def scenario() -> None:
        topic = make_topic(name, group, 1, auto_offset_reset="latest")
        async with topic:
            assignment = await topic.assignment()
            with pytest.raises(SourceError, match="no right"):
                await topic.accept(assignment, {})
            await send(topic, *numbered(0, 1))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(topic.read(1), 1.0)

    run(scenario())


async def _refuse(self: membership.Member, offsets: Mapping[object, int]) -> bool:
    raise SourceError("this user has no right to the group")
