"""The servers that one run after the other hurts: started when they are first asked for."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from tests.servers.cluster import KafkaCluster
from tests.servers.kafka import Kafka
from tests.servers.proxy import Proxy
from tests.servers.redis import Redis

BROKER_SETTINGS = """\
group.min.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
"""
"""Members that die are soon noticed; the shortest session of Kafka's own settings has 6 s."""


class Lane:
    """Servers for one run at a time. Left, they are gone."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._broker: Kafka | None = None
        self._broker_proxy: Proxy | None = None
        self._cluster: KafkaCluster | None = None
        self._redis: Redis | None = None
        self._redis_proxy: Proxy | None = None

    @property
    def broker(self) -> Kafka:
        """A broker that is up; its plain listener sends clients to `broker_proxy`."""
        if self._broker is None:
            proxy = self._stack.enter_context(Proxy())
            broker = Kafka(advertised=proxy.address, settings=BROKER_SETTINGS)
            self._broker = self._stack.enter_context(broker)
            proxy.target = broker.address
            self._broker_proxy = proxy
        return self._broker

    @property
    def broker_proxy(self) -> Proxy:
        """What stands before the broker, for workers that are to come by it."""
        _ = self.broker
        assert self._broker_proxy is not None
        return self._broker_proxy

    @property
    def cluster(self) -> KafkaCluster:
        """Three brokers that are up."""
        if self._cluster is None:
            self._cluster = self._stack.enter_context(KafkaCluster())
        return self._cluster

    @property
    def redis(self) -> Redis:
        """A Redis server that is up."""
        if self._redis is None:
            self._redis = self._stack.enter_context(Redis())
        return self._redis

    def redis_place(self) -> tuple[str, int]:
        """Host and port of it."""
        host, _, port = self.redis.address.rpartition(":")
        return host, int(port)

    @property
    def redis_proxy(self) -> Proxy:
        """What stands before the Redis server, for workers that are to come by it."""
        if self._redis_proxy is None:
            self._redis_proxy = self._stack.enter_context(Proxy(self.redis.address))
        return self._redis_proxy

    def mend(self) -> None:
        """Put back what the last run has broken."""
        for server in (self._broker, self._redis):
            if server is None:
                continue
            if server.running:
                server.resume()
            else:
                server.start()
        if self._redis_proxy is not None:
            self._redis_proxy.delay = 0.0
            self._redis_proxy.forward()
        if self._cluster is not None:
            self._cluster.start()
        if self._broker_proxy is not None:
            self._broker_proxy.delay = self._broker_proxy.reset_share = 0.0
            self._broker_proxy.forward()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
