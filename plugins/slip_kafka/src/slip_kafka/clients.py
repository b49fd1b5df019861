"""Clients of aiokafka: producers started with patience, and got rid of in bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.group import JoinGroupRequest, LeaveGroupRequest

from slip_kafka.reaching import reach
from slip_kafka.settings import KafkaTopicOptions, producer_arguments

logger = logging.getLogger(__name__)

DISCARD_SECONDS: Final = 4.0
"""How long a producer may take to be gone, all in all."""

LEAVE_SECONDS: Final = 4.0
"""How long a consumer may take to leave its group; then it is cut off."""

WORD_SECONDS: Final = 0.2
"""How long it may take before the group is told on another connection."""

STEP_SECONDS: Final = 0.05
"""Between two looks whether what it has begun has ended."""

JOIN_SECONDS: Final = 5.0
"""How much longer than a rebalance the answer to who joins may take, as in Kafka's Java client:
https://github.com/apache/kafka/pull/8702."""

_CLOSED: Final = "the handler is closed"
"""What uvloop says of a connection that the broker has closed, with a RuntimeError."""


def mend(client: Any) -> None:
    """Have a client go on where its own rules would end it, or hold it up.

    It takes only an OSError for the end of a connection. By what uvloop says a request for metadata
    ends the task that makes them, and who waits for metadata waits for ever.

    It gives up any request after `request_timeout_ms`, though a group may let its members come for
    longer: who joins then leaves a member behind that never comes, and joins again.

    Args:
        client: the `AIOKafkaClient` of a producer or a consumer.
    """
    find = client._get_conn

    async def find_mended(*node: Any, **options: Any) -> Any:
        connection = await find(*node, **options)
        if connection is not None and "send" not in connection.__dict__:
            connection.send = partial(_send, connection, connection.send)
        return connection

    client._get_conn = find_mended


def _send(connection: Any, send: Callable[..., Any], request: Any, **options: Any) -> Any:
    usual = connection._request_timeout
    if isinstance(request, JoinGroupRequest):
        patience = request._rebalance_timeout / 1000 + JOIN_SECONDS
        connection._request_timeout = max(usual, patience)
    try:
        return send(request, **options)
    except RuntimeError as error:
        if _CLOSED not in str(error):
            raise
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(str(error)) from error
    finally:
        connection._request_timeout = usual


class Client:
    """A producer of aiokafka that lives as long as its task.

    Where a loop ends without having closed it, the end of its tasks closes it all the same: a
    program that just calls a topic leaves nothing behind.

    Args:
        options: how the cluster is reached, and written to.
        patience: seconds to wait for a broker.
    """

    def __init__(self, options: KafkaTopicOptions, patience: float) -> None:
        self._ready: asyncio.Future[AIOKafkaProducer] = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._live(options, patience))

    async def producer(self) -> AIOKafkaProducer:
        """The producer, once it has started.

        Raises:
            ConnectError: no broker answered in time, or one refused what was asked.
            KafkaError: the cluster does not give what a producer needs.
        """
        return await asyncio.shield(self._ready)

    async def end(self) -> None:
        """Get rid of the producer and of all that it has not sent; never hangs."""
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _live(self, options: KafkaTopicOptions, patience: float) -> None:
        try:
            producer = await started(options, patience)
        except Exception as error:
            self._ready.set_exception(error)
            self._ready.exception()  # whether or not anybody still asks
            return
        self._ready.set_result(producer)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await discard(producer)


async def started(options: KafkaTopicOptions, patience: float) -> AIOKafkaProducer:
    """Start a producer, as soon as there is a broker.

    Args:
        patience: seconds to wait for a broker.

    Raises:
        ConnectError: none answered in time, or one refused what was asked.
        KafkaError: the cluster does not give what a producer needs.
    """
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        left = deadline - asyncio.get_running_loop().time()
        await reach(options, max(left, 0.1))
        producer = AIOKafkaProducer(**producer_arguments(options))
        mend(producer.client)
        # A batch whose partition has no leader would be given up after request_timeout_ms.
        producer._message_accumulator._batch_ttl = options.delivery_timeout_ms / 1000
        try:
            await producer.start()
        except BaseException as error:
            await discard(producer)
            if not (isinstance(error, KafkaError) and error.retriable and left > 0):
                raise
        else:
            return producer


async def discard(producer: AIOKafkaProducer) -> None:
    """Get rid of a producer and of all that it has not sent; never hangs.

    Its own `stop()` waits for what will never be acknowledged: an idempotent producer does not
    give up a batch, https://github.com/aio-libs/aiokafka/issues/1101.
    """
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            with suppress(Exception):
                await _stop(producer)
    except TimeoutError:
        logger.warning("A producer of aiokafka did not end within %g s.", DISCARD_SECONDS)
    finally:
        producer._closed = True


async def _stop(producer: AIOKafkaProducer) -> None:
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    _hang_up(producer)
    await producer.client.close()
    # What is on its way waits for news of the cluster, which nobody brings any more.
    while sender is not None and not sender.done():
        news = producer.client._md_update_fut
        if news is not None and not news.done():
            news.set_result(False)
        await asyncio.wait((sender,), timeout=STEP_SECONDS)
    accumulator = producer._message_accumulator
    for batch in (*accumulator._pending_batches, *_queued(accumulator)):
        batch.future.cancel()
    _hang_up(producer)
    await producer.stop()


def _hang_up(producer: AIOKafkaProducer) -> None:
    """Close the connections; a polite end of TLS would wait for a broker that may hang."""
    for connection in tuple(producer.client._conns.values()):
        writer = connection._writer
        connection.close()
        if writer is not None:
            writer.transport.abort()


def _queued(accumulator: object) -> list[object]:
    queues = accumulator._batches.values()  # type: ignore[attr-defined]  # the client's own, which it has no name for
    return [batch for queue in queues for batch in queue]


async def _say_that_it_leaves(consumer: AIOKafkaConsumer) -> None:
    """Tell the group of one that waits to be let in: it would go on counting it for its session.

    The client's own stop first waits for the answer to that, which comes when all members are
    there, and no other answer comes before it on that connection.
    """
    coordinator = consumer._coordinator
    if coordinator is None or coordinator._group_instance_id is not None:
        return
    while not coordinator.member_id or coordinator.coordinator_id is None:  # not asked yet
        await asyncio.sleep(STEP_SECONDS)
    request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
    await consumer._client.send(coordinator.coordinator_id, request)


async def leave_group(consumer: AIOKafkaConsumer) -> None:
    """Leave the group, in bounded time: the client's own stop may wait for a dead coordinator."""
    stopping = asyncio.ensure_future(consumer.stop())
    ended = consumer._coordinator is not None and consumer._coordinator._coordination_task.done()
    done, _ = await asyncio.wait((stopping,), timeout=0.0 if ended else WORD_SECONDS)
    if not done and not ended:
        leaving = asyncio.ensure_future(_say_that_it_leaves(consumer))
        done, _ = await asyncio.wait((stopping,), timeout=LEAVE_SECONDS)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    if done:
        if not stopping.cancelled() and (error := stopping.exception()) is not None:
            logger.debug("A consumer did not stop in order: %r", error)
        return
    stopping.cancel()
    for part in (consumer._coordinator, consumer._fetcher):
        for name in ("coordination", "heartbeat", "commit_refresh", "fetch"):
            task = getattr(part, f"_{name}_task", None)
            if isinstance(task, asyncio.Task):
                task.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    with suppress(Exception, TimeoutError):
        async with asyncio.timeout(1.0):
            await consumer._client.close()
