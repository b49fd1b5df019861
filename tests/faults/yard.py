"""One run: an app on real servers, what is done to it, and what it has left."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import uuid4

from tests.faults import bare_state
from tests.faults.bare import Entry, Log, Offsets, Unreachable
from tests.faults.bare_kafka import KafkaLog
from tests.faults.bare_state import State
from tests.faults.checker import End, Evidence, Place, Sample, Verdict, judge
from tests.faults.feeding import Feed
from tests.faults.lane import Lane
from tests.faults.topics import Topics
from tests.faults.wanted import Crash, Wanted
from tests.faults.watching import Watch
from tests.faults.workers import FaultError, Worker

T = TypeVar("T")

PATIENCE: Final = 60.0
"""Seconds in which what has to happen happens, whatever else the machine does."""
_POLL: Final = 0.02

SESSION_MS: Final = 3000
REQUEST_MS: Final = 5000
LEASE: Final = 2.0
"""Seconds that an app's claim on its state on Redis outlives it."""
KAFKA: Final[Mapping[str, Any]] = {
    "session_timeout_ms": SESSION_MS,
    "heartbeat_interval_ms": 300,
    "rebalance_timeout_ms": 10_000,
    "request_timeout_ms": REQUEST_MS,
    "metadata_max_age_ms": 2_000,
}
"""Members that notice each other soon."""


