"""What a worker is to be like: chosen by the yard, read by the worker from its environment."""

from __future__ import annotations

import os
from typing import Final, Literal, TypeAlias

import msgspec

VARIABLE: Final = "FAULTS_WORKER"

Point: TypeAlias = Literal[
    "read", "send", "flush", "write", "commit", "accept", "attach", "positions"
]
"""A method of a backend, between whose calls a process may die."""


class Crash(msgspec.Struct, frozen=True):
    """The call of a backend at which the process kills itself.

    Attributes:
        point: which method.
        call: which call of it, from 1.
        before: whether that call is not made any more.
    """

    point: Point
    call: int
    before: bool


class Wanted(msgspec.Struct, frozen=True):
    """How a worker works, beside what its slip.toml says.

    Attributes:
        name: it marks each of its outputs with it.
        counts: whether it keeps state.
        delay: seconds that each record takes.
        blocks: whether it takes them without letting the event loop go on.
        commit: seconds between two commits.
        stop: seconds that a stop may take for the record in hand.
        close: seconds that a stop may take for the last commit, and for letting go.
        timeout: seconds that a record may take; None: any time.
        policy: what happens to a record that fails.
        retries: how often it is tried again before that.
        hangs: the id of the order that it never gets done with.
        full: whether its last sink has no room for anything.
        ticks: whether it says how late its loop is.
        crash: where it dies.
        without: the protection that is taken out of it.
    """

    name: str
    counts: bool = True
    delay: float = 0.0
    blocks: bool = False
    commit: float = 0.2
    stop: float = 5.0
    close: float = 3.0
    timeout: float | None = None
    policy: Literal["raise", "skip", "dead letter"] = "raise"
    retries: int = 0
    hangs: str | None = None
    full: bool = False
    ticks: bool = False
    crash: Crash | None = None
    without: str | None = None

    @classmethod
    def from_environment(cls) -> Wanted:
        """What the yard has put into the environment."""
        return msgspec.json.decode(os.environ[VARIABLE], type=cls)

    def environment(self) -> dict[str, str]:
        """The variable that has all of it."""
        return {VARIABLE: msgspec.json.encode(self).decode()}
