"""Where reading starts, who reads what, and what a bad record or position does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from slipcore import READ_FROM_END, READ_FROM_START, App, Out, Record
from slipcore.interfaces import ConfigError, DecodeError, EncodeError, SourceError, StateError

from .conftest import BETWEEN_APPS, MakeApp, fill, run


def test_a_poison_record_stops_the_app_and_is_named(make_app: MakeApp) -> None:
    """What came before it is finished and committed; it is the first of the next run too."""
    app = make_app()
    raw, topic, seen = app.topic("in", codec="raw"), app.topic("in", {"group_id": "g"}), []
    app.handle(topic)(lambda record: seen.append(record.value))

    async def work() -> None:
        await fill(raw, (b"a", b"fine"), (b"a", b"\xff"), (b"a", b"later"))
        for _ in range(2):
            with pytest.raises(DecodeError, match=r"in\[0\]@1 can't be decoded") as caught:
                await app.stream()
            assert (caught.value.topic, caught.value.partition, caught.value.offset) == ("in", 0, 1)

    run(work())
    assert seen == ["fine"]


def test_a_tombstone_never_reaches_a_codec(make_app: MakeApp) -> None:
    """Its value is None, whatever the codec."""
    app = make_app()
    topic, seen = app.topic("in", codec="json"), []

    @app.handle(topic)
    def handler(record: Record) -> None:
        seen.append((record.key, record.value))
        app.stop()

    async def work() -> None:
        await topic("k", None)
        await app.stream()

    run(work())
    assert seen == [("k", None)]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(READ_FROM_START, ["0", "1", "2", "new"]), (READ_FROM_END, ["new"]), ({0: 2}, ["2", "new"])],
)
def test_offset_says_where_a_topic_starts(
    make_app: MakeApp, offset: object, expected: list[str]
) -> None:
    """Whatever the group has committed."""
    app = make_app()
    topic = app.topic("in", offset=offset)
    seen: list[str] = []

    @app.handle(topic)
    def handler(record: Record) -> None:
        seen.append(record.value)
        if record.value == "new":
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(3)))
        running = asyncio.ensure_future(app.stream())
        while not app.streams or not app.streams[0].positioned.is_set():
            await asyncio.sleep(0.001)
        await topic("new")
        await running

    run(work())
    assert seen == expected


def test_bindings_of_one_topic_each_skip_up_to_their_own_position(make_app: MakeApp) -> None:
    """Reading starts at the lowest; state that is further on is not applied twice."""
    app = make_app(commit=1000.0)
    topic, counts = app.topic("in"), app.cache("counts")
    slow: list[int] = []
    fails = [False, True]

    @app.handle(topic, name="count")
    def count(record: Record) -> None:
        counts["n"] = counts.get("n", 0) + 1

    @app.handle(topic, name="slow")
    async def other(record: Record) -> None:
        if record.offset == 2:
            while counts.get("n", 0) < 5:
                await asyncio.sleep(0.001)
            if fails.pop():
                raise RuntimeError("two")
        slow.append(record.offset)
        if record.offset == 4:
            app.stop()

    async def work() -> None:
        await fill(topic, *((None, str(n)) for n in range(5)))
        with pytest.raises(RuntimeError):
            await app.stream()
        await app.stream()

    run(work())
    assert slow == [0, 1, 2, 3, 4]
    assert counts["n"] == 5


@BETWEEN_APPS
def test_members_of_a_group_share_the_partitions(make_app: MakeApp) -> None:
    """Two topics objects of one group in two apps of one process read every record once."""
    seen: list[tuple[str, str]] = []

    def member(name: str) -> Any:
        app = make_app("shop")
        topic = app.topic("in", {"partitions": 4})

        @app.handle(topic)
        def handler(record: Record) -> None:
            seen.append((name, record.value))

        return app

    async def work() -> None:
        producer = make_app("producer").topic("in", {"partitions": 4})
        first, second = member("a"), member("b")
        async with first, second:
            while len({p for app in (first, second) for p in app.streams[0].owned}) < 4 or not all(
                app.streams[0].owned for app in (first, second)
            ):
                await asyncio.sleep(0.01)
            await fill(producer, *((f"k{n}", str(n)) for n in range(40)))
            while len(seen) < 40:
                await asyncio.sleep(0.01)

    run(work())
    assert sorted(value for _, value in seen) == sorted(str(n) for n in range(40))
    assert {name for name, _ in seen} == {"a", "b"}


@BETWEEN_APPS
def test_a_partition_that_goes_to_another_member_is_committed_first(make_app: MakeApp) -> None:
    """A member that joins repeats nothing of what the first had finished."""
    seen: list[str] = []

    def member() -> App:
        app = make_app("shop", commit=1000.0)
        app.handle(app.topic("in", {"partitions": 2}))(lambda record: seen.append(record.value))
        return app

    async def work() -> None:
        producer = make_app("producer").topic("in", {"partitions": 2})
        first, second = member(), member()
        async with first:
            await fill(producer, *((f"k{n}", str(n)) for n in range(20)))
            while len(seen) < 20:
                await asyncio.sleep(0.01)
            async with second:
                while not second.streams[0].owned:  # type: ignore[attr-defined]  # of a source
                    await asyncio.sleep(0.01)
                await fill(producer, *((f"k{n}", str(n)) for n in range(20, 40)))
                while len(seen) < 40:
                    await asyncio.sleep(0.01)

    run(work())
    assert sorted(map(int, seen)) == list(range(40))


@BETWEEN_APPS
def test_what_is_held_of_a_partition_that_goes_to_another_member_is_given_back(
    make_app: MakeApp,
) -> None:
    """In the middle of a batch too: no record is handled by both."""
    seen: list[tuple[str, str]] = []

    def member(name: str) -> App:
        app = make_app("shop", commit=1000.0)

        @app.handle(app.topic("in", {"partitions": 4}))
        async def handler(record: Record) -> None:
            seen.append((name, record.value))
            await asyncio.sleep(0.002)

        return app

    async def work() -> None:
        producer = make_app("producer").topic("in", {"partitions": 4})
        async with producer.make() as topic:
            for n in range(400):
                topic.send(Out(str(n), f"k{n}"))
            await topic.flush()
        async with member("first"):
            while len(seen) < 20:
                await asyncio.sleep(0.001)
            async with member("second"):
                while len(seen) < 400:
                    await asyncio.sleep(0.01)

    run(work())
    assert sorted(int(value) for _, value in seen) == list(range(400))
    assert {name for name, _ in seen} == {"first", "second"}


@BETWEEN_APPS
def test_local_state_waits_for_all_partitions_and_gives_up(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """A member with some of the partitions reads nothing, says why, and fails at the deadline."""
    other = make_app("shop")
    other.handle(other.topic("in", {"partitions": 2}))(lambda record: None)
    app = make_app("shop", start=0.3)
    topic, counts, seen = app.topic("in", {"partitions": 2}), app.cache("counts"), []

    @app.handle(topic)
    def handler(record: Record) -> None:
        seen.append(record.value)
        counts["n"] = 1

    async def work() -> None:
        async with other:
            with pytest.raises(StateError, match="needs all 2 partitions in one member"):
                await app.stream()

    with caplog.at_level(logging.WARNING):
        run(work())
    assert seen == []
    assert "needs all 2 partitions" in caplog.text


def test_two_topics_of_one_name_and_group_must_agree(make_app: MakeApp) -> None:
    """They are one source; differing settings are an error that says so."""
    app = make_app()
    app.handle(app.topic("in", codec="json"))(lambda record: None)
    app.handle(app.topic("in", codec="text"))(lambda record: None)
    with pytest.raises(ConfigError, match="one source"):
        run(app.stream())


@BETWEEN_APPS
@pytest.mark.parametrize("keeper", ["shop", "another"])
def test_state_knows_nothing_of_a_topic_that_began_anew(make_app: MakeApp, keeper: str) -> None:
    """A topic in memory is empty in the next process; its records are counted from the first on.

    So it is where another app keeps the state.
    """
    counted = []
    for _ in range(2):
        app = make_app()
        keeping = app if keeper == "shop" else make_app(keeper)
        topic, counts = app.topic("in", backend="memory"), keeping.cache("counts")

        @app.handle(topic, sink=[counts], name="count")
        def count(record: Record, counts: Any = counts, app: App = app) -> tuple[str, int]:
            number = (counts[record.value] or 0) + 1
            counted.append((record.value, number))
            if record.value == "c":
                app.stop()
            return record.value, number

        async def work(app: App = app, topic: Any = topic) -> None:
            await fill(topic, (None, "a"), (None, "b"))
            for _ in range(2):  # the second run of one process goes on where the first one ended
                await fill(topic, (None, "c"))
                await app.stream()

        run(work())
        app.close()
        keeping.close()
    assert counted == [
        ("a", 1), ("b", 1), ("c", 1), ("c", 2), ("a", 2), ("b", 2), ("c", 3), ("c", 4),
    ]  # fmt: skip


def test_an_empty_state_beside_a_group_with_a_position_is_said(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on where the group stands, and names the way to replay."""
    app = make_app()
    topic, counts = app.topic("in"), app.cache("counts")
    app.handle(topic, name="count")(lambda record: app.stop())

    async def work() -> None:
        await topic("x")
        await app.stream()
        app.bindings.clear()

        @app.handle(topic, name="count")
        def count(record: Record) -> None:
            counts["n"] = counts.get("n", 0) + 1
            app.stop()

        await topic("y")
        with caplog.at_level(logging.WARNING):
            await app.stream()

    run(work())
    assert counts["n"] == 1
    assert "offset=READ_FROM_START" in caplog.text


