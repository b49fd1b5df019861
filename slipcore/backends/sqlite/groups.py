"""Consumer groups over several processes: who lives, who reads which partition, how far they are.

Every member looks now and then, and acts for itself: it removes the dead, takes what is free of
its share, and gives up what is not its share any more once its engine has accepted that. A
member that was taken for dead finds its row gone, and with it everything that it held.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from slipcore.backends.sqlite.file import SlipFile
from slipcore.backends.sqlite.locks import Life, is_alive, sweep
from slipcore.interfaces import Assignment, ConnectError, Positions, SlipError, SourceError

if TYPE_CHECKING:
    from sqlite3 import Connection

logger = logging.getLogger(__name__)


class _Plan(NamedTuple):
    """What is to be done now.

    Attributes:
        dead: the tokens of members that are to be removed.
        lost: others have taken this member for dead.
        added, removed: partitions.
    """

    dead: Sequence[str]
    lost: bool
    added: Sequence[int]
    removed: frozenset[int]


class Member:
    """One reader of a topic in a consumer group. Its methods block; any thread may call them.

    Args:
        file: where the group is kept.
        group: the group's name.
        topic: the topic's name, its id in the file, and how many partitions it has.
        instance_id: identity across restarts, or None.
        session_timeout: seconds without a heartbeat after which others take over.
    """

    def __init__(
        self,
        file: SlipFile,
        group: str,
        topic: tuple[str, int, int],
        instance_id: str | None,
        session_timeout: float,
    ) -> None:
        self.subject = ("group", group, topic[0])
        self._file = file
        self._group = group
        self._topic, self._topic_id, self._partitions = topic
        self._instance_id = instance_id
        self._session_timeout = session_timeout
        self._directory = Path(f"{file.path}-members")
        self._lock = Lock()
        self._reader = file.reader()
        self._life: Life | None = None
        self._held: frozenset[int] = frozenset()
        self._outstanding: Assignment | None = None
        self._greeted = False
        self._left = False

    def change(self) -> Assignment | None:
        """What is to be announced to the engine, None: nothing; joins first if need be.

        The same is given until it is accepted.

        Raises:
            ConnectError: a live member has this instance id.
            SourceError: the file can't be read or written.
        """
        with self._lock, self._file.translated(SourceError, "keep the consumer group in"):
            if self._left:
                return None
            if self._life is None and self._outstanding is None:
                self._join()
            if self._outstanding is None and self._is_due(self._plan(self._reader)):
                with self._file.transaction() as db:
                    plan = self._plan(db)
                    change = self._carry_out(db, plan)
                if change is not None:
                    self._announce(change)
                if plan.dead:
                    self._bury(plan.dead)
            return self._outstanding

    def awaits(self, assignment: Assignment) -> bool:
        """Whether this is the change that was announced and is not accepted yet."""
        outstanding = self._outstanding
        return outstanding is not None and assignment.epoch == outstanding.epoch

    def accept(self, assignment: Assignment) -> None:
        """Free what is given up. A change that is not awaited is ignored."""
        with self._lock, self._file.translated(SourceError, "keep the consumer group in"):
            if self._left or not self.awaits(assignment):
                return
            if self._life is not None and assignment.removed:
                with self._file.transaction() as db:
                    db.executemany(
                        "DELETE FROM leases WHERE consumer_group = ? AND topic = ?"
                        " AND partition = ? AND token = ?",
                        [
                            (self._group, self._topic_id, partition, self._life.token)
                            for partition in assignment.removed
                        ],
                    )
            self._held -= assignment.removed
            self._outstanding = None
        self._file.bells.ring(self.subject)

    def commit(self, positions: Positions, epoch: int) -> None:
        """Keep the positions of the partitions that this member has held since `epoch`.

        Raises:
            SourceError: they are not kept.
        """
        with self._lock, self._file.translated(SourceError, "commit positions to"):
            if self._life is None or not positions:
                return
            with self._file.transaction() as db:
                held = dict(
                    db.execute(
                        "SELECT partition, epoch FROM leases"
                        " WHERE consumer_group = ? AND topic = ? AND token = ?",
                        (self._group, self._topic_id, self._life.token),
                    )
                )
                db.executemany(
                    "INSERT OR REPLACE INTO committed VALUES (?, ?, ?, ?)",
                    [
                        (self._group, self._topic_id, partition, position)
                        for partition, position in positions.items()
                        if partition in held and held[partition] <= epoch
                    ],
                )

    def leave(self) -> None:
        """Free at once what the member holds. May be called twice."""
        with self._lock:
            if self._left:
                return
            self._left = True
            self._reader.close()
            life, self._life = self._life, None
            if life is None:
                return
            try:
                doing = "leave the consumer group in"
                with self._file.translated(SourceError, doing), self._file.transaction() as db:
                    self._remove(db, life.token)
            except SlipError as error:
                # Its lock goes in any case, so that the others find it dead.
                logger.debug("%s of the consumer group %s: %s", self._topic, self._group, error)
            finally:
                life.end()
        self._file.bells.ring(self.subject)

    def dissolve(self) -> None:
        """Leave, and delete the group with its positions."""
        self.leave()
        with (
            self._file.translated(SourceError, "delete the consumer group from"),
            self._file.transaction() as db,
        ):
            for table in ("committed", "epochs"):
                db.execute(
                    f"DELETE FROM {table} WHERE consumer_group = ? AND topic = ?",
                    (self._group, self._topic_id),
                )

    def _join(self) -> None:
        try:
            sweep(self._directory)
            life = Life(self._directory, self._session_timeout)
        except OSError as reason:
            raise ConnectError(
                f"can't join the consumer group {self._group}: {self._directory}: "
                f"{reason.strerror}; make this directory writable for this user"
            ) from reason
        try:
            with self._file.transaction() as db:
                self._replace_twin(db)
                db.execute(
                    "INSERT INTO members"
                    " (token, consumer_group, topic, instance_id, session_timeout)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (
                        life.token,
                        self._group,
                        self._topic_id,
                        self._instance_id,
                        self._session_timeout,
                    ),
                )
        except BaseException:
            life.end()
            raise
        self._life = life
        self._file.bells.ring(self.subject)

    def _replace_twin(self, db: Connection) -> None:
        """Remove the dead member that had this instance id before; refuse to be a second one."""
        if self._instance_id is None:
            return
        for token, instance_id, session_timeout in self._members(db):
            if instance_id != self._instance_id:
                continue
            if is_alive(self._directory, token, session_timeout):
                raise ConnectError(
                    f"the consumer group {self._group} has a member with group_instance_id "
                    f'"{self._instance_id}" for the topic {self._topic} already: give each member '
                    f"one of its own"
                )
            self._remove(db, token)

    def _members(self, db: Connection) -> list[tuple[str, str | None, float]]:
        return db.execute(
            "SELECT token, instance_id, session_timeout FROM members"
            " WHERE consumer_group = ? AND topic = ?"
            " ORDER BY instance_id IS NULL, instance_id, joined",
            (self._group, self._topic_id),
        ).fetchall()

    def _plan(self, db: Connection) -> _Plan:
        assert self._life is not None
        token = self._life.token
        living: list[str] = []
        dead: list[str] = []
        for other, _, session_timeout in self._members(db):
            alive = other == token or is_alive(self._directory, other, session_timeout)
            (living if alive else dead).append(other)
        if token not in living:
            return _Plan(dead, True, (), self._held)
        leases = db.execute(
            "SELECT partition, token FROM leases WHERE consumer_group = ? AND topic = ?",
            (self._group, self._topic_id),
        ).fetchall()
        taken = {partition for partition, holder in leases if holder in living}
        mine = range(living.index(token), self._partitions, len(living))
        added = [partition for partition in mine if partition not in taken]
        return _Plan(dead, False, added, self._held.difference(mine))

    def _is_due(self, plan: _Plan) -> bool:
        return not self._greeted or any(plan)

    def _carry_out(self, db: Connection, plan: _Plan) -> Assignment | None:
        assert self._life is not None
        for token in plan.dead:
            self._remove(db, token)
        if not (plan.lost or plan.added or plan.removed or not self._greeted):
            return None
        topic = (self._group, self._topic_id)
        epoch = self._next_epoch(db)
        db.executemany(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
            [(*topic, partition, self._life.token, epoch) for partition in plan.added],
        )
        committed = dict(
            db.execute(
                "SELECT partition, position FROM committed WHERE consumer_group = ? AND topic = ?",
                topic,
            )
        )
        return Assignment(
            epoch=epoch,
            added={partition: committed.get(partition) for partition in plan.added},
            removed=plan.removed,
            lost=plan.lost,
            total=self._partitions,
        )

    def _next_epoch(self, db: Connection) -> int:
        topic = (self._group, self._topic_id)
        ((epoch,),) = db.execute(
            "SELECT coalesce(max(epoch), 0) + 1 FROM epochs WHERE consumer_group = ? AND topic = ?",
            topic,
        ).fetchall()
        db.execute("INSERT OR REPLACE INTO epochs VALUES (?, ?, ?)", (*topic, epoch))
        return int(epoch)

    def _announce(self, change: Assignment) -> None:
        self._outstanding = change
        self._greeted = True
        self._held |= change.added.keys()
        if change.lost and self._life is not None:
            self._life.end()
            self._life = None

    def _remove(self, db: Connection, token: str) -> None:
        db.execute("DELETE FROM members WHERE token = ?", (token,))
        db.execute(
            "DELETE FROM leases WHERE consumer_group = ? AND topic = ? AND token = ?",
            (self._group, self._topic_id, token),
        )

    def _bury(self, dead: Sequence[str]) -> None:
        for token in dead:
            (self._directory / token).unlink(missing_ok=True)
        logger.info(
            "%d members of the consumer group %s on the topic %s are gone; their partitions are "
            "free.",
            len(dead),
            self._group,
            self._topic,
        )
        self._file.bells.ring(self.subject)
