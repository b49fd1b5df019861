"""Redis that can't be reached, or is other than it was said to be: one sentence each, no secret."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trustme
from slip_redis.checkpoints import RedisCheckpointStore
from slip_redis.settings import RedisCheckpointOptions, RedisStateOptions, RedisTopicOptions
from slip_redis.target import target_of

from slipcore.interfaces import ConnectError, Out, Secret, SinkError, SlipError, SourceError
from slipcore.testing.reader import Reader, numbered, send
from tests.servers.process import HOST, free_ports
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis, RedisCluster, RedisSentinel

from .conftest import MakeStore, MakeTopic
from .test_topic_faults import numbers, run, stream

PASSWORD = "s3cret-word"


async def use(topic: Any) -> None:
    async with topic:
        pass


@pytest.mark.parametrize(
    ("url", "address", "db", "login"),
    [
        ("redis://h", "h:6379", 0, {"username": None, "password": None}),
        ("redis://:p%40ss@h:1/2", "h:1", 2, {"username": None, "password": "p@ss"}),
        ("rediss://u:p@[::1]:7/", "::1:7", 0, {"username": "u", "password": "p"}),
        (
            "redis+sentinel://:p@a:1,b/main/3",
            "a:1, b:26379 (master main)",
            3,
            {"username": None, "password": "p"},
        ),
        ("redis+cluster://a:1,b:2", "a:1, b:2", 0, {"username": None, "password": None}),
    ],
)
def test_urls(url: str, address: str, db: int, login: dict[str, str | None]) -> None:
    """Hosts, database and login are read; what messages show has no login."""
    target = target_of(RedisTopicOptions(url=url).server())
    assert (target.address, target.db, target.login) == (address, db, login)
    assert repr(target) == f"<Target {address}>"


@pytest.mark.parametrize(
    "settings",
    [
        {"url": f"http://:{PASSWORD}@h"},
        {"url": f"redis://:{PASSWORD}@"},
        {"url": f"redis://:{PASSWORD}@h/name"},
        {"url": f"redis+sentinel://:{PASSWORD}@h"},
        {"url": f"redis+cluster://:{PASSWORD}@h/1"},
        {"url": f"redis://:{PASSWORD}@h:port"},
        {"connect_timeout": 0.0},
        {"socket_timeout": -1.0},
    ],
)
def test_settings_that_can_not_be(settings: dict[str, Any]) -> None:
    """They are refused where they are made, without the password."""
    for options in (RedisTopicOptions, RedisStateOptions, RedisCheckpointOptions):
        with pytest.raises(ValueError, match="url|timeout") as refused:
            options(**settings)
        assert PASSWORD not in str(refused.value)


def test_a_server_that_comes_late_is_waited_for(
    make_topic: MakeTopic, caplog: pytest.LogCaptureFixture
) -> None:
    """The open says what it waits for, and succeeds when the server is there."""

    async def scenario(server: Redis) -> None:
        opening = asyncio.create_task(use(make_topic(server.url)))
        while f"Waiting for Redis at {server.address}" not in caplog.text:
            await asyncio.sleep(0.05)
        assert not opening.done()
        await asyncio.to_thread(server.start)
        await opening

    with Redis() as server:
        server.kill()
        run(scenario(server))


def test_a_server_that_does_not_come_is_named(make_topic: MakeTopic, make_store: MakeStore) -> None:
    """After `connect_timeout` a ConnectError says where nothing was, and what to do."""
    (port,) = free_ports(1)
    url = f"redis://:{PASSWORD}@{HOST}:{port}/0"
    said = f"on Redis at {HOST}:{port}: it can't be reached .*; start it, or set url right"
    began = time.monotonic()
    with pytest.raises(ConnectError, match=f"can't open the topic .* {said}") as refused:
        run(use(make_topic(url, connect_timeout=0.3)))
    assert PASSWORD not in str(refused.value)
    with pytest.raises(ConnectError, match=f"can't open the state a {said}"):
        make_store(url, connect_timeout=0.3).attach("a")
    with pytest.raises(SlipError, match=f"can't load the checkpoint c {said}"):
        RedisCheckpointStore("app", RedisCheckpointOptions(url=url, connect_timeout=0.3)).load("c")
    assert time.monotonic() - began < 30


@pytest.mark.servers("redis")
def test_a_database_that_is_not_there(redis: Redis, make_store: MakeStore) -> None:
    """The sentence says where its number stands."""
    with pytest.raises(ConnectError, match="no database of this number; set the one at the end"):
        make_store(f"{redis.url.rpartition('/')[0]}/9999").attach("a")


def test_a_wrong_password_is_refused_at_once(make_topic: MakeTopic, make_store: MakeStore) -> None:
    """Waiting would not make it right. No message has it; the right one works."""
    with Redis(password="right") as server:
        wrong = f"redis://:{PASSWORD}@{server.address}/0"
        none = f"redis://{server.address}/0"
        for url in (wrong, none):
            began = time.monotonic()
            with pytest.raises(ConnectError, match="refuses the user name or the pass") as refused:
                run(use(make_topic(url)))
            assert PASSWORD not in str(refused.value)
            with pytest.raises(ConnectError, match="refuses the user name or the password"):
                make_store(url).attach("a")
            assert time.monotonic() - began < 15
        run(use(make_topic(none, password=Secret("right"))))


@pytest.mark.servers("redis")
def test_a_user_without_rights(make_topic: MakeTopic) -> None:
    """What the server's access control forbids is said to be that."""
    with Redis() as server:
        server.execute("ACL", "SETUSER", "reader", "on", ">p", "~*", "+@read")
        with pytest.raises(ConnectError, match="the user has no right to do so"):
            run(use(make_topic(f"redis://reader:p@{server.address}/0")))


