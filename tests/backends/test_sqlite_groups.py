"""Consumer groups over a SQLite file: members that die, sleep and come back, in processes."""

from __future__ import annotations

import asyncio
import json
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import pytest

from slipcore.backends.sqlite.file import slip_file
from slipcore.backends.sqlite.topic import SqliteTopic, SqliteTopicOptions
from slipcore.interfaces import ConnectError, Out
from slipcore.testing import LocalScope, Reader

PATIENCE = 10.0

MEMBER = """
import asyncio, json, sys
from pathlib import Path
from slipcore.backends.sqlite.topic import SqliteTopic, SqliteTopicOptions
from slipcore.testing import LocalScope

def tell(**what):
    print(json.dumps(what), flush=True)

async def main(directory, settings):
    scope = LocalScope("tests", Path(directory))
    async with SqliteTopic("orders", SqliteTopicOptions(**json.loads(settings)), scope) as topic:
        epoch = 0

        async def read():
            while True:
                for record in await topic.read(100):
                    await topic.commit({record.partition: record.offset}, epoch)
                    tell(partition=record.partition, value=record.value.decode())

        reading = asyncio.ensure_future(read())
        while True:
            change = await topic.assignment()
            if change.lost:
                # As if it had been about to commit when it was stopped.
                await topic.commit(dict.fromkeys(change.removed, 999), epoch)
            await topic.accept(change, {})
            epoch = change.epoch
            tell(added=sorted(change.added), removed=sorted(change.removed), lost=change.lost)

asyncio.run(main(*sys.argv[1:]))
"""


