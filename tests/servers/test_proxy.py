"""The proxy's faults, as a client of Redis meets them."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator

import pytest
import trustme

from tests.servers.process import HOST
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis

PING = b"PING\r\n"
PONG = b"+PONG\r\n"


@pytest.fixture
def proxy(redis: Redis) -> Iterator[Proxy]:
    with Proxy(redis.address) as proxy:
        yield proxy


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5.0)


def ask(client: socket.socket, request: bytes = PING) -> bytes:
    client.sendall(request)
    return client.recv(100)


def test_it_forwards(proxy: Proxy) -> None:
    """What it is asked the server answers."""
    with connected(proxy) as client:
        assert ask(client) == PONG
        assert ask(client) == PONG


def test_cut(proxy: Proxy) -> None:
    """Connections are reset, and a new one is served."""
    with connected(proxy) as client:
        assert ask(client) == PONG
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with connected(proxy) as client:
        assert ask(client) == PONG


def test_refuse(proxy: Proxy) -> None:
    """Connections are reset and refused until it forwards again."""
    with connected(proxy) as client:
        assert ask(client) == PONG
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.forward()
    with connected(proxy) as client:
        assert ask(client) == PONG


def test_hang(proxy: Proxy) -> None:
    """Old and new connections are there and silent, and go on when it forwards again."""
    with connected(proxy) as old:
        assert ask(old) == PONG
        proxy.hang()
        with connected(proxy) as new:
            for client in (old, new):
                client.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    ask(client)
            proxy.forward()
            for client in (old, new):
                client.settimeout(5.0)
                assert client.recv(100) == PONG


def test_what_hangs_is_cut(proxy: Proxy, redis: Redis) -> None:
    """What was held up when its connection is reset never gets to the server."""
    name = f"proxy:{time.time_ns()}"
    request = f"INCR {name}\r\n".encode()
    with connected(proxy) as old:
        assert ask(old) == PONG
        proxy.hang()
        with connected(proxy) as new:
            for client in (old, new):
                client.sendall(request)
            time.sleep(0.1)
            proxy.cut()
            proxy.forward()
            for client in (old, new):
                with pytest.raises(ConnectionResetError):
                    client.recv(100)
    with connected(proxy) as client:
        assert ask(client) == PONG
    assert redis.execute("GET", name) is None


def test_drop_replies(proxy: Proxy, redis: Redis) -> None:
    """The server has done what it was asked for, and the client hears of a reset alone."""
    name = f"proxy:{time.time_ns()}"
    with connected(proxy) as client:
        assert ask(client) == PONG
        proxy.drop_replies()
        with pytest.raises(ConnectionResetError):
            ask(client, f"INCR {name}\r\n".encode())
    assert redis.execute("GET", name) == "1"
    redis.execute("DEL", name)
    with connected(proxy) as client:
        assert ask(client) == PONG


def test_drop_more_replies(proxy: Proxy) -> None:
    """The connection stays until the last of them is lost."""
    with connected(proxy) as client:
        proxy.drop_replies(2)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(client)
        client.settimeout(5.0)
        with pytest.raises(ConnectionResetError):
            ask(client)


def test_abandon(proxy: Proxy) -> None:
    """Connections that are there stay, and say nothing ever; new ones are served."""
    with connected(proxy) as old:
        assert ask(old) == PONG
        proxy.abandon()
        old.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(old)
        with connected(proxy) as new:
            assert ask(new) == PONG
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            old.recv(100)


def test_reset_share(proxy: Proxy) -> None:
    """Of so many replies the connection is reset instead; others go on."""
    with connected(proxy) as other, connected(proxy) as client:
        assert ask(client) == PONG
        proxy.reset_share = 1.0
        with pytest.raises(ConnectionResetError):
            ask(client)
        proxy.reset_share = 0.0
        assert ask(other) == PONG


def test_delay(proxy: Proxy) -> None:
    """A reply takes at least that long."""
    proxy.delay = 0.2
    with connected(proxy) as client:
        began = time.monotonic()
        assert ask(client) == PONG
        assert time.monotonic() - began >= 0.2


def test_nobody_behind_it(proxy: Proxy) -> None:
    """While its server is down, who calls is sent away."""
    proxy.target = f"{HOST}:1"
    with pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(100)


def test_either_side_closes(proxy: Proxy) -> None:
    """When the server closes a connection the client's is closed too."""
    with connected(proxy) as client:
        assert ask(client, b"QUIT\r\n") == b"+OK\r\n"
        assert client.recv(100) == b""


def test_tls_ends_here(redis: Redis) -> None:
    """Clients speak TLS to a server that has none."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    with (
        Proxy(redis.address, tls=server_side) as proxy,
        connected(proxy) as plain,
        client_side.wrap_socket(plain, server_hostname=HOST) as client,
    ):
        assert ask(client) == PONG
        proxy.cut()
        # Python's ssl takes a reset for an end.
        assert client.recv(100) == b""