@pytest.mark.servers("redis")
def test_a_replica_is_no_place_to_write(make_topic: MakeTopic, make_store: MakeStore) -> None:
    """It is refused at once, naming the master as the way out."""
    with Redis() as master, Redis(settings=f"replicaof {HOST} {master.port}\n") as replica:
        with pytest.raises(ConnectError, match="a replica that takes no writes; name its master"):
            run(use(make_topic(replica.url)))
        with pytest.raises(ConnectError, match="a replica that takes no writes"):
            make_store(replica.url).attach("a")


@pytest.mark.servers("redis")
def test_a_full_server_takes_no_output(make_topic: MakeTopic) -> None:
    """At its maxmemory the flush fails at once, with the outputs; none of them is there."""

    async def scenario(server: Redis) -> None:
        async with make_topic(server.url, partitions=2) as topic:
            server.execute("CONFIG", "SET", "maxmemory", 1)
            for output in numbered(0, 3):
                topic.send(output)
            with pytest.raises(SinkError, match="has reached its maxmemory; raise that") as failed:
                await topic.flush()
            assert [o.value for o in failed.value.outputs] == numbers(3)
            server.execute("CONFIG", "SET", "maxmemory", 0)
            assert server.execute("EXISTS", stream(topic)) == 0

    with Redis() as server:
        run(scenario(server))


def test_a_key_of_another_program(redis: Redis, make_topic: MakeTopic) -> None:
    """Where a stream's key is something else, writing and reading name it; nothing is written."""

    async def scenario() -> None:
        topic = make_topic(redis.url, partitions=2)
        redis.execute("SET", stream(topic, 1), "text")
        async with topic:
            for partition in (0, 1):
                topic.send(Out(b"v", partition=partition))
            with pytest.raises(SinkError, match="another program uses a key of this name"):
                await topic.flush()
            assert redis.execute("XLEN", stream(topic)) == 0
            change = await topic.assignment()
            with pytest.raises(SourceError, match="another program uses a key of this name"):
                await topic.accept(change, {})

    run(scenario())