class MemberProcess:
    """A member of the group in a process of its own, and what it has told."""

    def __init__(self, scope: LocalScope, **settings: Any) -> None:
        self.told: list[dict[str, Any]] = []
        self.held: set[int] = set()
        self.process = subprocess.Popen(
            [sys.executable, "-c", MEMBER, str(scope.state_dir), json.dumps(settings)],
            stdout=subprocess.PIPE,
        )
        self._lines: Queue[bytes] = Queue()
        self._listener = Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def until(self, happened: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something is true of what it has told."""
        deadline = time.monotonic() + seconds
        while not happened():
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"nothing of that in {seconds} s, but {self.told}") from None
            assert line, f"it has ended after {self.told}"
            told = json.loads(line)
            self.told.append(told)
            self.held -= set(told.get("removed", ()))
            self.held |= set(told.get("added", ()))

    def holds(self, *partitions: int, seconds: float = PATIENCE) -> None:
        """Wait until it has these partitions and no other."""
        self.until(lambda: bool(self.told) and self.held == set(partitions), seconds)

    def end(self) -> None:
        """Kill it, whatever it does."""
        self.process.kill()
        self.process.wait()
        self._listener.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[LocalScope]:
    """The scope of one app."""
    scope = LocalScope("tests", tmp_path)
    yield scope
    scope.close()


@pytest.fixture
def start(scope: LocalScope) -> Iterator[Callable[..., MemberProcess]]:
    """Starts members, which end with the test."""
    members: list[MemberProcess] = []

    def begin(**settings: Any) -> MemberProcess:
        members.append(MemberProcess(scope, **settings))
        return members[-1]

    yield begin
    for member in members:
        member.end()


def make(scope: LocalScope, **options: Any) -> SqliteTopic:
    """A topic that is not open yet."""
    return SqliteTopic("orders", SqliteTopicOptions(**options), scope)


def send(scope: LocalScope, *places: tuple[int, bytes]) -> None:
    """Write values to partitions."""

    async def scenario() -> None:
        async with make(scope) as topic:
            for partition, value in places:
                topic.send(Out(value, partition=partition))
            await topic.flush()

    asyncio.run(scenario())


def committed(scope: LocalScope) -> dict[int, int | None]:
    """The group's positions, as a lone member is told them."""

    async def scenario() -> dict[int, int | None]:
        async with make(scope) as topic:
            return dict((await topic.assignment()).added)

    return asyncio.run(scenario())


def test_a_killed_member_is_replaced_at_once(
    scope: LocalScope, start: Callable[..., MemberProcess]
) -> None:
    """After kill -9 the others take over long before the session timeout, and nothing is left."""
    one = start(partitions=4, session_timeout=600)
    one.holds(0, 1, 2, 3)
    two = start(partitions=4, session_timeout=600)
    one.holds(0, 2)
    two.holds(1, 3)
    send(scope, (0, b"to one"), (1, b"to two"))
    one.until(lambda: {"partition": 0, "value": "to one"} in one.told)
    two.until(lambda: {"partition": 1, "value": "to two"} in two.told)
    one.process.kill()
    two.holds(0, 1, 2, 3, seconds=5)
    send(scope, (0, b"later"))
    two.until(lambda: {"partition": 0, "value": "later"} in two.told)
    assert {"partition": 0, "value": "to one"} not in two.told
    assert len(list(scope.state_dir.glob("slip.db-members/*"))) == 1


def test_a_stopped_member_is_fenced(scope: LocalScope, start: Callable[..., MemberProcess]) -> None:
    """A member that is stopped beyond its session timeout loses what it had, and learns it.

    What it commits then is ignored. It joins again and gets its share.
    """
    one = start(partitions=2, session_timeout=1)
    one.holds(0, 1)
    two = start(partitions=2, session_timeout=1)
    one.holds(0)
    two.holds(1)
    one.process.send_signal(signal.SIGSTOP)
    two.holds(0, 1)
    send(scope, (0, b"first"), (0, b"second"))
    two.until(lambda: {"partition": 0, "value": "second"} in two.told)
    one.process.send_signal(signal.SIGCONT)
    one.until(lambda: {"added": [], "removed": [0], "lost": True} in one.told)
    two.until(lambda: len(two.held) == 1)
    one.until(lambda: len(one.held) == 1)
    assert one.held | two.held == {0, 1}
    one.end()
    two.end()
    assert committed(scope) == {0: 1, 1: None}


def test_a_busy_member_stays(scope: LocalScope) -> None:
    """A loop that is blocked for longer than the session timeout does not cost the membership."""
    settings = {"partitions": 2, "session_timeout": 0.5}
    seen: list[set[int]] = []

    async def other() -> None:
        apart = LocalScope("tests", scope.state_dir)
        async with Reader(make(apart, **settings)) as reader:
            await asyncio.sleep(1.5)
            seen.append(reader.held)
        apart.close()

    async def scenario() -> None:
        async with Reader(make(scope, **settings)) as reader:
            await reader.holds({0, 1})
            thread = Thread(target=lambda: asyncio.run(other()))
            thread.start()
            time.sleep(1.7)  # noqa: ASYNC251  # the block is what is tested
            await asyncio.to_thread(thread.join)
            assert not any(assignment.lost for assignment in reader.assignments)

    asyncio.run(scenario())
    assert seen == [set()]


@pytest.mark.parametrize(
    "beat", [struct.pack("<d", time.monotonic() + 1000), b""], ids=["of the future", "none"]
)
def test_a_heartbeat_that_can_not_be(scope: LocalScope, beat: bytes) -> None:
    """A heartbeat of the future, or none, is not one of a live member: others take over.

    The member then learns that it has lost its partitions, and joins again.
    """

    async def scenario() -> None:
        async with Reader(make(scope, partitions=2)) as one:
            await one.holds({0, 1})
            (life,) = scope.state_dir.glob("slip.db-members/*")
            async with Reader(make(scope, partitions=2)) as two:
                life.write_bytes(beat)
                await one.until(lambda reader: reader.assignments[-1].lost)
                await two.until(lambda reader: len(reader.held) == 1)
                await one.until(lambda reader: len(reader.held) == 1)
                assert one.held | two.held == {0, 1}

    asyncio.run(scenario())


def test_an_instance_id_has_one_member(scope: LocalScope) -> None:
    """A second live member with the same id is refused by name; after the first has left, not."""

    async def scenario() -> None:
        async with make(scope, group_instance_id="a") as twin:
            async with Reader(make(scope, group_instance_id="a")) as reader:
                await reader.holds({0})
                with pytest.raises(ConnectError) as caught:
                    await twin.assignment()
            assert dict((await twin.assignment()).added) == {0: None}
        assert str(caught.value) == (
            'the consumer group tests has a member with group_instance_id "a" for the topic '
            "orders already: give each member one of its own"
        )

    asyncio.run(scenario())


def test_an_instance_id_keeps_its_place(
    scope: LocalScope, start: Callable[..., MemberProcess]
) -> None:
    """A member with an id gets the same partitions after a crash; the other keeps its own."""
    b = start(partitions=4, group_instance_id="b", session_timeout=600)
    b.holds(0, 1, 2, 3)
    a = start(partitions=4, group_instance_id="a", session_timeout=600)
    a.holds(0, 2)
    b.holds(1, 3)
    a.process.kill()
    a.process.wait()
    again = start(partitions=4, group_instance_id="a", session_timeout=600)
    again.holds(0, 2)
    b.holds(1, 3)


def test_a_commit_is_durable_for_the_next_process(
    scope: LocalScope, start: Callable[..., MemberProcess]
) -> None:
    """What a process has committed is where the next member starts, though the first was killed."""
    member = start(partitions=2)
    member.holds(0, 1)
    send(scope, (0, b"a"), (0, b"b"), (1, b"c"))
    member.until(lambda: sum("value" in told for told in member.told) == 3)
    member.end()
    assert committed(scope) == {0: 1, 1: 0}


def test_a_position_that_is_not_committed_comes_to_nothing(scope: LocalScope) -> None:
    """A member that has left commits nothing any more, and neither does one that never joined."""

    async def scenario() -> None:
        async with make(scope) as topic:
            await topic(None, b"v")
            await topic.commit({0: 0}, 1)
            change = await topic.assignment()
            assert dict(change.added) == {0: None}
            await topic.close()
            await topic.commit({0: 0}, change.epoch)
        async with make(scope) as topic:
            assert dict((await topic.assignment()).added) == {0: None}

    asyncio.run(scenario())


def test_what_is_lost_is_not_read(scope: LocalScope) -> None:
    """Once a member is told that its partitions have gone, it reads nothing of them."""

    async def scenario() -> None:
        async with Reader(make(scope)) as one:
            await one.holds({0})
            one.ready.clear()
            (life,) = scope.state_dir.glob("slip.db-members/*")
            async with Reader(make(scope)) as two:
                life.write_bytes(b"")
                await one.until(lambda reader: reader.assignments[-1].lost)
                await two.holds({0})
                await one.topic(None, b"v")
                assert await two.values(1) == [b"v"]
                assert await one.silent(0.1)

    asyncio.run(scenario())


def test_a_cancelled_wait_keeps_the_change(scope: LocalScope) -> None:
    """An assignment that was cancelled is given again, as it was, until it is accepted."""

    async def scenario() -> None:
        async with make(scope, partitions=2) as topic:
            waiting = asyncio.create_task(topic.assignment())
            await asyncio.sleep(0)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            first = await topic.assignment()
            assert dict(first.added) == {0: None, 1: None}
            async with Reader(make(scope)) as other:
                await other.joined()
                assert await topic.assignment() == first
                await topic.accept(first, {})
                assert (await topic.assignment()).removed == {1}

    asyncio.run(scenario())


def test_nothing_is_left_of_members_that_leave(scope: LocalScope) -> None:
    """Closing removes a member's file and its row."""

    async def scenario() -> None:
        async with Reader(make(scope)) as one, Reader(make(scope)) as two:
            await one.joined()
            await two.joined()
        async with make(scope):
            with slip_file(scope, None).transaction() as db:
                assert db.execute("SELECT * FROM members").fetchall() == []
                assert db.execute("SELECT * FROM leases").fetchall() == []
        assert list(scope.state_dir.glob("slip.db-members/*")) == []

    asyncio.run(scenario())
