"""Asking whether a cluster answers, without making a topic or joining a group."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from slip_kafka.connecting import Layout, administration, ensure_topic, translated
from slip_kafka.settings import KafkaConnection
from slipcore.interfaces import ConfigError, ConnectError, Probed


async def probe(
    options: KafkaConnection, topics: Collection[str], timeout: float, made: str
) -> Probed:
    """Sign on, count the brokers, and look for topics.

    Args:
        made: what becomes of a topic that is not there.

    Raises:
        ConnectError: the cluster can't be used.
    """
    where = ", ".join(options.addresses)
    patient = msgspec.structs.replace(options, connect_timeout=timeout)
    layout = Layout(partitions=getattr(options, "partitions", None), create=False)
    missing = []
    async with administration(patient) as client:
        with translated(ConnectError, f"ask the cluster at {where}"):
            brokers = len((await client.describe_cluster())["brokers"])
            for name in sorted(topics):
                try:
                    await ensure_topic(client, name, layout)
                except ConnectError:
                    missing.append(f"the topic {name} is not there yet; {made}")
                except ConfigError as error:
                    missing.append(str(error))
    # Brokers tell which requests they take, and not of which version they are.
    return Probed(
        f"Kafka at {where}, {brokers} broker{'' if brokers == 1 else 's'}", None, tuple(missing)
    )