@pytest.mark.servers("redis")
def test_a_server_that_forgot_everything(make_topic: MakeTopic) -> None:
    """Restarted without its data, it is not read on as if nothing had been."""

    async def scenario(server: Redis) -> None:
        async with Reader(make_topic(server.url)) as reader:
            await send(reader.topic, *numbered(0, 3))
            await reader.read(3)
            server.execute("FLUSHALL")
            with pytest.raises(SourceError, match="has lost the consumer group .*appendonly yes"):
                await reader.read(1)

    with Redis() as server:
        run(scenario(server))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(redis: Redis, authority: trustme.CA) -> Iterator[Proxy]:
    """The server behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    with Proxy(redis.address, tls=context) as proxy:
        yield proxy


def test_tls(
    secure: Proxy,
    authority: trustme.CA,
    tmp_path: Path,
    make_topic: MakeTopic,
    make_store: MakeStore,
) -> None:
    """With the authority's certificate topics and state work over TLS; without it at once not."""
    certificates = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(certificates)
    url = f"rediss://{secure.address}/0"

    async def scenario() -> None:
        async with Reader(make_topic(url, ssl_ca_certs=certificates)) as reader:
            await send(reader.topic, Out(b"v"))
            assert await reader.values(1) == [b"v"]

    run(scenario())
    store = make_store(url, ssl_ca_certs=certificates)
    store.attach("a")
    store.write({"a": {b"k": b"v"}})
    began = time.monotonic()
    with pytest.raises(ConnectError, match=r"certificate is not trusted .* in ssl_ca_certs"):
        run(use(make_topic(url)))
    with pytest.raises(ConnectError, match=r"certificate is not trusted .* in ssl_ca_certs"):
        make_store(url).attach("a")
    assert time.monotonic() - began < 15


@pytest.fixture
def said_at_once(make_topic: MakeTopic, make_store: MakeStore) -> Callable[[str, str, str], None]:
    """See that a topic and a state are refused long before `connect_timeout`, and how."""

    def check(url: str, address: str, reason: str) -> None:
        uses: list[Callable[[], object]] = [
            lambda: run(use(make_topic(url))),
            lambda: make_store(url).attach("a"),
        ]
        for use_it in uses:
            began = time.monotonic()
            with pytest.raises(ConnectError) as refused:
                use_it()
            assert time.monotonic() - began < 15
            assert str(refused.value).endswith(f" on Redis at {address}: {reason}")

    return check


SaidAtOnce: TypeAlias = Callable[[str, str, str], None]


@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
def test_tls_to_a_plain_port(redis: Redis, said_at_once: SaidAtOnce, kind: str) -> None:
    """The message names the other scheme, whatever the server is said to be."""
    service = "/main" if kind == "+sentinel" else ""
    said_at_once(
        f"rediss{kind}://{redis.address}{service}",
        f"{redis.address} (master main)" if service else redis.address,
        "it does not speak TLS there; write redis for rediss in url, or name its TLS port",
    )


@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
def test_a_plain_client_of_a_tls_port(secure: Proxy, said_at_once: SaidAtOnce, kind: str) -> None:
    """The message names the other scheme, whatever the server is said to be."""
    service = "/main" if kind == "+sentinel" else ""
    said_at_once(
        f"redis{kind}://{secure.address}{service}",
        f"{secure.address} (master main)" if service else secure.address,
        "it speaks TLS; write rediss for redis in url",
    )


def test_a_port_of_something_else(said_at_once: SaidAtOnce) -> None:
    """What answers in no way that Redis does is no Redis."""
    with socket.create_server((HOST, 0)) as listening:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(64)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        address = f"{HOST}:{listening.getsockname()[1]}"
        try:
            said_at_once(
                f"redis://{address}",
                address,
                "it is no Redis; set the host and the port in url right",
            )
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            answering.join()


def test_a_cluster_that_is_a_server(redis: Redis, said_at_once: SaidAtOnce) -> None:
    """A server that is no node of a cluster will not become one."""
    said_at_once(
        f"redis+cluster://{redis.address}",
        redis.address,
        "it is a single server and no cluster; write redis:// for redis+cluster:// in url",
    )


def test_a_sentinel_that_is_a_server(redis: Redis, said_at_once: SaidAtOnce) -> None:
    """The message says what is there, and both ways out."""
    said_at_once(
        f"redis+sentinel://{redis.address}/main",
        f"{redis.address} (master main)",
        "it is a server and no sentinel; write redis:// for redis+sentinel:// and leave the "
        "master's name out, or name a sentinel's port, by default 26379",
    )


