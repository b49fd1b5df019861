"""Checkpoints in a compacted topic: small named states, the last record of a name is its state."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from slip_kafka.clients import mend
from slip_kafka.connecting import Layout, administration, ensure_topic, translated
from slip_kafka.producing import Producer
from slip_kafka.settings import KafkaCheckpointOptions, client_arguments
from slipcore.interfaces import ICheckpointStore, Out, Scope, SlipError, StateError

T = TypeVar("T")

CLOSE_SECONDS: Final = 10.0
"""How long the thread may take to end."""

FETCH_MS: Final = 500
"""How long one fetch waits for records."""


class KafkaCheckpointStore(ICheckpointStore):
    """Named states in a compacted topic of one partition. Any thread may call it.

    The topic is read once, to its end, at the first use: where two processes save the same state,
    the last one wins, and each goes on with what it has saved itself.

    Args:
        topic: the topic's name.
        options: how its cluster is reached.
    """

    def __init__(self, topic: str, options: KafkaCheckpointOptions) -> None:
        self._topic = topic
        self._options = options
        self._where = f"the topic {topic} at {', '.join(options.addresses)}"
        self._lock = Lock()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._producer: Producer | None = None
        self._states: dict[bytes, bytes] = {}
        self._is_closed = False

    def load(self, name: str) -> bytes | None:
        with self._lock:
            self._wait_for(self._open(), f"load the checkpoint {name} from")
            return self._states.get(name.encode())

    def save(self, name: str, state: bytes) -> None:
        with self._lock:
            self._wait_for(self._save(name.encode(), state), f"save the checkpoint {name} to")

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            if loop is None or thread is None:
                return
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(self._let_go(), loop).result(CLOSE_SECONDS)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    # --- between the threads ----------------------------------------------------------------

    def _wait_for(self, work: Coroutine[Any, Any, T], doing: str) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._running()).result()
        except SlipError as error:
            work.close()
            raise StateError(f"can't {doing} {self._where}: {error}") from error

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._is_closed:
            raise StateError("it is closed")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = Thread(
                target=self._loop.run_forever, name="kafka-checkpoints", daemon=True
            )
            self._thread.start()
        return self._loop

    # --- in the thread ----------------------------------------------------------------------

    async def _save(self, name: bytes, state: bytes) -> None:
        producer = await self._open()
        producer.send(Out(state, name, partition=0))
        await producer.flush()
        self._states[name] = state

    async def _open(self) -> Producer:
        if self._producer is not None:
            return self._producer
        limit = 2 * self._options.connect_timeout
        try:
            async with asyncio.timeout(limit), administration(self._options) as client:
                with translated(StateError, "open it"):
                    layout = Layout(
                        partitions=1,
                        replication_factor=self._options.replication_factor,
                        config={"cleanup.policy": "compact"},
                    )
                    count = await ensure_topic(client, self._topic, layout)
                    await self._check_compacted(client)
                    self._states = await self._read()
        except TimeoutError as error:
            raise StateError(
                f"no answer within {limit:g} s; see that its brokers are up"
            ) from error
        self._producer = Producer(self._topic, self._options.of_topic(), count)
        return self._producer

    async def _check_compacted(self, client: AIOKafkaAdminClient) -> None:
        """What is deleted by its age is no place for what is saved seldom."""
        resource = ConfigResource(
            ConfigResourceType.TOPIC, self._topic, configs={"cleanup.policy": None}
        )
        (answer,) = await client.describe_configs([resource])
        ((code, _, _, _, entries),) = answer.resources
        if code:  # no right to see it
            return
        policy = str(entries[0][1])
        if "delete" in policy.split(","):
            raise StateError(
                f"its cleanup.policy is {policy}, which deletes what is old: set it to compact"
            )

    async def _read(self) -> dict[bytes, bytes]:
        place = TopicPartition(self._topic, 0)
        consumer = AIOKafkaConsumer(
            **client_arguments(self._options), enable_auto_commit=False, auto_offset_reset="none"
        )
        mend(consumer._client)
        states: dict[bytes, bytes] = {}
        try:
            await consumer.start()
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            beginning = (await consumer.beginning_offsets([place]))[place]
            consumer.seek(place, beginning)
            # The last record may be compacted away, or be no record: its offset is never seen.
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                    for record in records:
                        if record.value is None:
                            states.pop(record.key, None)
                        elif record.key is not None:
                            states[record.key] = record.value
        finally:
            await consumer.stop()
        return states

    async def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()


def open_checkpoint_store(
    name: str, options: KafkaCheckpointOptions, scope: Scope
) -> ICheckpointStore:
    """The app's checkpoints on Kafka."""
    topic = options.topic or f"{scope.app}-checkpoints"
    key = ("kafka-checkpoints", topic, tuple(options.addresses))
    return scope.shared(key, lambda: KafkaCheckpointStore(topic, options))
