"""The settings of topics, caches and checkpoints on Redis."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from slipcore.interfaces import (
    Probed,
    Scope,
    Seconds,
    Secret,
    StateOptions,
    TopicOptions,
)

DEFAULT_URL = "redis://127.0.0.1:6379/0"

_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(:\d+)?")

SCHEMES = (
    "redis",
    "rediss",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where Redis is and how it is spoken to; what all options here come down to.

    Attributes:
        connect_timeout: seconds to wait for a server that is not there.
        socket_timeout: seconds within which it has to answer.
    """

    url: str
    username: str | None
    password: Secret | None
    ssl_ca_certs: str | None
    ssl_certfile: str | None
    ssl_keyfile: str | None
    connect_timeout: float
    socket_timeout: float

    def __repr__(self) -> str:
        return _without_login(self)


def _without_login(settings: Any) -> str:
    """A repr with the host alone: the rest of a URL may be a password."""
    return f"<{type(settings).__name__} {settings.url.rpartition('@')[2]}>"


class RedisCheckpointOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings of checkpoints on Redis."""

    url: str = DEFAULT_URL
    """Where Redis is: redis://, rediss:// (TLS), redis+sentinel:// or redis+cluster://."""
    username: str | None = None
    """The user; None: that of the URL, or the default user."""
    password: Secret | None = None
    """The password; None: that of the URL, or none."""
    ssl_ca_certs: str | None = None
    """A file with the certificates that the server's has to be signed by; None: the system's."""
    ssl_certfile: str | None = None
    """A file with this client's certificate."""
    ssl_keyfile: str | None = None
    """A file with its private key."""
    connect_timeout: Seconds = 30.0
    """Seconds to wait at start for a server that is not there yet."""
    socket_timeout: Seconds = 5.0
    """Seconds after which a server that does not answer is given up, and called again."""

    def __post_init__(self) -> None:
        check_server(self)

    def __repr__(self) -> str:
        return _without_login(self)

    def server(self) -> ServerSettings:
        return server_settings(self)

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slip_redis.probing import probe

        return await probe(self.server(), (), timeout)


class RedisStateOptions(
    RedisCheckpointOptions, StateOptions, kw_only=True, forbid_unknown_fields=True
):
    """The settings of state on Redis."""

    one_store: ClassVar[bool] = True

    lease: Seconds = 10.0
    """Seconds after which the state of a process that was killed goes to the next one."""
    operation_timeout: Seconds = 30.0
    """Seconds in which a read or a write has to succeed, over restarts of the server."""

    def __post_init__(self) -> None:
        check_server(self)
        check_positive(self, "lease", "operation_timeout")


class RedisTopicOptions(TopicOptions, kw_only=True, forbid_unknown_fields=True):
    """The settings of a topic on Redis."""

    url: str = DEFAULT_URL
    """Where Redis is: redis://, rediss:// (TLS), redis+sentinel:// or redis+cluster://."""
    username: str | None = None
    """The user; None: that of the URL, or the default user."""
    password: Secret | None = None
    """The password; None: that of the URL, or none."""
    ssl_ca_certs: str | None = None
    """A file with the certificates that the server's has to be signed by; None: the system's."""
    ssl_certfile: str | None = None
    """A file with this client's certificate."""
    ssl_keyfile: str | None = None
    """A file with its private key."""
    connect_timeout: Seconds = 30.0
    """Seconds to wait at start for a server that is not there yet."""
    socket_timeout: Seconds = 5.0
    """Seconds after which a server that does not answer is given up, and called again."""
    partitions: int | None = None
    """How many partitions the topic is created with; None: 1, or what it has."""
    session_timeout: Seconds = 10.0
    """Seconds without a sign of life after which a member's partitions go to others."""
    delivery_timeout: Seconds = 30.0
    """Seconds in which an output has to become durable, over restarts of the server."""
    max_length: int | None = None
    """About how many records a partition keeps, no fewer; None: all."""
    max_age: Seconds | None = None
    """How many seconds a record is kept, at least; None: for ever."""
    max_deliveries: int | None = None
    """How often a record is delivered that kills its reader each time; None: for ever."""

    def __repr__(self) -> str:
        return _without_login(self)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_server(self)
        check_positive(self, "session_timeout", "delivery_timeout")
        for name, least in (("partitions", 1), ("max_length", 1), ("max_deliveries", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is at least {least}, not {value}")
        if self.max_age is not None and not self.max_age > 0:
            raise ValueError(f"max_age is more than 0 seconds, not {self.max_age}")

    def server(self) -> ServerSettings:
        return server_settings(self)

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slip_redis.probing import probe

        return await probe(self.server(), names, timeout)


def server_settings(options: RedisCheckpointOptions | RedisTopicOptions) -> ServerSettings:
    """What options say of the server."""
    return ServerSettings(
        **{name: getattr(options, name) for name in ServerSettings.__struct_fields__}
    )


def check_server(options: RedisCheckpointOptions | RedisTopicOptions) -> None:
    """Refuse what no server could be reached with.

    Raises:
        ValueError: a setting is wrong; it never quotes the URL, which may hold a password.
    """
    check_positive(options, "connect_timeout", "socket_timeout")
    try:
        parts = urlsplit(options.url)
    except ValueError:
        raise ValueError("url can't be read: write it as redis://host:6379/0") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"url begins with one of {', '.join(f'{s}://' for s in SCHEMES)}")
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if not all(map(_HOST.fullmatch, hosts)) or (len(hosts) > 1 and "+" not in parts.scheme):
        raise ValueError("url names no host and port: write it as redis://host:6379/0")
    path = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    if parts.scheme.endswith("+sentinel"):
        if not path:
            raise ValueError(
                "url names no master: write it as redis+sentinel://host:26379/mymaster/0"
            )
        path = path[1:]
    if path and not (len(path) == 1 and path[0].isdigit()):
        raise ValueError("url ends with the number of a database, such as /0")
    if parts.scheme.endswith("+cluster") and path not in ([], ["0"]):
        raise ValueError("url names a database, and a cluster has only 0: leave it out")


def check_positive(options: msgspec.Struct, *names: str) -> None:
    """Refuse numbers of seconds that are not more than 0.

    Raises:
        ValueError: with the setting's name.
    """
    for name in names:
        if not getattr(options, name) > 0:
            raise ValueError(f"{name} is more than 0 seconds, not {getattr(options, name)}")