@pytest.mark.servers("redis")
def test_a_server_that_is_a_sentinel(make_topic: MakeTopic, said_at_once: SaidAtOnce) -> None:
    """It takes no commands but its own; and it knows the masters that it was told of."""
    with RedisSentinel() as watched:
        said_at_once(
            f"redis://{watched.address}",
            watched.address,
            "it does not know the command EVALSHA; name a server of Redis 6.2 or newer, and for a "
            "sentinel write redis+sentinel://host:26379/mymaster in url",
        )
        url = f"redis+sentinel://{watched.address}/other"
        with pytest.raises(ConnectError, match="sentinels know no master of this name that runs"):
            run(use(make_topic(url, connect_timeout=0.3)))


@pytest.mark.servers("redis")
def test_a_server_that_is_a_node(make_store: MakeStore) -> None:
    """Two of three nodes do not have the keys; they are known to be nodes."""
    refused = []
    with RedisCluster() as cluster:
        for address in cluster.addresses:
            try:
                make_store(f"redis://{address}").attach("a")
            except ConnectError as error:
                refused.append(str(error).partition(address)[2])
    assert (
        refused == [": it is a node of a cluster; write redis+cluster:// for redis:// in url"] * 2
    )


@pytest.mark.servers("redis")
def test_sentinel(make_topic: MakeTopic, make_store: MakeStore) -> None:
    """Topics and state follow the sentinel to the new master."""

    async def scenario(watched: RedisSentinel) -> None:
        url = f"redis+sentinel://{watched.address}/{watched.service}/0"
        store = make_store(url, socket_timeout=1.0)
        await asyncio.to_thread(store.attach, "a")
        async with Reader(make_topic(url, socket_timeout=1.0), patience=30) as reader:
            await send(reader.topic, *numbered(0, 5))
            records = await reader.read(5)
            await reader.commit(records[-1])
            await store.awrite({"a": {b"k": b"old"}})
            watched.replica.execute("PING")
            await asyncio.sleep(0.3)  # replication does not wait for anybody
            await asyncio.to_thread(watched.master.kill)
            await send(reader.topic, *numbered(5, 10))
            assert await reader.values(5) == numbers(10)[5:]
            assert await store.aget("a", b"k") == b"old"
            await store.awrite({"a": {b"k": b"new"}})
        await asyncio.to_thread(store.close)

    with RedisSentinel() as watched:
        run(scenario(watched), 90)


@pytest.mark.servers("redis")
def test_cluster(make_topic: MakeTopic, make_store: MakeStore) -> None:
    """All keys of a topic, and of an app's state, are on one node: scripts work over them."""

    async def scenario(cluster: RedisCluster) -> None:
        url = f"redis+cluster://{','.join(cluster.addresses[:2])}"
        async with Reader(make_topic(url, partitions=3), patience=20) as reader:
            await reader.holds({0, 1, 2})
            await send(reader.topic, *(Out(b"%d" % n, b"%d" % n) for n in range(100)))
            records = await reader.read(100)
            await reader.commit(*records)
            assert sorted(int(r.value) for r in records) == list(range(100))
        store = make_store(url)
        await asyncio.to_thread(store.attach, "a")
        await asyncio.to_thread(store.attach, "b")
        await store.awrite({"a": {b"k": b"v"}, "b": {b"k": b"w"}}, {"reader": {0: 1}})
        assert await store.ascan("b") == [(b"k", b"w")]
        await asyncio.to_thread(store.close)

    with RedisCluster() as cluster:
        run(scenario(cluster), 60)


def test_nothing_is_left_behind(redis: Redis, make_topic: MakeTopic, make_store: MakeStore) -> None:
    """Closed topics and stores leave no thread and no connection."""
    before = threading.active_count()

    async def scenario() -> None:
        async with Reader(make_topic(redis.url)) as reader:
            await send(reader.topic, Out(b"v"))
            await reader.read(1)

    run(scenario())
    store = make_store(redis.url)
    store.attach("a")
    store.close()
    deadline = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_secrets_are_not_logged(make_topic: MakeTopic, caplog: pytest.LogCaptureFixture) -> None:
    """Not at any level, while a server is waited for."""
    (port,) = free_ports(1)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectError):
        run(use(make_topic(f"redis://:{PASSWORD}@{HOST}:{port}/0", connect_timeout=3.0)))
    assert "Waiting for Redis" in caplog.text
    assert PASSWORD not in caplog.text
