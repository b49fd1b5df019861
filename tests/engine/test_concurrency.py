"""`concurrency=n`: order of keys, contiguous commits, and the ends that a record may have."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipcore import App, Context, Record, retry, skip
from slipcore.engine import concurrency, outcomes
from slipcore.interfaces import ConfigError
from slipcore.testing import AppTest

from .conftest import MakeApp, fill, run


def app_with_topic() -> tuple[App, Any]:
    app = App("side")
    return app, app.topic("in")


def send(test: AppTest, *pairs: tuple[Any, Any]) -> None:
    for key, value in pairs:
        test.send("in", str(value), key=key)


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    records=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 5)), max_size=25
    ),
    size=st.integers(1, 8),
    retried=st.booleans(),
)
def test_outputs_of_a_key_and_state_are_those_of_a_plain_binding(
    records: list[tuple[str | None, int]], size: int, retried: bool
) -> None:
    """Whatever records take, and however many are in hand: key order and state are exact."""

    def outcome(concurrency: int | None) -> tuple[dict[Any, list[Any]], dict[Any, Any]]:
        app, topic = app_with_topic()
        counts = app.cache("counts")
        out: dict[Any, list[Any]] = defaultdict(list)
        rule = retry(3, jitter=0.0) if retried else None

        @app.handle(
            topic,
            sink=[lambda pair: out[pair[0]].append(pair[1])],
            concurrency=concurrency,
            on_error=rule,
        )
        async def count(record: Record, context: Context) -> tuple[str, Any]:
            took = int(record.value)
            before = counts.get(record.key or "none", 0)
            if record.key is not None:
                counts[record.key] = before + 1
            await asyncio.sleep(took / 10)
            if retried and took == 3 and context.attempt == 1:
                raise ValueError("once")
            return record.key, (record.offset, before) if record.key is not None else record.offset

        with AppTest(app) as test:
            send(test, *records)
            test.run()
            committed = dict(app.streams[0].committed)  # type: ignore[attr-defined]  # a source has it
            assert committed == ({0: len(records) - 1} if records else {})
            state = dict(test.cache("counts").items())
        out[None].sort()
        return dict(out), state

    assert outcome(size) == outcome(None)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_no_more_than_asked_for_are_in_hand(size: int) -> None:
    """And as many as that."""
    app, topic = app_with_topic()
    at_work: list[int] = [0, 0]

    @app.handle(topic, concurrency=size)
    async def handle(record: Record) -> None:
        at_work[0] += 1
        at_work[1] = max(at_work)
        await asyncio.sleep(1)
        at_work[0] -= 1

    with AppTest(app) as test:
        send(test, *((None, n) for n in range(60)))
        test.run()
    assert at_work == [0, size]


def test_order_partition_has_one_record_of_a_partition_in_hand() -> None:
    """Records without a key keep their order too."""
    app, topic = app_with_topic()
    seen: list[str] = []

    @app.handle(topic, concurrency=4, order="partition")
    async def handle(record: Record) -> None:
        await asyncio.sleep(1 / (1 + record.offset))
        seen.append(record.value)

    with AppTest(app) as test:
        send(test, *((None, n) for n in range(6)))
        test.run()
    assert seen == ["0", "1", "2", "3", "4", "5"]


def test_a_key_that_can_not_be_hashed_keeps_its_order() -> None:
    """It counts as what it is written as."""
    app = App("side")
    seen: list[int] = []

    async def items() -> AsyncIterator[Record]:
        for n in range(4):
            yield Record(n, key=["k"])

    @app.handle(items(), concurrency=4)
    async def handle(record: Record) -> None:
        await asyncio.sleep(1 / (1 + record.value))
        seen.append(record.value)

    with AppTest(app) as test:
        test.run()
    assert seen == [0, 1, 2, 3]


def test_nothing_is_committed_beyond_what_is_not_finished() -> None:
    """The first of five takes long; the position stays before it until it is through."""
    app, topic = app_with_topic()
    seen: list[str] = []

    @app.handle(topic, concurrency=5)
    async def handle(record: Record) -> None:
        await asyncio.sleep(100 if record.offset == 0 else 1)
        seen.append(record.value)

    with AppTest(app) as test:
        send(test, *((f"k{n}", n) for n in range(5)))
        test._start()
        test.advance(50)
        stream: Any = app.streams[0]
        test.complete(stream.commit())
        assert (sorted(seen), dict(stream.committed)) == (["1", "2", "3", "4"], {})
        test.run()
        assert dict(stream.committed) == {0: 4}


@pytest.mark.parametrize("after", range(1, 13))
@pytest.mark.parametrize("size", [2, 5])
def test_a_crash_anywhere_counts_nothing_twice(after: int, size: int) -> None:
    """Records finish in another order than they came in; state is exact after the next start."""
    app, topic = app_with_topic()
    counts, out = app.cache("counts"), app.topic("out")

    @app.handle(topic, sink=[out], concurrency=size)
    async def count(record: Record) -> tuple[str, str]:
        await asyncio.sleep((record.offset * 7) % 5)
        counts[record.key] = counts.get(record.key, 0) + 1
        return record.key, f"{record.value} {counts[record.key]}"

    with AppTest(app) as test:
        send(test, *((f"k{n % 3}", n) for n in range(13)))
        test.run(crash_after=after)
        test.run()
        assert dict(test.cache("counts").items()) == {"k0": 5, "k1": 4, "k2": 4}
        assert {value for _, value in test.sent("out")} == {f"{n} {n // 3 + 1}" for n in range(13)}


def test_a_shared_key_written_out_of_order_lands_whole() -> None:
    """Records that add to one total, the first one last: no crash leaves a part of it."""
    for moment in ("write", 1, 2, 3, 4, 5):
        app, topic = app_with_topic()
        total = app.cache("total")

        @app.handle(topic, concurrency=3)
        async def add(record: Record, total: Any = total) -> None:
            await asyncio.sleep(3 if record.offset % 3 == 0 else 1)
            total["all"] = total.get("all", 0) + 1

        with AppTest(app) as test:
            send(test, *((f"k{n}", n) for n in range(6)))
            test.run(crash_after=moment)
            test.run()
            assert dict(test.cache("total").items()) == {"all": 6}, moment


def test_a_pause_begins_nothing_more_and_loses_nothing() -> None:
    """What has begun completes; the rest is handled after the pause."""
    app, topic = app_with_topic()
    begun: list[str] = []
    ended: list[str] = []

    @app.handle(topic, concurrency=2)
    async def handle(record: Record) -> None:
        begun.append(record.value)
        if len(begun) == 2:
            app.pause(topic)
        await asyncio.sleep(1)
        ended.append(record.value)

    with AppTest(app) as test:
        send(test, ("a", 0), ("a", 1), ("b", 2), ("c", 3))
        test.run()
        assert (begun, ended) == (["0", "2"], ["0", "2"])
        app.resume(topic)
        test.run()
    assert sorted(ended) == ["0", "1", "2", "3"]


def test_an_orderly_stop_repeats_nothing() -> None:
    """What stands before the last record that has begun is handled, and nothing behind it."""
    app, topic = app_with_topic()
    seen: list[str] = []

    @app.handle(topic, concurrency=2)
    async def handle(record: Record) -> None:
        if record.value == "3":
            app.stop()
        await asyncio.sleep(1)
        seen.append(record.value)

    with AppTest(app) as test:
        send(test, ("a", 0), ("a", 1), ("a", 2), ("b", 3), ("c", 4), ("d", 5))
        test.run()
        assert sorted(seen) == ["0", "1", "2", "3"]
        test.run()
    assert sorted(seen) == ["0", "1", "2", "3", "4", "5"]


def test_a_seek_drops_what_waits_and_keeps_what_has_begun() -> None:
    """After a seek back everything from there on is handled once more, in the order of its key."""
    app, topic = app_with_topic()
    seen: list[str] = []

    @app.handle(topic, concurrency=3)
    async def handle(record: Record) -> None:
        first = "2" not in seen
        await asyncio.sleep(1)
        seen.append(record.value)
        if record.value == "2" and first:
            await topic.seek(1)

    with AppTest(app) as test:
        send(test, *(("a", n) for n in range(5)))
        test.run()
        assert dict(app.streams[0].committed) == {0: 4}  # type: ignore[attr-defined]  # a source has it
    assert seen == ["0", "1", "2", "1", "2", "3", "4"]


def test_reading_stops_where_too_much_would_be_ahead(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One record that takes for ever holds up a bounded number of others."""
    monkeypatch.setattr(concurrency, "MAX_AHEAD", 30)
    app = make_app()
    topic = app.topic("in")
    begun: list[int] = []

    @app.handle(topic, concurrency=4)
    async def handle(record: Record) -> None:
        begun.append(record.offset)
        if record.offset == 0:
            await asyncio.sleep(1000)

    async def work() -> None:
        await fill(topic, *((f"k{n}", str(n)) for n in range(100)))
        running = asyncio.ensure_future(app.stream())
        await until(lambda: len(begun) >= 30)
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(work())
    assert len(begun) == 30


