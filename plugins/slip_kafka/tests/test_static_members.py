"""Members with an identity of their own across restarts, and two that were given the same one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from slip_kafka.topic import KafkaTopic

from slipcore.interfaces import Out, SourceError
from slipcore.testing import MakeTopic, Reader
from slipcore.testing.reader import numbered, send
from tests.servers.kafka import Kafka
from tests.servers.proxy import Proxy

from .plain import run


def test_a_static_member_comes_back_to_what_it_had(
    make_topic: MakeTopic, name: str, group: str
) -> None:
    """Its restart, within the session, disturbs no other member."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 2, group_instance_id="a")) as one:
            await one.holds({0, 1})
            async with Reader(make_topic(name, group, 2, group_instance_id="b")) as two:
                await two.until(lambda reader: len(reader.held) == 1)
                await one.until(lambda reader: len(reader.held) == 1)
            seen = len(one.assignments)
            async with Reader(make_topic(name, group, 2, group_instance_id="b")) as again:
                await again.holds({0, 1} - one.held)
                await asyncio.sleep(0.5)
                assert len(one.assignments) == seen

    run(scenario())


def test_two_members_with_one_static_id(make_topic: MakeTopic, name: str, group: str) -> None:
    """The later one has the place; the former stops, and says which id is given twice."""

    async def scenario() -> None:
        one = await Reader(make_topic(name, group, 1, group_instance_id="till-1")).__aenter__()
        try:
            await one.holds({0})
            async with Reader(make_topic(name, group, 1, group_instance_id="till-1")) as two:
                await two.holds({0})
                with pytest.raises(SourceError, match='group_instance_id "till-1"'):
                    await one.topic.read(1)
                await asyncio.sleep(2.0)  # in which the former could take the place again
                await send(two.topic, Out(b"v"))
                assert await two.values(1) == [b"v"]
                assert len(two.assignments) == 1
        finally:
            with pytest.raises(SourceError, match='group_instance_id "till-1"'):
                await one.__aexit__()

    run(scenario())


@pytest.mark.servers("kafka")
def test_a_static_member_that_was_cut_off(
    make_topic: Callable[..., Any], name: str, group: str
) -> None:
    """For longer than its session, and twice: it has no twin, joins again and goes on."""

    async def cut_off(reader: Reader, proxy: Proxy) -> None:
        seen = len(reader.assignments)
        proxy.refuse()
        await asyncio.sleep(8.0)
        proxy.forward()
        await reader.until(lambda it: len(it.assignments) == seen + 2 and it.held == {0})
        assert reader.assignments[-2].lost
        assert reader.assignments[-1].added == {0: 0}
        assert await reader.values(1) == [b"1"]

    async def scenario(proxy: Proxy) -> None:
        topic = make_topic(
            name, group, 1, bootstrap_servers=proxy.address, group_instance_id="till-1"
        )
        async with Reader(topic, patience=20.0) as reader:
            await reader.holds({0})
            await send(reader.topic, *numbered(0, 2))
            await reader.commit((await reader.read(2))[0])
            await cut_off(reader, proxy)
            await cut_off(reader, proxy)

    with Proxy() as proxy, Kafka(advertised=proxy.address) as broker:
        proxy.target = broker.address
        run(scenario(proxy))


def test_a_static_member_that_stood_still(
    make_topic: MakeTopic, name: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to a heartbeat that it finds when it goes on is as old as its silence."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1, group_instance_id="till-1")) as reader:
            await reader.holds({0})
            assert isinstance(reader.topic, KafkaTopic)
            coordinator = reader.topic._opened()._joined().consumer._coordinator
            request = coordinator._send_req

            async def stand_still(heartbeat: object) -> Any:
                monkeypatch.undo()
                answer = asyncio.ensure_future(request(heartbeat))
                await asyncio.sleep(0)  # it is sent
                time.sleep(8.0)  # noqa: ASYNC251  # this is what a handler must not do
                return await answer

            monkeypatch.setattr(coordinator, "_send_req", stand_still)
            await reader.until(lambda it: len(it.assignments) == 3 and it.held == {0})
            assert reader.assignments[1].lost

    run(scenario())


def test_a_static_member_whose_coordinator_was_lost(
    make_topic: MakeTopic, name: str, group: str
) -> None:
    """The next coordinator may not know it: it has no twin for that, joins again and goes on."""

    async def scenario() -> None:
        async with Reader(make_topic(name, group, 1, group_instance_id="till-1")) as reader:
            await reader.holds({0})
            assert isinstance(reader.topic, KafkaTopic)
            coordinator = reader.topic._opened()._joined().consumer._coordinator
            coordinator.coordinator_dead()
            coordinator.reset_generation()  # as the answer of one that does not know it does
            await reader.until(lambda it: len(it.assignments) == 3 and it.held == {0})
            assert reader.assignments[1].lost

    run(scenario())
