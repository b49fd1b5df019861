"""What is said of a running app. Field names are stable."""

from __future__ import annotations

import msgspec


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a binding is in one partition.

    Attributes:
        position: offset of the last finished record; None: none yet.
        end: offset of the last record that there is; None: none, or not known.
        lag: records that have not reached the handler; None: not known.
    """

    partition: int
    position: int | None = None
    end: int | None = None
    lag: int | None = None


class Hung(msgspec.Struct, frozen=True, kw_only=True):
    """A handler that does not come back, or an event loop that does not.

    Attributes:
        binding: whose handler; None: nobody knows whose.
        record: what it has in hand, as topic[partition]@offset; None: it is no record.
        seconds: for how long, about.
        stack: where it stands, as in a traceback.
    """

    binding: str | None
    record: str | None
    seconds: float
    stack: str


class BindingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a binding gets on with one of its sources.

    Attributes:
        state: "starting", "running", "catching up", "paused", "held back", "hung", "ended" or
            "failed".
        why: what holds it back, or how it failed; None otherwise.
        rate: records handled a second, of late.
        handled: records handled since the start.
        in_flight: records that are handled, or being handled, and not finished.
        oldest_seconds: age of the oldest of them; None: there is none.
        retries: tries beyond the first since the start.
        lag: of all partitions together; None: not known.
    """

    name: str
    source: str
    state: str
    why: str | None = None
    rate: float = 0.0
    handled: int = 0
    in_flight: int = 0
    oldest_seconds: float | None = None
    retries: int = 0
    lag: int | None = None
    partitions: list[PartitionStatus] = []


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a source is read, for all its bindings.

    Attributes:
        last_commit: seconds since 1970; None: no commit in this run.
        uncommitted_seconds: for how long something finished has been waiting for a commit.
    """

    name: str
    paused: bool
    last_commit: float | None = None
    uncommitted_seconds: float | None = None


class AppStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a running app.

    Attributes:
        state: "starting", "running" or "stopping".
        seconds: since it was started, about.
        unanswered_seconds: for how long its event loop has not answered; the rest is as of then.
        problems: why it is not ready, a sentence each.
        hung: handlers that do not come back.
    """

    app: str
    pid: int
    state: str
    seconds: float
    unanswered_seconds: float | None = None
    problems: list[str] = []
    bindings: list[BindingStatus] = []
    sources: list[SourceStatus] = []
    hung: list[Hung] = []


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an app gets on, as far as its progress shows.

    Attributes:
        live: its event loop answers; if not, only a restart can help.
        ready: it does what it is there for: it has started, what waits for it is handled, what is
            handled becomes durable, and what is durable is committed.
        problems: why it is not ready, a sentence each.
    """

    live: bool
    ready: bool
    problems: list[str] = []
