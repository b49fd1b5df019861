"""Topics on Apache Kafka."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

from slip_kafka.connecting import open_topic
from slip_kafka.membership import Members
from slip_kafka.producing import Producer
from slip_kafka.reading import Reader
from slip_kafka.settings import KafkaTopicOptions
from slipcore.interfaces import (
    Assignment,
    Capability,
    ITopic,
    Out,
    Positions,
    Record,
    Scope,
    SinkError,
    SourceError,
)


class KafkaTopic(ITopic):
    """A topic of a Kafka cluster.

    It is read by one member of its consumer group, which an app's topics with equal settings
    share; it is written in batches of its own, idempotent, acknowledged by all replicas.
    """

    capabilities = frozenset({Capability.COMMIT, Capability.SEEK, Capability.PARTITIONS})

    def __init__(self, name: str, options: KafkaTopicOptions, scope: Scope) -> None:
        self.name = name
        self._options = options
        self._scope = scope
        self._reader: Reader | None = None
        self._producer: Producer | None = None

    def __repr__(self) -> str:
        return f"<KafkaTopic {self.name}>"

    async def open(self) -> None:
        partitions = await open_topic(self.name, self._options)
        self._producer = Producer(self.name, self._options, partitions)
        self.send_parts = self._producer.send_parts  # type: ignore[method-assign]  # no call between
        latest = self._options.auto_offset_reset == "latest"
        self._reader = Reader(self.name, latest=latest, total=partitions)

    async def close(self) -> None:
        reader, producer = self._reader, self._producer
        self._reader = self._producer = None
        self.__dict__.pop("send_parts", None)
        try:
            if reader is not None:
                await reader.close()
        finally:
            if producer is not None:
                await producer.close()

    # --- sent to ----------------------------------------------------------------------------

    def send(self, output: Out) -> Awaitable[None] | None:
        if self._producer is None:
            raise SinkError(str(self._closed()), (output,))
        return self._producer.send(output)

    async def flush(self) -> None:
        if self._producer is not None:
            await self._producer.flush()

    # --- read -------------------------------------------------------------------------------

    async def read(self, max_records: int) -> Sequence[Record]:
        return await self._reader.read(max_records) if self._reader is not None else ()

    async def commit(self, positions: Positions, epoch: int) -> None:
        if self._reader is not None:
            await self._reader.commit(positions, epoch)

    async def pause(self, partitions: frozenset[int]) -> None:
        await self._opened().pause(partitions)

    async def resume(self, partitions: frozenset[int]) -> None:
        await self._opened().resume(partitions)

    async def seek(self, offsets: Mapping[int, int]) -> Positions:
        return await self._opened().seek(offsets)

    async def lag(self) -> Mapping[int, int]:
        return await self._reader.lag() if self._reader is not None else {}

    async def ends(self) -> Mapping[int, int]:
        """Assigned partition -> the offset that its next record will have."""
        return await self._reader.ends() if self._reader is not None else {}

    async def assignment(self) -> Assignment:
        reader = self._opened()
        if reader.member is None:
            members = self._scope.shared("kafka-members", Members)
            await members.join(reader, self._options, self._options.group_id or self._scope.app)
        return await reader.assignment()

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        if self._reader is not None:
            await self._reader.accept(assignment, positions)

    def _opened(self) -> Reader:
        if self._reader is None:
            raise self._closed()
        return self._reader

    def _closed(self) -> SourceError:
        return SourceError(f"the topic {self.name} is not open: open it before it is used")
