"""One member of a consumer group: joined once for all topics that an app reads alike.

The client calls back while its group rebalances. Nothing is read or written in these calls: what
has changed is told to the readers of the topics, and a revocation waits, up to a deadline, until
their engines have finished and committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition

from slip_kafka.clients import leave_group, mend
from slip_kafka.failures import translated
from slip_kafka.settings import consumer_arguments, membership_settings
from slipcore.interfaces import ConnectError, SlipError, SourceError

if TYPE_CHECKING:
    from slip_kafka.reading import Reader
    from slip_kafka.settings import KafkaTopicOptions

logger = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 30.0
"""How long a commit or a look-up may take, with the client's own retries."""

SAY_SECONDS: Final = 5.0
"""How long a member waits to be let into its group before it says so."""

WATCH_SECONDS: Final = 0.5
"""Between two looks at the health of the consumer."""

STUCK_SECONDS: Final = 20.0
"""How long a reader may wait for records that the broker has before its consumer is replaced."""

SILENCE: Final = 0.9
"""Of a session: who was not heard for so long may have lost it for that; clocks differ."""

DISTURBED_SECONDS: Final = 30.0
"""For so long after a coordinator was lost its successor may not know its members."""

REJOIN_SECONDS: Final = 0.2
"""A topic that is let go of waits so long for the others to follow before the group is told."""