class Yard:
    """A run of one fault. Left, its workers are gone.

    What is left to chance is drawn from `chance`, so that a seed is one run.

    Attributes:
        chance: decides times and places.
        lane: the servers.
        evidence: what is known of the run.
        recoveries: seconds from the end of each fault to the next result.
        wanted: how workers work, unless told otherwise at their start.
        also: what ends with it.
        environment: variables that workers are started with.
        redis_at: where the Redis server with the state is.
    """

    def __init__(self, lane: Lane, directory: Path, seed: int, without: str | None = None) -> None:
        self.chance = Random(seed)
        self.lane = lane
        self.directory = directory
        self.recoveries: list[float] = []
        self.workers: list[Worker] = []
        self.wanted: dict[str, Any] = {"without": without}
        self.evidence = Evidence(counts=True, policy="raise")
        self.name = f"yard-{uuid4().hex[:8]}"
        self.also = ExitStack()
        self.environment: dict[str, str] = {}
        self.redis_at: Callable[[], tuple[str, int]] = lane.redis_place
        self.cache: str | None = None
        self._topics_on = ""
        self._log: Log | None = None
        self._feed = Feed(lambda pairs: self.log.write(self.orders, pairs))
        self._watch: Watch | None = None
        self._complaints: list[str] = []
        self._deleted: list[Entry] = []
        self._frozen_at: dict[str, Offsets] = {}

    # --- before the fault -----------------------------------------------------------------

    def prepare(
        self,
        *,
        partitions: int | None = None,
        cache: str | None = None,
        address: str | None = None,
        log: Log | None = None,
        topics: Topics | None = None,
        state: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        crashing: bool = False,
        **wanted: Any,
    ) -> None:
        """Make the topics, write the slip.toml, begin to look.

        Args:
            partitions: of each topic; by default left to chance.
            cache: on what state is kept, "" for none; by default left to chance.
            address: where workers reach Kafka; by default the lane's broker, without a proxy.
            log: the bare client; by default one of that broker.
            topics: on what topics are, if not on Kafka.
            state: settings of the backend that keeps state.
            settings: of the topics' backend; on Kafka, beside the address and `KAFKA`.
            crashing: whether the backends are those that can kill their process.
            wanted: how workers work, see `Wanted`.
        """
        if cache is None:
            cache = self.chance.choice(("rocks", "sqlite", "redis"))
        self.cache = cache or None
        count = partitions or self.chance.choice((1, 2, 4))
        self.wanted |= {"counts": bool(cache), **wanted}
        self.evidence.counts = bool(cache)
        self.evidence.policy = self.wanted.get("policy", "raise")
        if topics is None:
            reached = address or self.lane.broker.internal_address
            log = log if log is not None else KafkaLog(self.lane.broker.internal_address)
            topics = Topics("kafka", log, {"bootstrap_servers": reached, **KAFKA})
        self._log = topics.log
        for each in (self.orders, self.results, self.letters):
            self.log.create(each, count)
        kind = "crashing-" if crashing else ""
        self._topics_on = f"{kind}{topics.kind}"
        tables: dict[str, Mapping[str, Any]] = {
            "app": {"name": self.name},
            "defaults": {"topic": self._topics_on, "cache": f"{kind}{cache or 'sqlite'}"},
            f"backends.{self._topics_on}": {**topics.settings, **(settings or {})},
        }
        if cache == "redis":
            tables["caches.counts"] = {"url": self.lane.redis.url, "lease": LEASE, **(state or {})}
        elif state:
            tables["caches.counts"] = state
        (self.directory / "slip.toml").write_text(_toml(tables), encoding="utf-8")
        self._watch = Watch(self.look)
        self._watch.__enter__()

    @property
    def log(self) -> Log:
        """The bare client of the broker, once the run is prepared."""
        if self._log is None:
            raise FaultError("Nothing is prepared: call prepare() first.")
        return self._log

    @property
    def orders(self) -> str:
        """The topic that workers read."""
        return f"{self.name}-orders"

    @property
    def results(self) -> str:
        """The topic that they write."""
        return f"{self.name}-results"

    @property
    def letters(self) -> str:
        """The topic of dead letters."""
        return f"{self.name}-letters"

    def fill(self, number: int, special: Mapping[int, Mapping[str, Any]] | None = None) -> None:
        """Write so many orders.

        Args:
            special: number of an order -> what is special about it: `bad`, "raises", "hangs" or
                "unreadable"; `takes`, seconds; `size` of its result, in bytes.
        """
        self._feed.fill(number, special or {})

    def feed(self, per_second: float) -> None:
        """Write orders at that rate in the background, until `finish`."""
        self._feed.begin(per_second)

    # --- workers --------------------------------------------------------------------------

    def start(
        self, *, crash: Crash | None = None, identity: str | None = "one", **wanted: Any
    ) -> Worker:
        """Start a worker.

        Args:
            crash: where it dies, with `prepare(crashing=True)`.
            identity: its `group_instance_id`: who has one need not wait, started again, until its
                former self is expelled.
            wanted: how it works, see `Wanted`.
        """
        settings = dict(self.environment)
        if identity is not None:
            table = self._topics_on.upper().replace("-", "_")
            settings[f"SLIP_BACKENDS__{table}__GROUP_INSTANCE_ID"] = identity
        name = f"w{len(self.workers) + 1}"
        made = Wanted(**{**self.wanted, **wanted, "name": name, "crash": crash})
        worker = Worker(made, self.directory, settings)
        self.workers.append(worker)
        return worker

    def kill(self, worker: Worker) -> float:
        """Kill a worker as kill -9 does; the moment."""
        worker.send(signal.SIGKILL)
        moment = time.monotonic()
        worker.wait(PATIENCE)
        self.ended(worker, orderly=False)
        return moment

    def crashed(self, worker: Worker) -> float:
        """Wait until a worker has killed itself; the moment.

        Raises:
            FaultError: it goes on, or ends in another way.
        """
        code = worker.wait(PATIENCE)
        moment = time.monotonic()
        if code != -signal.SIGKILL:
            raise FaultError(f"A worker did not die where it had to. {worker.told()}")
        self.ended(worker, orderly=False)
        return moment

    def terminate(
        self,
        worker: Worker,
        seconds: float = PATIENCE,
        codes: tuple[int, ...] = (0,),
        *,
        note: bool = True,
    ) -> float:
        """Stop a worker with SIGTERM, and wait for its end; how long it took.

        Args:
            seconds: how long it may take.
            codes: the exit codes that it may have.
            note: whether its end is noted, for which the broker has to be there.

        Raises:
            FaultError: it takes longer, or its exit code is another one.
        """
        worker.until_started()
        began = time.monotonic()
        worker.send(signal.SIGTERM)
        code = worker.wait(seconds)
        took = time.monotonic() - began
        self._check_code(worker, code, codes)
        if note:
            self.ended(worker, orderly=code == 0)
        return took

    def fails(self, worker: Worker, saying: str, *, note: bool = True) -> float:
        """Wait until a worker ends by itself, with exit code 1 and a sentence; the moment.

        Raises:
            FaultError: it goes on, ends in another way, or does not say that.
        """
        code = worker.wait(PATIENCE)
        moment = time.monotonic()
        self._check_code(worker, code, (1,))
        if saying not in worker.log:
            raise FaultError(f'A worker did not say "{saying}". {worker.told()}')
        if note:
            self.ended(worker, orderly=False)
        return moment

    def _check_code(self, worker: Worker, code: int, codes: tuple[int, ...]) -> None:
        if code not in codes:
            raise FaultError(f"A worker ended with {code}, not {codes}. {worker.told()}")

    def freeze(self, worker: Worker) -> None:
        """Stop a worker as SIGSTOP does: it hangs, and does not know it."""
        worker.send(signal.SIGSTOP)
        self._frozen_at[worker.name] = self.committed()

    def thaw(self, worker: Worker) -> None:
        """Let it go on, behind its time."""
        self.expelled(worker, self._frozen_at[worker.name])
        worker.send(signal.SIGCONT)

    def expelled(
        self, worker: Worker, committed: Offsets, seconds: float = SESSION_MS / 1000
    ) -> None:
        """Note that the group has given a worker's partitions up, while it lives.

        Args:
            committed: where the group was when it was last heard.
            seconds: what it writes until then, when it has noticed, was on the way.
        """
        until = int((time.time() + seconds) * 1000)
        self.evidence.ends.append(End(worker.name, False, committed, until))

    def ended(self, worker: Worker, *, orderly: bool) -> None:
        """Note where the group and its state are now that a worker has ended."""
        if any(end.by == worker.name and end.until is None for end in self.evidence.ends):
            return
        self.evidence.ends.append(End(worker.name, orderly, self.committed()))
        if self.cache is not None and not any(each.alive for each in self.workers):
            self._keep_state()

    def committed(self) -> Offsets:
        """Where the group is."""
        return self._patiently(lambda: self.log.committed(self.name, self.orders))

    def _keep_state(self) -> None:
        state = self.state()
        if state is not None:
            self.evidence.states.append(state)

    def state(self) -> State | None:
        """What the store holds, while nobody has it."""
        if self.cache == "redis":
            return bare_state.of_redis(*self.redis_at(), self.name)
        read = bare_state.of_rocks if self.cache == "rocks" else bare_state.of_sqlite
        return read(self.directory / ".slip")

    # --- waiting --------------------------------------------------------------------------

    def handled(self) -> int:
        """How many results and letters there are."""
        return self.log.count(self.results) + self.log.count(self.letters)

    def until_handled(self, number: int, seconds: float = PATIENCE) -> None:
        """Wait for so many more results, or for all that there can be."""
        goal = self._patiently(self.handled) + number
        self._until(lambda: self.handled() >= goal or self.done(), f"{number} results", seconds)

    def recover(self, since: float, seconds: float = PATIENCE) -> None:
        """Wait for the next result; how long it took since a moment is a time to recover.

        Where nothing is left to be handled there is none.
        """
        before = self._patiently(self.handled)
        self._until(lambda: self.handled() > before or self.done(), "a result", seconds)
        if self._patiently(self.handled) > before:
            self.recoveries.append(time.monotonic() - since)

    def recover_everywhere(self, since: float, seconds: float = PATIENCE) -> None:
        """The same for every partition: each is committed further than it is now."""
        before = self.committed()

        def moves() -> bool:
            ends, now = self.log.ends(self.orders), self.log.committed(self.name, self.orders)
            return all(now.get(p, 0) > before.get(p, 0) or now.get(p, 0) >= ends[p] for p in ends)

        self._until(moves, "progress in every partition", seconds)
        self.recoveries.append(time.monotonic() - since)

    def done(self) -> bool:
        """Whether all orders that there are are committed."""
        ends = self.log.ends(self.orders)
        committed = self.log.committed(self.name, self.orders)
        return all(committed.get(p, 0) >= end for p, end in ends.items())

    def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with suppress(Unreachable):
                if condition():
                    return
            self._check_workers()
            if time.monotonic() > deadline:
                told = "\n".join(w.told() for w in self.workers if w.alive)
                raise FaultError(f"Not within {seconds:g} s: {what}. {told}")
            time.sleep(_POLL)

    def _check_workers(self) -> None:
        known = {end.by for end in self.evidence.ends}
        for worker in self.workers:
            if not worker.alive and worker.name not in known:
                if worker.wanted.crash is not None:
                    self.ended(worker, orderly=False)
                else:
                    raise FaultError(f"A worker has ended by itself. {worker.told()}")

    def _patiently(self, ask: Callable[[], T]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return ask()
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL)

    # --- after the fault ------------------------------------------------------------------

    def complain(self, text: str) -> None:
        """Something of this fault alone is not as it has to be."""
        self._complaints.append(text)

    def remember(self, orders: Iterable[Entry]) -> None:
        """These orders were there, and are deleted."""
        self._deleted += orders

    def forget(self, places: Iterable[Place]) -> None:
        """These orders were deleted before anybody had read them: nothing comes of them."""
        self.evidence.forgotten |= frozenset(places)

    def finish(self, seconds: float = PATIENCE) -> None:
        """Let what is left be handled, and stop the workers in order."""
        self._feed.end()
        if not any(worker.alive for worker in self.workers):
            self.start()
        self._until(self.done, "all orders handled", seconds)
        for worker in self.workers:
            if worker.alive:
                self.terminate(worker)

    def verdict(self) -> Verdict:
        """What is wrong with what the run has left."""
        self._stop_watching()
        evidence = self.evidence
        evidence.acknowledged = self._feed.acknowledged
        evidence.committed = self.committed()
        evidence.orders, evidence.results, evidence.letters = (
            self.log.read(topic) for topic in (self.orders, self.results, self.letters)
        )
        evidence.orders = [*self._deleted, *evidence.orders]
        verdict = judge(evidence)
        verdict.complaints += self._complaints
        return verdict

    def look(self) -> Sample:
        """Where the group is, and then how long the topics are."""
        committed = self.log.committed(self.name, self.orders)
        return Sample(committed, self.log.ends(self.results), self.log.ends(self.letters))

    def _stop_watching(self) -> None:
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.__exit__()
            self.evidence.samples = watch.samples

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._feed.stop()
        self._stop_watching()
        for worker in self.workers:
            worker.close()
        if self._log is not None:
            self._log.close()
        self.also.close()


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
