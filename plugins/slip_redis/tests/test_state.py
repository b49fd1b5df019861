"""State on Redis: owners that die, answers that are lost, servers that go."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from slip_redis.claims import Claims
from slip_redis.scripts import WRITE
from slip_redis.settings import RedisStateOptions
from slip_redis.state import RedisStateStore

from slipcore.interfaces import FencedError, StateError, StateFormatError, StateInUseError
from slipcore.testing.reader import unique
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis

from .conftest import MakeStore, url_of

OWNER = """
import sys, time
from slip_redis.settings import RedisStateOptions
from slip_redis.state import RedisStateStore

store = RedisStateStore(sys.argv[2], RedisStateOptions(url=sys.argv[1], lease=2.0))
store.attach("a")
store.write({"a": {b"k": b"v"}}, {"reader": {0: 7}})
print("ready", flush=True)
time.sleep(60)
"""
"""Owns a space until it is killed."""


def owner(redis: Redis, app: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", OWNER, redis.url, app]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def app_of(store: RedisStateStore) -> str:
    return store._keys.format.removeprefix("{slip:state:").removesuffix("}:format")


def test_a_killed_owner_is_waited_for(
    redis: Redis, make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The next run has the space when the lease has ended, and says that it waits."""
    store = make_store(redis.url)
    with owner(redis, app_of(store)) as process:
        process.kill()
    began = time.monotonic()
    store.attach("a")
    assert 0.3 < time.monotonic() - began < 20
    assert f"belongs to process {process.pid} on " in caplog.text
    assert (store.get("a", b"k"), store.positions("reader")) == (b"v", {0: 7})


def test_a_living_owner_is_named(redis: Redis, make_store: MakeStore) -> None:
    """The space is refused as soon as its owner has shown that it lives."""
    store = make_store(redis.url)
    with owner(redis, app_of(store)) as process:
        try:
            with pytest.raises(StateInUseError, match=f"state a .* by process {process.pid} on"):
                store.attach("a")
        finally:
            process.kill()


def test_an_owner_that_was_replaced_writes_nothing(redis: Redis, make_store: MakeStore) -> None:
    """It was silent for longer than its lease: a write is refused, wholly."""
    first, second = make_store(redis.url, lease=0.3), make_store(redis.url, lease=0.3)
    first.attach("a")
    first.attach("b")
    _fall_silent(first._claims)
    time.sleep(0.4)
    second.attach("a")
    second.write({"a": {b"k": b"new"}})
    with pytest.raises(FencedError, match=r"the state a .* has a newer owner.*lease of 0\.3 s"):
        first.write({"b": {b"k": b"old"}, "a": {b"k": b"old"}}, {"reader": {0: 1}})
    second.detach("a")
    with pytest.raises(StateError):
        first.write({"a": {b"k": b"old"}})
    assert (second.get("a", b"k"), second.get("b", b"k")) == (b"new", None)
    assert second.positions("reader") == {}


def test_a_fenced_owner_reads_nothing_of_the_newer_one(redis: Redis, make_store: MakeStore) -> None:
    """It was silent for longer than its lease: reads are refused as well."""
    first, second = make_store(redis.url, lease=0.3), make_store(redis.url, lease=0.3)
    first.attach("a")
    first.write({"a": {b"k": b"first"}})
    assert first.get("a", b"k") == b"first"
    _fall_silent(first._claims)
    time.sleep(0.4)
    second.attach("a")
    second.write({"a": {b"k": b"second"}})
    with pytest.raises(FencedError, match="the state a .* has a newer owner"):
        first.get("a", b"k")
    with pytest.raises(FencedError, match="the state a .* has a newer owner"):
        first.scan("a")
    assert second.get("a", b"k") == b"second"


def test_a_lease_that_nobody_wanted_is_still_the_owners(
    redis: Redis, make_store: MakeStore
) -> None:
    """Silent for longer than its lease, but alone: it goes on."""
    store = make_store(redis.url, lease=0.2)
    store.attach("a")
    _fall_silent(store._claims)
    time.sleep(0.3)
    store.write({"a": {b"k": b"v"}})
    assert store.get("a", b"k") == b"v"


def test_a_write_whose_answer_was_lost_is_done_once(
    redis: Redis, proxy: Proxy, make_store: MakeStore
) -> None:
    """It is asked for again, and the server knows that it has done it."""
    store = make_store(url_of(proxy))
    store.attach("a")
    for n in range(5):
        proxy.drop_replies()
        store.write({"a": {b"k": b"%d" % n}}, {"reader": {0: n}})
        assert (store.get("a", b"k"), store.positions("reader")) == (b"%d" % n, {0: n})


def test_a_write_that_comes_late_undoes_nothing(redis: Redis, make_store: MakeStore) -> None:
    """A try that was given up, and reaches the server behind newer writes, is dropped."""
    store = make_store(redis.url)
    store.attach("a")
    store.write({"a": {b"k": b"old"}})
    late = store._script_of({"a": {b"k": b"old"}}, {})
    store.write({"a": {b"k": b"new"}})
    assert store._client.run(WRITE, *late) == 0
    assert store.get("a", b"k") == b"new"


