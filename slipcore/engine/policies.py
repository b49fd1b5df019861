"""What happens when decoding, handling or sinking fails: rules, and the choice among them.

Without a rule the error is raised. Its record is not finished, what it wrote is undone, what came
before it is flushed and committed, the app stops in order, and the record is the first of the next
run. The error says where it happened.
"""

from __future__ import annotations

from asyncio import CancelledError, current_task
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import random
from typing import Any, Final, Literal, TypeAlias, get_args

from slipcore.interfaces import ConfigError, DecodeError, FencedError, Record

Errors: TypeAlias = "type[Exception] | tuple[type[Exception], ...]"
"""Types of errors, as in an `except` clause."""

Stage: TypeAlias = Literal["decoding", "handling", "sinking"]
"""What failed."""

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, later and later; see `retry`."""

    on: tuple[type[Exception], ...]
    times: int | None
    backoff: float
    max_backoff: float
    jitter: float

    def __str__(self) -> str:
        often = "for ever" if self.times is None else f"{self.times} times"
        return f"retry {often}{_only(self.on)}"

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failed tries."""
        longest = min(self.max_backoff, self.backoff * 2.0 ** min(failures - 1, 64))
        return longest * (1 - self.jitter * random())


@dataclass(frozen=True, slots=True)
class Skip:
    """Drop the record; see `skip`."""

    on: tuple[type[Exception], ...]

    def __str__(self) -> str:
        return f"skip{_only(self.on)}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Put the record aside; see `dead_letter`."""

    sink: Any
    on: tuple[type[Exception], ...]

    def __str__(self) -> str:
        return f"dead letter{_only(self.on)}"


Rule: TypeAlias = Retry | Skip | DeadLetter
"""What `retry`, `skip` and `dead_letter` give."""

OnError: TypeAlias = "Rule | Sequence[Rule] | None"
"""A rule; several, of which the first that fits takes it; None: what the configuration says."""


def retry(
    times: int | None = 5,
    *,
    on: Errors = Exception,
    backoff: float = 1.0,
    max_backoff: float = 60.0,
    jitter: float = 0.5,
) -> Retry:
    """Try a record again, waiting twice as long each time.

    Nothing overtakes it, whatever came before it is committed meanwhile, and the consumer keeps its
    membership of the group. A stop, a pause or a rebalance does not wait for it; behind a `pipe=`
    a pause or a rebalance does, since what the pipe holds would be lost with the record.

    Args:
        times: tries after the first one; None: as many as it takes.
        on: the errors that are worth it, as in an `except` clause.
        backoff: seconds before the second try.
        max_backoff: seconds between two tries at the most.
        jitter: the part of the wait that is left to chance, 0 to 1.
    """
    if times is not None and (type(times) is not int or times < 1):
        raise ConfigError(f"retry({times!r}): times is 1 or more, or None for ever.")
    if not 0 < backoff <= max_backoff < float("inf"):
        raise ConfigError(
            f"retry(backoff={backoff!r}, max_backoff={max_backoff!r}): backoff is more than 0 "
            "seconds, and max_backoff no less than that."
        )
    if not 0 <= jitter <= 1:
        raise ConfigError(f"retry(jitter={jitter!r}): jitter is a part, 0 to 1.")
    return Retry(_types(on, "retry"), times, backoff, max_backoff, jitter)


def skip(*, on: Errors = Exception) -> Skip:
    """Drop a record that fails: it counts as finished, and is logged.

    Args:
        on: the errors that are to be skipped, as in an `except` clause.
    """
    return Skip(_types(on, "skip"))


def dead_letter(sink: Any, *, on: Errors = Exception) -> DeadLetter:
    """Put a record that fails aside, with what it was and why it failed.

    It is finished when it is durable there.

    Args:
        sink: the name of a topic; a topic, which gets the record's own bytes, whatever its codecs;
            any other sink but a cache, which gets an `Out`.
        on: the errors that are to be put aside, as in an `except` clause.
    """
    return DeadLetter(sink, _types(on, "dead_letter"))


def _types(on: Any, name: str) -> tuple[type[Exception], ...]:
    kinds = on if isinstance(on, tuple) else (on,)
    if kinds and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        return kinds
    raise ConfigError(f"{name}(on={on!r}): on is a type of Exception, or a tuple of them.")


