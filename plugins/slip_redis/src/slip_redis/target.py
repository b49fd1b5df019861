"""Where Redis is: what a URL says, and the clients that go there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import redis.asyncio as aio
from redis import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio import cluster as aio_cluster
from redis.asyncio.connection import SSLConnection as AsyncSSLConnection
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection
from redis.retry import Retry
from redis.sentinel import Sentinel

from slip_redis.settings import ServerSettings

_PORTS = {"redis": 6379, "sentinel": 26379, "cluster": 6379}
_CONNECTIONS = 16
"""Connections of a client; who finds none free waits."""


@dataclass(frozen=True, slots=True)
class Target:
    """One Redis, whatever it consists of.

    Attributes:
        kind: "redis", "sentinel" or "cluster".
        hosts: pairs of a host and a port; those of the sentinels, or of some nodes.
        service: the sentinels' name of the master; "" without sentinels.
        login: the arguments of a client that hold the secrets.
        options: the other ones.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int
    tls: bool
    login: dict[str, Any]
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Target {self.address}>"

    @property
    def address(self) -> str:
        """What messages call it; it has no secrets."""
        hosts = ", ".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{hosts} (master {self.service})" if self.service else hosts

    @property
    def fails_over(self) -> bool:
        """Whether another server takes the place of one that failed."""
        return self.kind != "redis"

    def blocking_client(self) -> tuple[Any, list[Any]]:
        """A client for threads, and all that is to be closed with it."""
        arguments = {**self.login, **self.options, "retry": _once()}
        if self.kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in self.hosts]  # type: ignore[no-untyped-call]  # the client has no types here
            cluster = RedisCluster(startup_nodes=nodes, ssl=self.tls, **arguments)
            return cluster, [cluster]
        if self.kind == "sentinel":
            sentinel = Sentinel(self.hosts, **self._sentinel(arguments))  # type: ignore[no-untyped-call]  # the client has no types here
            master = sentinel.master_for(self.service, db=self.db)  # type: ignore[no-untyped-call]  # the client has no types here
            return master, [master, *sentinel.sentinels]
        ((host, port),) = self.hosts
        pool = BlockingConnectionPool(  # type: ignore[no-untyped-call]  # the client has no types here
            max_connections=_CONNECTIONS,
            timeout=arguments["socket_timeout"],
            connection_class=SSLConnection if self.tls else Connection,
            host=host,
            port=port,
            db=self.db,
            **arguments,
        )
        client = Redis.from_pool(pool)
        return client, [client]

    def client(self) -> tuple[Any, list[Any]]:
        """A client for the running loop, and all that is to be closed with it."""
        arguments = {**self.login, **self.options, "retry": _once(asynchronous=True)}
        if self.kind == "cluster":
            nodes = [aio_cluster.ClusterNode(host, port) for host, port in self.hosts]
            cluster = aio_cluster.RedisCluster(startup_nodes=nodes, ssl=self.tls, **arguments)
            return cluster, [cluster]
        if self.kind == "sentinel":
            sentinel = AsyncSentinel(self.hosts, **self._sentinel(arguments))  # type: ignore[no-untyped-call]  # the client has no types here
            master = sentinel.master_for(self.service, db=self.db)
            return master, [master, *sentinel.sentinels]
        ((host, port),) = self.hosts
        pool = aio.BlockingConnectionPool(
            max_connections=_CONNECTIONS,
            timeout=arguments["socket_timeout"],
            connection_class=AsyncSSLConnection if self.tls else aio.Connection,
            host=host,
            port=port,
            db=self.db,
            **arguments,
        )
        client = aio.Redis.from_pool(pool)
        return client, [client]

    def _sentinel(self, arguments: dict[str, Any]) -> dict[str, Any]:
        # What is given to the sentinels themselves: they have no database and another login.
        own = {key: value for key, value in arguments.items() if key not in self.login}
        secure = {"ssl": True} if self.tls else {}
        return {**arguments, **secure, "sentinel_kwargs": {**own, **secure}}


def _once(*, asynchronous: bool = False) -> Any:
    """The client is not to repeat a command: one whose answer was lost would be done twice."""
    return aio.retry.Retry(NoBackoff(), 0) if asynchronous else Retry(NoBackoff(), 0)


def target_of(settings: ServerSettings) -> Target:
    """What settings say of the server, which are valid."""
    parts = urlsplit(settings.url)
    scheme, _, kind = parts.scheme.partition("+")
    login, _, netloc = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    path = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    service = path.pop(0) if kind == "sentinel" else ""
    secrets = {
        "username": settings.username or unquote(username) or None,
        "password": settings.password.reveal() if settings.password else unquote(password) or None,
    }
    options: dict[str, Any] = {
        "socket_timeout": settings.socket_timeout,
        "socket_connect_timeout": settings.socket_timeout,
        "protocol": 2,
    }
    if scheme == "rediss":
        options["ssl_ca_certs"] = settings.ssl_ca_certs
        options["ssl_certfile"] = settings.ssl_certfile
        options["ssl_keyfile"] = settings.ssl_keyfile
    return Target(
        kind or "redis",
        tuple(_host(each, _PORTS[kind or "redis"]) for each in netloc.split(",")),
        unquote(service),
        int(path[0]) if path else 0,
        scheme == "rediss",
        secrets,
        options,
    )


def _host(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), default
    return host.strip("[]"), int(port)
