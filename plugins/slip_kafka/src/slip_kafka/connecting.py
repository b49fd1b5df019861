"""Opening a topic: its cluster is reached, and the topic is there or made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateTopicsRequest
from aiokafka.protocol.metadata import MetadataRequest

from slip_kafka.failures import reason_of, translated
from slip_kafka.reaching import reach
from slip_kafka.settings import KafkaConnection, KafkaTopicOptions, client_arguments
from slipcore.interfaces import ConfigError, ConnectError

__all__ = ["Layout", "administration", "ensure_topic", "open_topic", "translated"]

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.1
"""Between two looks whether a topic is there that was just made."""

CREATE_MS: Final = 15_000
"""How long the cluster may take to make a topic."""

AS_THE_BROKER_IS_SET: Final = -1
"""As a number of partitions or replicas, https://cwiki.apache.org/confluence/x/mQQEBw (KIP-464)."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How a topic is to be.

    Attributes:
        partitions: how many it has at least; None: as the broker is set.
        replication_factor: how many brokers have each; None: as the broker is set.
        config: Kafka's settings of the topic.
        create: whether it is made if it is not there.
    """

    partitions: int | None = None
    replication_factor: int | None = None
    config: Mapping[str, str | int | float | bool] = {}
    create: bool = True


@asynccontextmanager
async def administration(options: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that can make topics, for as long as it takes.

    Raises:
        ConnectError: the cluster can't be reached.
    """
    await reach(options)
    client = AIOKafkaAdminClient(**client_arguments(options))
    try:
        await client.start()
        yield client
    finally:
        with suppress(Exception):
            async with asyncio.timeout(1.0):
                await client.close()


async def open_topic(name: str, options: KafkaTopicOptions) -> int:
    """Reach the cluster, see that a topic is there, or make it, and count its partitions.

    Raises:
        ConnectError: the cluster can't be reached, or the topic can't be had.
        ConfigError: the topic has too few partitions.
    """
    where = ", ".join(options.addresses)
    layout = Layout(
        partitions=options.partitions,
        replication_factor=options.replication_factor,
        config=options.topic_config,
        create=options.create,
    )
    limit = 2 * options.connect_timeout
    try:
        async with asyncio.timeout(limit), administration(options) as client:
            with translated(ConnectError, f"open the topic {name} at {where}"):
                return await ensure_topic(client, name, layout)
    except TimeoutError as error:
        raise ConnectError(
            f"the topic {name} could not be opened at {where} within {limit:g} s: see that its "
            "brokers are up, and that the addresses in their advertised.listeners can be reached "
            "from here"
        ) from error


async def ensure_topic(client: AIOKafkaAdminClient, name: str, layout: Layout) -> int:
    """See that a topic is there, or make it, and count its partitions.

    Raises:
        ConnectError: it is not there and can't be made.
        ConfigError: it has too few partitions.
        KafkaError: the cluster failed.
    """
    count = await _partitions(client, name)
    if count is None:
        if not layout.create:
            raise ConnectError(
                f"there is no topic {name}: create it, or let it be created with create = true"
            )
        await _create(client, name, layout)
        while (count := await _partitions(client, name)) is None:
            await asyncio.sleep(LOOK_SECONDS)
        logger.info("Created the topic %s with %d partitions.", name, count)
    if layout.partitions is not None and count < layout.partitions:
        raise ConfigError(
            f"the topic {name} has {count} partitions, and partitions = {layout.partitions} is "
            "set: leave it out, or add some with kafka-topics.sh --alter --topic "
            f"{name} --partitions {layout.partitions}, which sends keys to other ones"
        )
    return count


async def _partitions(client: AIOKafkaAdminClient, name: str) -> int | None:
    """How many partitions a topic has; None: there is no such topic."""
    # A broker may make a topic that is asked for, with partitions as it likes.
    request = MetadataRequest([name], allow_auto_topic_creation=False)
    while True:
        try:
            answer = await client._send_request(request)
        except errors.NodeNotReadyError:
            await asyncio.sleep(LOOK_SECONDS)
            continue
        ((code, _, _, partitions),) = answer.topics
        error = errors.for_code(code)
        if error is errors.NoError:
            return len(partitions)
        if error is errors.UnknownTopicOrPartitionError:
            return None
        if not error.retriable:
            raise error(name)
        await asyncio.sleep(LOOK_SECONDS)


async def _create(client: AIOKafkaAdminClient, name: str, layout: Layout) -> None:
    topic: tuple[Any, ...] = (
        name,
        layout.partitions or AS_THE_BROKER_IS_SET,
        layout.replication_factor or AS_THE_BROKER_IS_SET,
        [],
        [(key, _as_kafka_writes(value)) for key, value in layout.config.items()],
    )
    # The client's own create_topics() takes no number that the broker is to choose.
    request = CreateTopicsRequest([topic], timeout=CREATE_MS, validate_only=False)
    answer = await client._send_to_controller(request)
    ((_, code, *said),) = answer.topic_errors
    error = errors.for_code(code)
    if error in (errors.NoError, errors.TopicAlreadyExistsError):  # another one was faster
        return
    reason = reason_of(error(said[0] if said and said[0] else None))
    raise ConnectError(f"the topic {name} is not there and can't be created: {reason}")


def _as_kafka_writes(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