def _only(on: tuple[type[Exception], ...]) -> str:
    return "" if Exception in on else f" on {', '.join(kind.__name__ for kind in on)}"


@dataclass(frozen=True, slots=True)
class Policies:
    """The rules of a binding; the first that fits an error takes it.

    Attributes:
        decoding, handling, sinking: None: nothing was said; (): the error is raised.
    """

    decoding: tuple[Rule, ...] | None = None
    handling: tuple[Rule, ...] | None = None
    sinking: tuple[Rule, ...] | None = None

    def __bool__(self) -> bool:
        return bool(self.decoding or self.handling or self.sinking)

    def of(self, stage: Stage) -> tuple[Rule, ...]:
        rules: tuple[Rule, ...] | None = getattr(self, stage)
        return rules or ()

    def each(self, change: Callable[[Rule], Rule]) -> Policies:
        """The same with every rule changed."""
        stages = (self.decoding, self.handling, self.sinking)
        return Policies(*(None if rules is None else tuple(map(change, rules)) for rules in stages))

    def letterboxes(self) -> list[Any]:
        """What dead letters go to."""
        every = (*self.of("decoding"), *self.of("handling"), *self.of("sinking"))
        return [rule.sink for rule in every if isinstance(rule, DeadLetter)]

    def over(self, defaults: Policies) -> Policies:
        """These, and those where these say nothing."""
        return Policies(
            defaults.decoding if self.decoding is None else self.decoding,
            defaults.handling if self.handling is None else self.handling,
            defaults.sinking if self.sinking is None else self.sinking,
        )


def check_rules(given: Any, argument: str) -> tuple[Rule, ...] | None:
    """Rules as a tuple.

    Args:
        given: a rule, several in order, or None.
        argument: what they were given as.

    Raises:
        ConfigError: something that is no rule.
    """
    if given is None:
        return None
    rules = tuple(given) if isinstance(given, list | tuple) else (given,)
    for rule in rules:
        if not isinstance(rule, Rule):
            raise ConfigError(
                f"{argument}= takes retry(...), skip(...) or dead_letter(...), or a list of them, "
                f"not {rule!r}."
            )
    return rules


def choose(
    rules: Sequence[Rule], error: BaseException, failures: float, *, final: bool = False
) -> Rule | None:
    """The first rule that takes an error; None: it is to be raised.

    Args:
        failures: how many tries have failed, this one included.
        final: whether there can't be another try.
    """
    if isinstance(error, FencedError):  # who has lost the state must not go on
        return None
    for rule in rules:
        if not isinstance(error, rule.on):
            continue
        if not isinstance(rule, Retry):
            return rule
        if not final and (rule.times is None or failures <= rule.times):
            return rule
    return None


class GivenBack(Exception):  # noqa: N818  # nothing has gone wrong
    """The record in hand waits for another try, and is wanted back by a stop or a rebalance."""


def undecodable(error: DecodeError, record: Record) -> DecodeError:
    """The error of a record that its codec can't read, with the record's place."""
    return DecodeError(
        f"Record {place(record)} can't be decoded: {error}",
        record.topic,
        record.partition,
        record.offset,
    )


def raised(error: BaseException, reader: str, item: Any) -> None:
    """Note on an error who was handling what; once, by the first that sees it."""
    known = isinstance(item, Record)
    note = f"raised while {reader} was handling {place(item)}" if known else f"raised in {reader}"
    if isinstance(error, Exception) and not getattr(error, "__notes__", None):
        error.add_note(note)


def failure(error: BaseException) -> BaseException:
    """What is to be dealt with: a cancellation that this task was not asked for is a failure."""
    task = current_task()
    if not isinstance(error, CancelledError) or task is None or task.cancelling():
        return error
    failed = RuntimeError("cancelled, though not by the app: something that it awaits was")
    failed.__cause__ = error
    return failed


def message(error: BaseException) -> str:
    """What an error says, also where saying it fails."""
    try:
        return str(error)
    except Exception as reason:
        return f"(its message can't be had: {type(reason).__name__})"


def place(record: Record) -> str:
    """A record's place in the way everybody writes it: topic[partition]@offset."""
    return f"{record.topic}[{record.partition}]@{record.offset}"
