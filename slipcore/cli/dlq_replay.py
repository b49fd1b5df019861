"""`slip dlq replay` and `slip dlq drop`: ask, do it, say what became of the letters."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import click

from slipcore.cli.dlq_box import Desk, at_desk
from slipcore.cli.dlq_list import count_of, print_letters
from slipcore.cli.exits import FAILED
from slipcore.cli.printing import print_text, say_failure
from slipcore.deadletters.letters import Wanted
from slipcore.deadletters.replaying import sendable, target_of
from slipcore.deadletters.survey import Outcome
from slipcore.interfaces import ConfigError


def replay_letters(
    topic: str, target: str | None, wanted: Wanted, *, to: str | None, dry_run: bool, yes: bool
) -> int:
    """Send the records of letters again and return the exit code."""

    def work(desk: Desk) -> int:
        if to == topic:
            raise ConfigError(
                f"--to {to} is where the letters are: name the topic that they are to go to."
            )
        if dry_run or _is_asked(yes):
            found = desk.run(lambda box: box.survey())
            letters, refused = sendable(found.choose(wanted), to)
            outcome = Outcome(Counter(target_of(letter, to) for letter in letters), refused)
            if dry_run:
                print_letters(letters, found)
                return _said(topic, outcome, "would be replayed")
            if letters:
                click.confirm(f"Replay {_where(outcome.done)}?", abort=True)
        return _said(topic, desk.run(lambda box: box.replay(wanted, to)), "replayed")

    return at_desk(topic, target, work)


def drop_letters(
    topic: str, target: str | None, wanted: Wanted, *, dry_run: bool, yes: bool
) -> int:
    """Mark letters as dropped and return the exit code."""

    def work(desk: Desk) -> int:
        if dry_run or _is_asked(yes):
            found = desk.run(lambda box: box.survey())
            letters = found.choose(wanted)
            outcome = Outcome(Counter({"": len(letters)} if letters else {}))
            if dry_run:
                print_letters(letters, found)
                return _said(topic, outcome, "would be dropped")
            if letters:
                click.confirm(f"Drop {_where(outcome.done)}?", abort=True)
        return _said(topic, desk.run(lambda box: box.drop(wanted)), "dropped")

    return at_desk(topic, target, work)


def _is_asked(yes: bool) -> bool:
    return not yes and sys.stdin.isatty()


def _said(topic: str, outcome: Outcome, what: str) -> int:
    """Say what became of letters, and return the exit code."""
    for letter, why in outcome.refused:
        say_failure(f"Letter {letter.name} of {topic} can't be replayed: {why}.")
    if outcome.done:
        print_text(f"{_where(outcome.done, what)}.")
    elif not outcome.refused:
        print_text(
            f"Nothing is {what.split()[-1]}: no letter of {topic} that still waits is among those "
            "asked for; slip dlq list --all shows what became of the others."
        )
    return FAILED if outcome.refused else 0


def _where(done: Mapping[str, int], what: str = "") -> str:
    """So many letters, with what is done to them, and the topics that they go to."""
    parts: Sequence[str] = [
        " ".join(filter(None, (count_of(count), what, f"to {name}" if name else "")))
        for name, count in done.items()
    ]
    return ", ".join(parts)