class Member(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """A member of a consumer group, in the loop that it is made in.

    Args:
        group: the consumer group.
        arguments: what the client's consumer is made with.
        instance_id: the member's identity across restarts, None: a new one each time.
    """

    def __init__(self, group: str, arguments: Mapping[str, Any], instance_id: str | None) -> None:
        self.group = group
        self.readers: dict[str, Reader] = {}
        self.epoch = 0
        self.rebalancing = True
        self.failure: SlipError | None = None
        self._arguments = dict(arguments)
        self._instance_id = instance_id
        self._session = arguments["session_timeout_ms"] / 1000
        rebalance = arguments["rebalance_timeout_ms"] / 1000
        # Before the group gives up on the member, and before its session could end.
        self._handover = min(self._session, rebalance) * 0.6
        # The group waits for its members to come, then for its leader; each may have been killed.
        self._patience = rebalance + self._session + REQUEST_SECONDS
        self._consumer: AIOKafkaConsumer | None = None
        self._subscribed: dict[str, Reader] = {}
        self._starting = asyncio.Lock()
        self._commits: set[asyncio.Task[bool]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._rebalancing_since = monotonic()
        self._heard = monotonic()
        self._disturbed = -inf

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The client, while the member has joined."""
        if self._consumer is None:
            raise SourceError(f"the consumer group {self.group} is not joined: open the topic")
        return self._consumer

    @property
    def is_dead(self) -> bool:
        """Whether the client has stopped to take part in the group; it says so nowhere."""
        task = self._coordination()
        return task is not None and task.done()

    def _coordination(self) -> asyncio.Task[None] | None:
        """The task in which the client takes part in the group; None: it is not started yet."""
        return getattr(self.consumer._coordinator, "_coordination_task", None)

    # --- coming and going -----------------------------------------------------------------

    async def join(self, reader: Reader) -> None:
        """Read a topic too. Topics that join at the same moment cost one rebalance."""
        self.readers[reader.topic] = reader
        async with self._starting:
            await asyncio.sleep(0)
            if self._consumer is None:
                await self._start()
                self._watching = asyncio.ensure_future(self._watch())
            else:
                await self._resubscribe()

    async def _start(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._arguments, group_id=self.group, group_instance_id=self._instance_id
        )
        mend(consumer._client)
        self._consumer = consumer
        self._subscribed = {}
        self._subscribe()
        began = monotonic()
        saying = asyncio.get_running_loop().call_later(SAY_SECONDS, self._say_that_it_waits)
        try:
            with translated(SourceError, f"join the consumer group {self.group}"):
                async with asyncio.timeout(self._patience):
                    await consumer.start()
        except BaseException as error:
            self._consumer = None
            await leave_group(consumer)
            if isinstance(error, TimeoutError):
                raise ConnectError(
                    f"the consumer group {self.group} could not be joined in {self._patience:g} s: "
                    "see that its brokers are there and that its members are not stuck"
                ) from error
            raise
        finally:
            saying.cancel()
        if monotonic() - began > SAY_SECONDS:
            logger.warning("The consumer group %s has let this member in.", self.group)
        self._note_heartbeats(consumer)

    def _say_that_it_waits(self) -> None:
        logger.warning(
            "The consumer group %s has not let this member in yet. It may wait for one that was "
            "killed, until its session_timeout_ms is over (%g s here), or for one that ends its "
            "records, up to rebalance_timeout_ms (%g s here). With a group_instance_id a killed "
            "member comes back at once.",
            self.group,
            self._session,
            self._arguments["rebalance_timeout_ms"] / 1000,
        )

    def _note_heartbeats(self, consumer: AIOKafkaConsumer) -> None:
        """See when the group has heard of this member, and when it has lost its coordinator."""
        beat: Callable[[], Awaitable[bool]] = consumer._coordinator._do_heartbeat

        async def noted() -> bool:
            # An answer may lie there for long before a loop that stood still comes to read it.
            sent = monotonic()
            answered = await beat()
            if answered and consumer is self._consumer:
                self._heard = sent
            return answered

        consumer._coordinator._do_heartbeat = noted
        lose = consumer._coordinator.coordinator_dead

        def lost() -> None:
            self._disturbed = monotonic()
            lose()

        consumer._coordinator.coordinator_dead = lost

    async def _resubscribe(self) -> None:
        """Tell the group which topics are read now, when what is assigned has been committed.

        The client forgets its assignment with the old subscription, and could not commit any more.
        """
        while self._consumer is not None and self.readers not in ({}, self._subscribed):
            self._begin_rebalance()
            if any(reader.has_partitions for reader in self.readers.values()):
                await self._release(lost=False)
            else:
                self._subscribe()

    def _subscribe(self) -> None:
        self._begin_rebalance()
        self._subscribed = dict(self.readers)
        self.consumer.subscribe(sorted(self.readers), listener=self)

    async def leave(self, reader: Reader) -> None:
        """Read a topic no more; with the last one the member leaves the group."""
        if self.readers.get(reader.topic) is reader:
            del self.readers[reader.topic]
        if self.readers:
            self._in_background(self._let_go())
            return
        if self._watching is not None:  # it may be replacing the client, for as long as that takes
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        async with self._starting:
            if self.readers:  # one has joined meanwhile
                self._watching = asyncio.ensure_future(self._watch())
                return
            consumer, self._consumer = self._consumer, None
            await self._drop_commits()
            if consumer is not None:
                await leave_group(consumer)
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _let_go(self) -> None:
        """Tell the group of topics that are read no more, once for those that end together."""
        await asyncio.sleep(REJOIN_SECONDS)
        async with self._starting:
            await self._resubscribe()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- what the client calls ------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Let what was assigned be finished and committed; what comes after it is too late."""
        twin = False
        try:
            lost = self._was_expelled()
            twin = lost and bool(revoked) and self._has_twin()
            self._begin_rebalance()
            await self._release(lost)
            self._heard = monotonic()  # the client joins now
        except Exception as error:
            self.fail(error)
        if twin:
            self.fail(
                SourceError(
                    f"another member has joined the consumer group {self.group} with "
                    f'group_instance_id "{self._instance_id}", and takes the place of this one: '
                    "give each member an id of its own"
                )
            )
            # The client would join again, and take the place from the other one.
            raise asyncio.CancelledError

    async def _release(self, lost: bool) -> None:
        self.epoch += 1
        released = [reader.revoke(self.epoch, lost) for reader in self.readers.values()]
        waiting = [done for done in released if done is not None]
        if waiting and not lost:
            _, late = await asyncio.wait(waiting, timeout=self._handover)
            if late:
                logger.warning(
                    "The consumer group %s rebalances, and a record was not finished within "
                    "%g s: its partition is given up, and the record comes again.",
                    self.group,
                    self._handover,
                )
        for reader in self.readers.values():
            reader.drop_revoked()
        await self._drop_commits()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Tell the readers; nothing is fetched before their engines have placed it."""
        try:
            consumer = self.consumer
            for partition in assigned:  # the client has no position of its own to begin with
                consumer.pause(partition)
                consumer.seek(partition, 0)
            self.epoch += 1
            self.rebalancing = False
            for topic, reader in self.readers.items():
                if self._subscribed.get(topic) is reader:
                    mine = {p.partition for p in assigned if p.topic == topic}
                    count = len(consumer.partitions_for_topic(topic) or ())
                    reader.assign(mine, self.epoch, count)
        except Exception as error:
            self.fail(error)

    def _begin_rebalance(self) -> None:
        if not self.rebalancing:
            self._rebalancing_since = monotonic()
        self.rebalancing = True
        for reader in self.readers.values():
            reader.wake()

    def _was_expelled(self) -> bool:
        """Whether the group did not recognise this member any more.

        The client forgets its generation then, and says so nowhere.
        """
        generation: int = getattr(self.consumer._coordinator, "generation", 0)
        return generation < 0 and bool(self._subscribed) and self.epoch > 0

    def _has_twin(self) -> bool:
        """Whether a static member was expelled though its silence can't be the reason.

        One that was silent joins again; if it has a twin, it is expelled again at once.
        """
        now = monotonic()
        was_heard: bool = now - self._heard < SILENCE * self._session
        is_undisturbed = now - self._disturbed > DISTURBED_SECONDS
        return self._instance_id is not None and was_heard and is_undisturbed

    # --- what the readers ask -------------------------------------------------------------

    async def committed(self, partitions: Collection[TopicPartition]) -> dict[int, int | None]:
        """Partition -> the offset that the group goes on at, None: it has none yet."""
        wanted = list(partitions)
        consumer = self.consumer
        found = await self._request(
            lambda: asyncio.gather(*(consumer.committed(partition) for partition in wanted)),
            "ask for the positions of",
        )
        return {p.partition: offset for p, offset in zip(wanted, found, strict=True)}

    async def beginnings(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Where each partition begins."""
        return await self._offsets("beginning_offsets", partitions)

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset that each partition's next record will have."""
        return await self._offsets("end_offsets", partitions)

    async def _offsets(
        self, method: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        ask = partial(getattr(self.consumer, method), list(partitions))
        return dict(await self._request(ask, "ask for the offsets of"))

    async def _request(self, ask: Callable[[], Awaitable[Any]], doing: str) -> Any:
        """What a request gives, or why it does not, in bounded time."""
        # Where the loop ends it has stopped the client's tasks, and nothing is answered any more.
        client = self._coordination()
        answer: asyncio.Future[Any] | None = None
        if client is not None and not client.done():
            answer = asyncio.ensure_future(ask())
            try:
                await asyncio.wait(
                    (answer, client), timeout=REQUEST_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                answer.cancel()
        if answer is None or not answer.done():
            has_ended = client is None or client.done()  # None: this is the one after it
            why = "its client has ended" if has_ended else f"no answer in {REQUEST_SECONDS:g} s"
            raise ConnectError(
                f"can't {doing} the consumer group {self.group}: {why}; see that its brokers are "
                "there"
            )
        with translated(SourceError, f"{doing} the consumer group {self.group}"):
            return answer.result()

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Store the offsets that the group goes on at, and say whether they are stored.

        A rebalance that has begun meanwhile has taken the partitions: nothing is stored then.

        Raises:
            ConnectError: the brokers did not answer.
            SourceError: the group refuses it.
        """
        task = asyncio.ensure_future(self._commit(offsets))
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        try:
            await asyncio.wait((task,))
        finally:
            task.cancel()
        return not task.cancelled() and task.result()

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        try:
            await self._request(lambda: self.consumer.commit(dict(offsets)), "commit to")
        except SourceError as error:
            if not isinstance(error.__cause__, (CommitFailedError, IllegalStateError)):
                raise
            logger.info("%s; the records come again to who has their partitions now.", error)
            return False
        return True

    async def _drop_commits(self) -> None:
        """A commit that is under way would be sent in the name of the next generation."""
        for task in self._commits:
            task.cancel()
        if self._commits:
            await asyncio.wait(tuple(self._commits))

    def fail(self, error: Exception) -> None:
        """Let every reader fail: the group can't go on."""
        if self.failure is None:
            self.failure = (
                error
                if isinstance(error, SlipError)
                else SourceError(f"the consumer group {self.group} failed: {error!r}")
            )
            self.failure.__cause__ = None if error is self.failure else error
        for reader in self.readers.values():
            reader.wake()

    # --- health ---------------------------------------------------------------------------

    async def _watch(self) -> None:
        """See that the client lives: it tells of its end only to those who ask."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self.failure is not None:
                return
            try:
                await self._look(monotonic())
            except Exception as error:
                self.fail(error)

    async def _look(self, now: float) -> None:
        if self.is_dead:
            await self._rebuild("its coordination has ended")
            return
        try:
            self.consumer._coordinator.check_errors()
        except KafkaError as error:
            with translated(SourceError, f"stay in the consumer group {self.group}"):
                if not error.retriable:
                    raise
            await self._rebuild(f"its coordination failed: {error}")
            return
        if self.rebalancing:
            if now - self._rebalancing_since > 2 * self._session + self._handover:
                await self._rebuild("it could not rejoin")
        elif any(now - r.waiting_since > STUCK_SECONDS for r in self.readers.values()):
            await self._look_for_records(now)

    async def _look_for_records(self, now: float) -> None:
        """Whether the broker has records for readers that wait for them."""
        waiting = [r for r in self.readers.values() if now - r.waiting_since > STUCK_SECONDS]
        for reader in waiting:
            reader.waiting_since = monotonic()  # the next look is as far away again
        places = {place: offset for r in waiting for place, offset in r.places().items()}
        try:
            ends = await self.ends(places)
        except ConnectError:
            return  # nobody gets anything from a broker that is not there
        if any(ends[place] > offset for place, offset in places.items()):
            still = {place: offset for r in waiting for place, offset in r.places().items()}
            stuck = [p for p, offset in places.items() if still.get(p) == offset < ends[p]]
            if stuck:
                await self._rebuild(
                    f"{stuck[0].topic}[{stuck[0].partition}] delivers nothing after offset "
                    f"{places[stuck[0]]}, and has {ends[stuck[0]]}"
                )

    async def _rebuild(self, reason: str) -> None:
        """Replace the client; what it had comes again from where the group or the state stand."""
        logger.warning("The consumer of the group %s is replaced: %s.", self.group, reason)
        async with self._starting:
            old = self.consumer
            self._begin_rebalance()
            self._rebalancing_since = monotonic()
            self.epoch += 1
            for reader in self.readers.values():
                reader.revoke(self.epoch, lost=True)
                reader.drop_revoked()
            await self._drop_commits()
            self._in_background(leave_group(old))
            while True:
                try:
                    await self._start()
                    return
                except ConnectError as error:
                    logger.warning("%s", error)
                    self._consumer = old
                    await asyncio.sleep(1.0)


class Members:
    """The members that an app's topics share: equal group and settings, one member."""

    def __init__(self) -> None:
        self._members: list[tuple[object, Member]] = []

    async def join(self, reader: Reader, options: KafkaTopicOptions, group: str) -> None:
        """Give the reader a member: one that reads other topics alike, or a new one."""
        alike = (group, asyncio.get_running_loop(), membership_settings(options))
        self._members = [(known, member) for known, member in self._members if member.readers]
        for known, member in self._members:
            if known == alike and reader.topic not in member.readers:
                break
        else:
            member = Member(group, consumer_arguments(options), options.group_instance_id)
            self._members.append((alike, member))
        reader.member = member
        await member.join(reader)
