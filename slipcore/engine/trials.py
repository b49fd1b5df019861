"""How a binding deals with records that fail: which rule takes them, and what was tried."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from slipcore.engine.letters import Failure, Letterbox, letter
from slipcore.engine.policies import (
    DeadLetter,
    Policies,
    Retry,
    Rule,
    Stage,
    choose,
    message,
    place,
)
from slipcore.interfaces import Record

Original: TypeAlias = Callable[[Record], Record | None]
"""Finds the bytes of a record that was decoded; None where they are not at hand."""

MOST_SAID: Final = 1_000
"""Characters of an error's message that the log has of it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about a record that failed.

    Attributes:
        rule: None: the error is raised.
        failures: how many tries have failed.
    """

    rule: Rule | None
    stage: Stage
    error: BaseException
    failures: int


@dataclass(slots=True)
class Totals:
    """What there was in a run."""

    retries: int = 0


class Trials:
    """The tries of one lane, or of one of the records that it has in hand side by side.

    Attributes:
        rules: the binding's; the sinks of dead letters are letterboxes.
        original: finds the bytes of a record that was decoded.
        totals: of the lane.
        size: how many records fail together; 1: each by itself.
        sinking: the last error that came from a sink, and how often that was tried; 0: the sink is
            broken, and no rule can take it.
    """

    def __init__(self, rules: Policies, binding: str, totals: Totals | None = None) -> None:
        self.rules = rules
        self.binding = binding
        self.original: Original = lambda _: None
        self.totals = Totals() if totals is None else totals
        self.size = 1
        self.sinking: tuple[BaseException, int] | None = None
        self._failing: Any = None
        self._failures = 0

    def apart(self, original: Original) -> Trials:
        """Those of one record beside others."""
        own = Trials(self.rules, self.binding, self.totals)
        own.original = original
        return own

    def attempt(self, item: Any) -> int:
        """The number of the try that an item is in; 1: the first."""
        return self._failures + 1 if item is not None and item is self._failing else 1

    def passed(self) -> None:
        """All that failed before is through."""
        self._failing, self._failures, self.size = None, 0, 1

    def judge(self, error: BaseException, item: Any, *, final: bool = False) -> Verdict:
        """What to do about an item whose handler, or whose sinks, failed."""
        if self.sinking is not None and self.sinking[0] is error:
            failures = self.sinking[1]
            self.sinking = None
            rules = self.rules.of("sinking") if failures else ()
            rule = choose(rules, error, failures, final=True)
            return Verdict(rule, "sinking", error, failures)
        return self._judge("handling", error, item, final)

    def judge_undecodable(self, error: BaseException, record: Record) -> Verdict:
        """What to do about a record that its codec can't read."""
        return self._judge("decoding", error, record, False)

    def _judge(self, stage: Stage, error: BaseException, item: Any, final: bool) -> Verdict:
        self._failures = self.attempt(item)
        self._failing = item
        rule = choose(self.rules.of(stage), error, self._failures, final=final)
        return Verdict(rule, stage, error, self._failures)

    def again(self, verdict: Verdict, rule: Retry, item: Any) -> float:
        """Take note that there is another try; after how many seconds."""
        self.totals.retries += 1
        seconds = rule.delay(verdict.failures)
        limit = "" if rule.times is None else f" of {rule.times}"
        logger.warning(
            "%s: %s failed in %s and is tried again in %.3g s (retry %d%s): %s",
            self.binding,
            several(item, self.size),
            verdict.stage,
            seconds,
            verdict.failures,
            limit,
            told(verdict.error),
        )
        return seconds

    async def dispose(self, verdict: Verdict, item: Any) -> None:
        """Put an item aside, or drop it.

        Raises:
            Exception: the letter is not taken.
        """
        rule = verdict.rule
        what = "skipped"
        if isinstance(rule, DeadLetter):
            box: Letterbox = rule.sink
            original = self.original(item) if isinstance(item, Record) else None
            failure = Failure(verdict.error, verdict.failures)
            await box.put(letter(item, original, self.binding, verdict.stage, failure))
            what = f"sent to {box.name}"
        self.passed()
        logger.warning(
            "%s: %s failed in %s and is %s, at try %d: %s",
            self.binding,
            named(item),
            verdict.stage,
            what,
            verdict.failures,
            told(verdict.error),
        )


def named(item: Any) -> str:
    """What to call an item in a message: never its value."""
    return place(item) if isinstance(item, Record) else "an item"


def several(first: Any, size: int) -> str:
    """What to call so many items that came together."""
    if size == 1:
        return named(first)
    return f"a batch of {size:,}" + (
        f" from {place(first)} on" if isinstance(first, Record) else ""
    )


def told(error: BaseException) -> str:
    """An error for the log: its first thousand characters, those that can be printed."""
    text = message(error)
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in text[:MOST_SAID])
    return f"{type(error).__name__}: {shown}{'...' if len(text) > MOST_SAID else ''}"