def test_cancelling_the_app_ends_every_handler_and_leaves_no_task(make_app: MakeApp) -> None:
    """What was in hand comes again."""
    app = make_app()
    topic = app.topic("in")
    counts = app.cache("counts")
    begun: list[str] = []
    ended: list[str] = []

    @app.handle(topic, concurrency=5)
    async def handle(record: Record) -> None:
        counts[record.key] = 1
        begun.append(record.value)
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(record.value)

    async def work() -> set[asyncio.Task[Any]]:
        await fill(topic, *((f"k{n}", str(n)) for n in range(5)))
        running = asyncio.ensure_future(app.stream())
        await until(lambda: len(begun) == 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert run(work()) == set()
    assert sorted(ended) == ["0", "1", "2", "3", "4"]
    assert dict(counts.items()) == {}


def test_timeout_and_deadline_are_each_records_own() -> None:
    """Two records that overlap have two deadlines."""
    app, topic = app_with_topic()
    deadlines: list[float] = []

    @app.handle(topic, concurrency=2, timeout=5.0, on_error=skip(on=TimeoutError))
    async def handle(record: Record, context: Context) -> None:
        if record.offset:
            await asyncio.sleep(1)
        assert context.deadline is not None
        deadlines.append(context.deadline)
        await asyncio.sleep(4.5 if record.offset == 0 else 10)

    with AppTest(app) as test:
        send(test, ("a", 0), ("b", 1))
        test.run()
        assert dict(app.streams[0].committed) == {0: 1}  # type: ignore[attr-defined]  # a source has it
    assert len(deadlines) == 2


def test_items_are_pulled_when_a_worker_is_free() -> None:
    """No more than are in hand."""
    app = App("side")
    pulled: list[int] = []
    most = [0]
    done: list[int] = []

    async def items() -> AsyncIterator[int]:
        for n in range(20):
            pulled.append(n)
            yield n

    @app.handle(items(), concurrency=3)
    async def handle(item: int) -> None:
        await asyncio.sleep(1)
        most[0] = max(most[0], len(pulled) - len(done))
        done.append(item)

    with AppTest(app) as test:
        test.run()
    assert sorted(done) == list(range(20))
    assert most == [3]


def test_a_stop_ends_the_wait_for_the_next_item(make_app: MakeApp) -> None:
    """While records are in hand, too; they complete."""
    app = make_app()
    done: list[int] = []

    async def items() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(1000)

    @app.handle(items(), concurrency=3)
    async def handle(item: int) -> None:
        asyncio.get_running_loop().call_soon(app.stop)
        await asyncio.sleep(0.02)
        done.append(item)

    run(app.stream())
    assert done == [1]


async def waits(record: Record) -> None:
    """An async handler."""


def blocks(record: Record) -> None:
    """A plain handler."""


@pytest.mark.parametrize(
    ("handler", "options", "told"),
    [
        (waits, {"concurrency": 0}, "concurrency=0 is to be 1 or more"),
        (waits, {"concurrency": True}, "concurrency=True is to be 1 or more"),
        (blocks, {"threads": -1}, "threads=-1 is to be 1 or more"),
        (blocks, {"concurrency": 2}, "write threads=2, or `async def`"),
        (waits, {"threads": 2}, "write concurrency=2 in the place of threads="),
        (blocks, {"threads": 2, "concurrency": 2}, "leave concurrency= out"),
        (blocks, {"threads": 2, "timeout": 1.0}, "a thread can't be interrupted"),
        (waits, {"concurrency": 2, "pipe": [iter]}, "leave pipe= out"),
        (waits, {"concurrency": 2, "order": "none"}, "order='none' is 'key' or 'partition'"),
    ],
)
def test_what_could_do_nothing_is_refused(handler: Any, options: dict[str, Any], told: str) -> None:
    """With one sentence that names the way out."""
    app, topic = app_with_topic()
    with pytest.raises(ConfigError, match=told):
        app.handle(topic, **options)(handler)


def test_status_tells_of_the_record_that_has_been_in_hand_for_longest() -> None:
    """Begun, in flight and in hand count what is side by side."""
    app, topic = app_with_topic()

    @app.handle(topic, concurrency=2, name="handle")
    async def handle(record: Record) -> None:
        await asyncio.sleep(100 if record.offset == 1 else 1)

    with AppTest(app) as test:
        send(test, *((f"k{n}", n) for n in range(6)))
        test._start()
        test.advance(10)
        monitor = app.monitor
        assert monitor is not None
        (binding,) = test.complete(monitor.look()).bindings
        assert (binding.handled, binding.in_flight) == (5, 5)
        assert monitor.in_hand() == ("handle", "in[0]@1")
        lane = app.streams[0].lanes[0]
        assert lane.hands() == 1
        assert isinstance(lane, outcomes.FlightLane)
        test.advance(100)
