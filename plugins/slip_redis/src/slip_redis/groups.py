"""Consumer groups: who lives, who reads which partition, how far they are.

Every member looks now and then, and acts for itself, at the server's time and in one step: it
removes the dead, takes what is free of its share, and gives up what is not its share any more
once its engine has accepted that. A member that was taken for dead finds itself gone, and with
it everything that it held.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from secrets import token_hex
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from slip_redis.errors import FAILURES
from slip_redis.ids import id_of
from slip_redis.layout import Keys
from slip_redis.scripts import ACCEPT, BEAT, CHANGE, COMMIT, DISSOLVE, JOIN, LEAVE, PLACE
from slipcore.interfaces import Assignment, ConnectError, Positions

if TYPE_CHECKING:
    from slip_redis.client import Arg, BlockingClient, Client

logger = logging.getLogger(__name__)

_BEATS_PER_TIMEOUT: Final = 5


class Heart:
    """Shows the server that a member lives, from a thread: a busy event loop is not dead.

    Args:
        client: the thread's own, which it closes.
        key: where the group is kept.
        token: the member.
        interval: seconds between two beats.
    """

    def __init__(self, client: BlockingClient, key: str, token: str, interval: float) -> None:
        self._client = client
        self._key = key
        self._token = token
        self._interval = interval
        self._over = Event()
        self._thread = Thread(target=self._live, name=f"slip-redis-member-{token}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the next beat be none. Does not wait."""
        self._over.set()

    def _live(self) -> None:
        while not self._over.wait(self._interval):
            try:
                if not self._client.run(BEAT, [self._key], [self._token]):
                    break  # it was taken for dead; its engine is told
            except FAILURES as error:
                logger.debug("A heartbeat failed: %s", error)  # the next one is soon
        self._client.close()


class Member:
    """One reader of a topic in a consumer group.

    In the streams' own consumer groups it goes by its token, not by its instance id: what a former
    process of the same instance is still handed, when it wakes up, is then seen to be another's.

    Args:
        client: an open client.
        heart_client: makes another one, for the heartbeats.
        topic: the topic's name and how many partitions it has.
        group: the group's name.
        instance_id: identity across restarts, or None.
        session_timeout: seconds without a heartbeat after which others take over.
    """

    def __init__(
        self,
        client: Client,
        heart_client: Callable[[], BlockingClient],
        topic: tuple[str, int],
        group: str,
        instance_id: str | None,
        session_timeout: float,
    ) -> None:
        self.token = token_hex(8)
        self.group = group
        self._client = client
        self._heart_client = heart_client
        self._topic, self._partitions = topic
        self._keys = Keys(self._topic)
        self._key = self._keys.group(group)
        self._instance_id = instance_id
        self._session_timeout = session_timeout
        self._heart: Heart | None = None
        self._held: frozenset[int] = frozenset()
        self._outstanding: Assignment | None = None
        self._greeted = False
        self._twin = ""

    async def change(self) -> Assignment | None:
        """What is to be announced to the engine, None: nothing; joins first if need be.

        The same is given until it is accepted.

        Raises:
            ConnectError: a live member has this instance id.
        """
        if self._outstanding is not None:
            return self._outstanding
        if self._heart is None and not await self._join():
            return None
        args: list[Arg] = [self.token, self._partitions, int(self._greeted), *self._held]
        found = await self._client.run(CHANGE, [self._key], args)
        if not found:
            return None
        epoch, lost, added, positions, removed, dead = found
        if dead:
            logger.info(
                "%d members of the consumer group %s on the topic %s are gone; their partitions "
                "are free.",
                dead,
                self.group,
                self._topic,
            )
        change = Assignment(
            epoch=epoch,
            added={
                int(partition): int(position) if position else None
                for partition, position in zip(added, positions, strict=True)
            },
            removed=frozenset(map(int, removed)),
            lost=bool(lost),
            total=self._partitions,
        )
        self._greeted = True
        self._held |= change.added.keys()
        if change.lost:
            self._held = frozenset()
            self._end_life()
        self._outstanding = change
        return change

    def awaits(self, assignment: Assignment) -> bool:
        """Whether this is the change that was announced and is not accepted yet."""
        outstanding = self._outstanding
        return outstanding is not None and assignment.epoch == outstanding.epoch

    async def place(self, partition: int, start: str) -> list[bytes] | None:
        """Go to a place in a partition: an id, `-` for its begin, `$` for its end.

        What former owners were handed and have not finished is taken over.

        Returns:
            the id after which it goes on; or b"", and the first and last id that there are; or
            None: this member does not have the partition any more.
        """
        keys = [self._key, self._keys.stream(partition), self._keys.topic]
        args: list[Arg] = [self.token, self.group, partition, start]
        found: list[bytes] | None = await self._client.run(PLACE, keys, args)
        return found

    async def accept(self, assignment: Assignment) -> None:
        """Free what is given up. A change that is not awaited is ignored."""
        if not self.awaits(assignment):
            return
        if assignment.removed and not assignment.lost:
            await self._client.run(ACCEPT, [self._key], [self.token, *assignment.removed])
        self._held -= assignment.removed
        self._outstanding = None

    async def commit(self, positions: Positions, epoch: int) -> None:
        """Keep the positions of the partitions that this member has held since `epoch`."""
        for partition, position in positions.items():
            keys = [self._key, self._keys.stream(partition)]
            args: list[Arg] = [self.token, epoch, self.group, partition, position, id_of(position)]
            while await self._client.run(COMMIT, keys, args):
                pass

    async def leave(self) -> None:
        """Free at once what the member holds."""
        self._end_life()
        await self._client.run(LEAVE, [self._key], [self.token])

    def _end_life(self) -> None:
        heart, self._heart = self._heart, None
        if heart is not None:
            heart.stop()

    async def dissolve(self) -> None:
        """Leave, and delete the group with its positions."""
        self._end_life()
        streams = [self._keys.stream(partition) for partition in range(self._partitions)]
        await self._client.run(DISSOLVE, [self._key, *streams], [self.group])

    async def _join(self) -> bool:
        """Become a member; False while one that may be dead has this instance id."""
        session = round(self._session_timeout * 1000)
        args: list[Arg] = [self.token, session, self._instance_id or ""]
        twin = (await self._client.run(JOIN, [self._key], args)).decode()
        if twin:
            if self._twin not in ("", twin):
                raise ConnectError(
                    f"the consumer group {self.group} has a member with group_instance_id "
                    f'"{self._instance_id}" for the topic {self._topic} already: give each member '
                    f"one of its own"
                )
            if not self._twin:
                logger.warning(
                    "The consumer group %s had a member with group_instance_id %s for the topic "
                    "%s; waiting whether it lives.",
                    self.group,
                    self._instance_id,
                    self._topic,
                )
            self._twin = twin
            return False
        interval = min(1.0, self._session_timeout / _BEATS_PER_TIMEOUT)
        self._heart = Heart(self._heart_client(), self._key, self.token, interval)
        return True
