"""Three brokers of Apache Kafka: what one of them has, two others have too."""

from __future__ import annotations

import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, Self

from tests.servers.kafka import CLUSTER, coordinates, java, template
from tests.servers.process import HOST, Server, ServerError, free_ports

NODES: Final = 3

PROPERTIES: Final = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{plain},CONTROLLER://{host}:{controller}
log.dirs={data}
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
replica.lag.time.max.ms=6000
"""
META: Final = "version=1\ncluster.id={cluster}\nnode.id={node}\ndirectory.id={directory}\n"


class ClusterNode(Server):
    """One of the brokers; it answers when it is known to the others.

    Args:
        node: its number, from 1.
        ports: of all nodes, the plain one and the controller's.
    """

    def __init__(self, node: int, ports: list[tuple[int, int]]) -> None:
        super().__init__(f"Kafka node {node}")
        self.node = node
        self._ports = ports

    @property
    def address(self) -> str:
        """`host:port` of its only listener for clients."""
        return f"{HOST}:{self._ports[self.node - 1][0]}"

    def prepare(self) -> None:
        plain, controller = self._ports[self.node - 1]
        voters = ",".join(
            f"{number}@{HOST}:{port}" for number, (_, port) in enumerate(self._ports, start=1)
        )
        data = self.directory / "data"
        text = PROPERTIES.format(
            node=self.node, voters=voters, host=HOST, plain=plain, controller=controller, data=data
        )
        (self.directory / "server.properties").write_text(text, encoding="utf-8")
        shutil.copytree(template(), data)
        meta = META.format(
            cluster=CLUSTER, node=self.node, directory=f"NUXISgEyMlEAWH4Q8_y{self.node}-g"
        )
        (data / "meta.properties").write_text(meta, encoding="utf-8")

    def command(self) -> list[str]:
        return [
            *java(),
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Djava.io.tmpdir={self.directory}",
            "kafka.Kafka",
            "server.properties",
        ]

    def answers(self) -> bool:
        host, _, port = self.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5.0):
            return True


class KafkaCluster:
    """Brokers that replicate each other's topics: one may go and nothing is lost."""

    def __init__(self) -> None:
        ports = free_ports(2 * NODES)
        pairs = list(zip(ports[:NODES], ports[NODES:], strict=True))
        self.nodes = [ClusterNode(number, pairs) for number in range(1, NODES + 1)]

    @property
    def address(self) -> str:
        """`host:port` of each node, with commas between."""
        return ",".join(node.address for node in self.nodes)

    def node(self, number: int) -> ClusterNode:
        """The node of this id."""
        return self.nodes[number - 1]

    def start(self) -> Self:
        """Start what does not run, and wait until groups have a coordinator."""
        down = [node for node in self.nodes if not node.running]
        with ThreadPoolExecutor(NODES) as threads:
            list(threads.map(ClusterNode.start, down))
        for node in self.nodes:
            _wait_for(node)
        return self

    def close(self) -> None:
        """Kill all and remove their directories."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _wait_for(node: ClusterNode) -> None:
    """Wait until a node says who coordinates groups."""
    deadline = time.monotonic() + node.patience
    while True:
        with suppress(OSError):
            if coordinates(node.address):
                return
        if time.monotonic() > deadline:
            raise ServerError(f"{node.title} knows no coordinator. {node.log_tail()}")
        time.sleep(0.05)