@pytest.mark.servers("redis")
def test_a_server_that_is_killed_loses_no_state(make_store: MakeStore) -> None:
    """Values and positions that were written are there after a crash, and the owner goes on."""
    with Redis() as server:
        store = make_store(server.url)
        store.attach("a")
        for n in range(50):
            store.write({"a": {b"k": b"%d" % n}}, {"reader": {0: n}})
            if n == 25:
                server.kill()
                server.start()
                assert (store.get("a", b"k"), store.positions("reader")) == (b"25", {0: 25})
        assert store.get("a", b"k") == b"49"


@pytest.mark.servers("redis")
def test_a_server_that_stays_away(make_store: MakeStore) -> None:
    """After `operation_timeout` the write fails and says that its outcome is not known."""
    with Redis() as server:
        store = make_store(server.url, operation_timeout=0.3, socket_timeout=0.2)
        store.attach("a")
        server.kill()
        began = time.monotonic()
        with pytest.raises(StateError, match=f"{server.address}.*not known whether it was written"):
            store.write({"a": {b"k": b"v"}})
        with pytest.raises(
            StateError, match=f"can't read the state a on Redis at {server.address}"
        ):
            store.get("a", b"k")
        assert time.monotonic() - began < 20
        store.close()


@pytest.mark.servers("redis")
def test_a_full_server_writes_nothing(make_store: MakeStore) -> None:
    """At its maxmemory it refuses the whole write, and the message names the way out."""
    with Redis() as server:
        store = make_store(server.url)
        store.attach("a")
        server.execute("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StateError, match="reached its maxmemory.*nothing was written"):
            store.write({"a": {b"k": b"v"}}, {"reader": {0: 1}})
        server.execute("CONFIG", "SET", "maxmemory", 0)
        assert (store.get("a", b"k"), store.positions("reader")) == (None, {})


def test_state_that_was_removed_is_missed(redis: Redis, make_store: MakeStore) -> None:
    """A write after the server has lost the state is refused: it would be a torso."""
    store = make_store(redis.url)
    store.attach("a")
    redis.execute("DEL", store._keys.owners)
    with pytest.raises(StateError, match="the state a .* was removed.*appendonly"):
        store.write({"a": {b"k": b"v"}})


def test_what_is_not_ours_is_refused(redis: Redis, make_store: MakeStore) -> None:
    """A newer format, and a key of another program, are named."""
    store = make_store(redis.url)
    redis.execute("SET", store._keys.space("theirs")[1], "text")
    with pytest.raises(StateFormatError, match="another program uses the key .*values:theirs"):
        store.attach("theirs")
    redis.execute("SET", store._keys.format, "99")
    with pytest.raises(StateFormatError, match=r"state a .* has the format 99, and this version"):
        store.attach("a")


def test_many_reads_at_once(redis: Redis, make_store: MakeStore) -> None:
    """More than there are connections wait for their turn."""
    store = make_store(redis.url)
    store.attach("a")
    store.write({"a": {b"%d" % n: b"v%d" % n for n in range(500)}})

    async def scenario() -> list[bytes | None]:
        return await asyncio.gather(*(store.aget("a", b"%d" % n) for n in range(500)))

    assert asyncio.run(scenario()) == [b"v%d" % n for n in range(500)]


def test_a_large_generation(redis: Redis, make_store: MakeStore) -> None:
    """A hundred thousand keys of two spaces are one write; too many are refused by number."""
    store = make_store(redis.url)
    store.attach("a")
    store.attach("b")
    many: dict[bytes, bytes | None] = {b"%d" % n: b"x" * 50 for n in range(50_000)}
    store.write({"a": many, "b": many}, {"reader": {0: 1}})
    assert len(store.scan("b", limit=100_000)) == 50_000
    store.write({"a": dict.fromkeys(many), "b": dict.fromkeys(many)})
    assert store.scan("a") == []
    with pytest.raises(StateError, match="a write of 600000 keys is too much"):
        store.write({"a": {b"%d" % n: b"" for n in range(600_000)}})


def test_apps_are_apart(redis: Redis, make_store: MakeStore) -> None:
    """State of one name in two apps is two states."""
    one = make_store(redis.url)
    two = RedisStateStore(unique("app"), RedisStateOptions(url=redis.url))
    try:
        one.attach("a")
        two.attach("a")
        one.write({"a": {b"k": b"v"}})
        assert two.get("a", b"k") is None
    finally:
        two.close()


def _fall_silent(claims: Claims) -> None:
    """What happens to a process that is stopped."""
    claims._over.set()
    assert claims._renewing is not None
    claims._renewing.join()


def test_closing_while_the_server_hangs(redis: Redis, proxy: Proxy, make_store: MakeStore) -> None:
    """A write that gets no answer holds `close` up for a moment, and ends with it."""

    async def scenario() -> None:
        store = make_store(url_of(proxy))
        store.attach("a")
        proxy.hang()
        writing = asyncio.create_task(store.awrite({"a": {b"k": b"v"}}))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 15
        with pytest.raises(StateError, match="it is not known whether it was written"):
            async with asyncio.timeout(5):
                await writing

    asyncio.run(scenario())


def test_an_object_that_could_not_say_goodbye_is_waited_for(
    redis: Redis, proxy: Proxy, make_store: MakeStore
) -> None:
    """With the server away at `close` the next object of this process has to wait for the lease."""
    first = make_store(url_of(proxy), lease=0.5)
    first.attach("a")
    proxy.refuse()
    proxy.cut()
    first.close()
    second = make_store(redis.url, lease=0.5)
    second.attach("a")
    with pytest.raises(StateInUseError, match="another object of this process"):
        make_store(redis.url, lease=0.5).attach("a")