@pytest.mark.parametrize("headers", [[("a", "str")], [("a", None)], [5], {"a": "b"}])
def test_a_header_that_no_reader_could_take_is_refused(make_app: MakeApp, headers: Any) -> None:
    """At the send, with what is right; nothing is written."""
    app = make_app()
    topic = app.topic("in")

    async def work() -> int:
        with pytest.raises(EncodeError, match="pairs of a str and bytes"):
            await topic("k", "v", headers=headers)
        await topic("k", "fine", headers={"a": b"1"})
        async for record in topic:
            assert (record.value, record.headers) == ("fine", (("a", b"1"),))
            return int(record.offset)
        return -1

    assert run(work()) == 0


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_typed_topic_writes_nothing_that_it_can_not_read(make_app: MakeApp, codec: str) -> None:
    """A value of another shape is refused at the send."""

    class Order(msgspec.Struct):
        id: int

    app = make_app()
    topic = app.topic("in", codec=codec, type=Order)

    async def work() -> Any:
        with pytest.raises(EncodeError):
            await topic("k", {"a": 1})
        await topic("k", {"id": 1})
        await topic("k", Order(2))
        return [record.value async for record in first_two()]

    async def first_two() -> AsyncIterator[Record]:
        async for record in topic:
            yield record
            if record.offset == 1:
                return

    assert run(work()) == [Order(1), Order(2)]


def test_a_partition_that_is_not_there_is_refused(make_app: MakeApp) -> None:
    """With how many there are; no task is left behind."""
    app = make_app()
    topic = app.topic("in", {"partitions": 3}, offset={9: 1})
    app.handle(topic)(print)

    async def work() -> None:
        with pytest.raises(SourceError, match="no partition 9: it has 3"):
            await app.stream()
        with pytest.raises(SourceError, match="no partition 9"):
            async for _ in topic:
                pass
        await asyncio.sleep(0)  # what is cancelled ends in the next round
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(work())
