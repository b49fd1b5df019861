"""Who owns the spaces of a state: claims with a lease, at the server's time."""

from __future__ import annotations

import logging
import os
import socket
from secrets import token_hex
from threading import Event, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from slip_redis.errors import FAILURES
from slip_redis.layout import StateKeys
from slip_redis.scripts import CLAIM, RELEASE, RENEW
from slipcore.interfaces import StateFormatError, StateInUseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slip_redis.client import Arg, BlockingClient

logger = logging.getLogger(__name__)

FORMAT: Final = "1"

_OPEN: Final[set[tuple[int, str]]] = set()
"""Process id and token of the objects of this process that are not closed."""

_RENEWALS_PER_LEASE: Final = 5
_LOOK_SECONDS: Final = 0.1


class Claims:
    """The spaces that one object owns, with a thread that renews their leases.

    Args:
        client: a client for threads.
        keys: where the state is.
        lease: seconds.

    Attributes:
        token: the name of the object, which the server compares with the owner's.
    """

    def __init__(self, client: BlockingClient, keys: StateKeys, lease: float) -> None:
        self.token = token_hex(16)
        self._client = client
        self._keys = keys
        self._lease = lease
        self._who = f"{self.token} process {os.getpid()} on {socket.gethostname()}"
        self._owned: frozenset[str] = frozenset()
        self._until: dict[str, float] = {}
        self._over = Event()
        self._renewing: Thread | None = None

    def __contains__(self, space: str) -> bool:
        return space in self._owned

    def take(self, space: str) -> None:
        """Become the owner of a space, waiting for the lease of one that was killed to end.

        Raises:
            StateInUseError: its owner lives: it has renewed its lease meanwhile.
            StateFormatError: what is there is not this plugin's, or is newer.
        """
        seen = ""
        while True:
            keys = [self._keys.format, self._keys.owners, self._keys.leases]
            keys += self._keys.space(space)
            lease = round(self._lease * 1000)
            asked = monotonic()
            found = self._client.run(CLAIM, keys, [FORMAT, self.token, space, lease, self._who])
            if not found:
                break
            kind, *said = (text.decode() for text in found)
            if kind != "owner":
                raise self._foreign(space, kind, said[0])
            deadline, (token, _, who) = said[0], said[1].partition(" ")
            if (os.getpid(), token) in _OPEN:
                raise self.in_use(space, "another object of this process")
            if seen not in ("", deadline):
                raise self.in_use(space, who)
            if not seen:
                logger.warning(
                    "The state %s on Redis at %s belongs to %s; waiting up to %g s whether it "
                    "lives.",
                    space,
                    self._client.address,
                    who,
                    self._lease,
                )
            seen = deadline
            sleep(_LOOK_SECONDS)
        self._until[space] = asked + self._lease
        self._owned |= {space}
        _OPEN.add((os.getpid(), self.token))
        if self._renewing is None:
            self._renewing = Thread(target=self._renew_always, name="slip-redis-lease", daemon=True)
            self._renewing.start()

    def give_up(self, spaces: Iterable[str]) -> None:
        """Let others have spaces; those that are not owned are ignored."""
        owned = self._owned.intersection(spaces)
        self._owned -= owned
        if owned:
            try:
                self._client.run(
                    RELEASE, [self._keys.owners, self._keys.leases], [self.token, *owned]
                )
            except FAILURES as error:
                logger.debug("A space was not given up: %s", error)  # its lease ends

    def lost(self, space: str) -> str:
        """Why what was read of an owned space until now may be another owner's; "": it is not.

        A lease lasts from the moment that the server was asked for it, if not longer: only an
        object that has been silent for that long has to ask.

        Returns:
            "FENCED", "GONE" or "", as the script of a write says it.
        """
        if space not in self._owned or monotonic() < self._until[space]:
            return ""
        owner: bytes | None = self._client.execute("HGET", self._keys.owners, space)
        if owner is None:
            return "GONE"
        return "" if owner.decode() == self.token else "FENCED"

    def close(self) -> None:
        """Give up all spaces. May be called twice."""
        _OPEN.discard((os.getpid(), self.token))
        self._over.set()
        if self._renewing is not None:
            self._renewing.join()
        self.give_up(self._owned)

    def _renew_always(self) -> None:
        while not self._over.wait(self._lease / _RENEWALS_PER_LEASE):
            owned = self._owned
            if not owned:
                continue
            args: list[Arg] = [self.token, round(self._lease * 1000), self._who, *owned]
            asked = monotonic()
            try:
                renewed = self._client.run(RENEW, [self._keys.owners, self._keys.leases], args)
            except FAILURES as error:
                logger.debug("A lease was not renewed: %s", error)  # the next time is soon
            else:
                for space in renewed:
                    self._until[space.decode()] = asked + self._lease

    def in_use(self, space: str, who: str) -> StateInUseError:
        """The error for a space that another one owns."""
        return StateInUseError(
            f"the state {space} on Redis at {self._client.address} is in use by {who}: stop the "
            f"other one, share one Cache object, or give each a name of its own"
        )

    def _foreign(self, space: str, kind: str, said: str) -> StateFormatError:
        if kind == "format":
            return StateFormatError(
                f"the state {space} on Redis at {self._client.address} has the format {said}, and "
                f"this version of slip-redis writes {FORMAT}: install a newer one, or give the app "
                f"another name"
            )
        return StateFormatError(
            f"the state {space} can't be kept on Redis at {self._client.address}: another program "
            f"uses the key {said}; name the state otherwise, or use another database"
        )
