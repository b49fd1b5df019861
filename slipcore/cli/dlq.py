"""`slip dlq`: look at dead letters, replay them, drop them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from slipcore.deadletters.letters import Wanted

F = TypeVar("F", bound=Callable[..., Any])

_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
_topic = click.argument("topic")
_target = click.argument("target", required=False)


def _filters(command: F) -> F:
    """The options that say which letters are meant."""
    for option in reversed(
        (
            click.option(
                "--error", metavar="GLOB", help="Of this type: ValueError, shop.*, *Timeout*."
            ),
            click.option("--binding", metavar="NAME", help="Of this handler."),
            click.option(
                "--stage",
                type=click.Choice(["decoding", "handling", "sinking"]),
                help="Where it failed.",
            ),
            click.option("--since", metavar="TIME", help="Put aside then or later."),
            click.option("--until", metavar="TIME", help="Put aside before."),
            click.option("--limit", type=click.IntRange(min=1), help="So many, the oldest."),
        )
    ):
        command = option(command)
    return command


def _acting(command: F) -> F:
    """The options of what changes something."""
    for option in reversed(
        (
            click.option(
                "--id", "ids", multiple=True, metavar="ID", help="This one; may be repeated."
            ),
            click.option("--dry-run", is_flag=True, help="Show which letters are meant; no more."),
            click.option("--yes", is_flag=True, help="Do not ask first."),
        )
    ):
        command = option(command)
    return command


@click.group(short_help="Look at dead letters, replay them, drop them.")
def dlq() -> None:
    """Look at the letters in a topic of dead letters, replay them, drop them.

    TOPIC is its name, as in slip.toml or in code. The app may run meanwhile: nothing is read in
    its consumer group. What became of a letter is noted in the topic itself, and seen from any
    machine.

    \b
      slip dlq list orders-dead --since 2h
      slip dlq show orders-dead 0:15
      slip dlq replay orders-dead --error ConnectionError --dry-run
      slip dlq drop orders-dead --id 0:15

    TIME is so long ago, 90s, 30m, 2h, 7d, or a moment, 2026-01-31T08:00Z, UTC unless it says.
    """


@dlq.command("list", short_help="List the letters that wait.")
@_topic
@_target
@_filters
@click.option("--all", "all_of_them", is_flag=True, help="Those too that were replayed or dropped.")
@_json
def list_letters(
    topic: str, target: str | None, all_of_them: bool, as_json: bool, **filters: Any
) -> None:
    """List the letters of TOPIC that were neither replayed nor dropped, the oldest first.

    \b
      slip dlq list orders-dead
      slip dlq list orders-dead shop.py --error 'shop.*' --since 2h
      slip dlq list orders-dead --all --json

    \b
    --json prints a list of objects:
      id               partition:offset of the letter
      time             when it was put aside, ms since 1970
      binding, stage, error, message, tries
      topic, partition, offset, timestamp
                       of the record; null where it comes from no topic
      key_is, value_is "bytes", "null", "json" or "repr"
      replays          how often it was replayed before it failed
      state            "waiting", "replayed" or "dropped"
      state_time       since when, or null
      to               the topic that it was replayed to, or null

    \b
    Exit codes:
      0  listed, and be it none
      1  the topic can't be read
      2  there is no such topic, or something is set wrong
    """
    from slipcore.cli.dlq_list import show_list

    wanted = _wanted(**filters)
    sys.exit(show_list(topic, target, wanted, all_of_them=all_of_them, as_json=as_json))


@dlq.command(short_help="Show all of one letter.")
@_topic
@click.argument("id_")
@_target
@click.option(
    "--raw",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the value to this file, byte for byte.",
)
@_json
def show(topic: str, id_: str, target: str | None, raw: Path | None, as_json: bool) -> None:
    """Show the letter ID of TOPIC: key, value and headers as they were, and why it failed.

    What is no UTF-8 is shown in hexadecimal.

    \b
      slip dlq show orders-dead 0:15
      slip dlq show orders-dead 0:15 --raw order.bin

    \b
    --json prints an object with what `slip dlq list` has, and:
      key, value     a string where it is UTF-8, else null
      key_base64, value_base64
      headers        pairs of a name and a value in Base64
      traceback

    \b
    Exit codes:
      0  shown
      1  the topic can't be read
      2  there is no such topic or letter, or something is set wrong
    """
    from slipcore.cli.dlq_list import show_letter

    sys.exit(show_letter(topic, _id(id_), target, raw=raw, as_json=as_json))


@dlq.command(short_help="Send the records of letters again.")
@_topic
@_target
@_filters
@_acting
@click.option("--to", metavar="TOPIC", help="Send them there, not to the topics they come from.")
def replay(
    topic: str, target: str | None, to: str | None, dry_run: bool, yes: bool, **filters: Any
) -> None:
    """Send the records of letters again, as they were, to the topics that they come from.

    Key, value, headers, timestamp and partition are the original ones, and two headers are added:
    slip-dlq-replayed has the letter, slip-dlq-replays counts. Whatever is durable there is marked
    in TOPIC, batch by batch, and is not replayed again; a crash in between may repeat one batch of
    500 at the most. One replay or drop at a time works on a topic.

    On a terminal it asks first.

    \b
      slip dlq replay orders-dead --dry-run
      slip dlq replay orders-dead --error ConnectionError --limit 10
      slip dlq replay orders-dead --id 0:15 --id 0:16 --to orders-again

    \b
    Exit codes:
      0  all that are meant are replayed, and be it none
      1  one could not be, a topic failed, or another replay is under way
      2  there is no such topic or letter, or something is set wrong
    """
    from slipcore.cli.dlq_replay import replay_letters

    wanted = _wanted(**filters)
    sys.exit(replay_letters(topic, target, wanted, to=to, dry_run=dry_run, yes=yes))


@dlq.command(short_help="Let letters be seen no more.")
@_topic
@_target
@_filters
@_acting
def drop(topic: str, target: str | None, dry_run: bool, yes: bool, **filters: Any) -> None:
    """Mark letters as dropped: `slip dlq list` shows them with --all alone, and none is replayed.

    The letters themselves stay as long as the topic keeps them. On a terminal it asks first.

    \b
      slip dlq drop orders-dead --binding order --until 7d
      slip dlq drop orders-dead --id 0:15 --yes

    \b
    Exit codes:
      0  all that are meant are dropped, and be it none
      1  a topic failed, or a replay is under way
      2  there is no such topic or letter, or something is set wrong
    """
    from slipcore.cli.dlq_replay import drop_letters

    sys.exit(drop_letters(topic, target, _wanted(**filters), dry_run=dry_run, yes=yes))


def _wanted(
    *,
    since: str | None,
    until: str | None,
    ids: tuple[str, ...] = (),
    **filters: Any,
) -> Wanted:
    from slipcore.cli.times import moment
    from slipcore.deadletters.letters import Wanted

    try:
        return Wanted(
            since=None if since is None else moment(since),
            until=None if until is None else moment(until),
            ids=tuple(map(_id, ids)),
            **filters,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _id(text: str) -> tuple[int, int]:
    from slipcore.deadletters.letters import parse_id

    try:
        return parse_id(text)
    except ValueError:
        raise click.UsageError(
            f"'{text}' is no letter: write its partition and offset, 0:15, as slip dlq list does."
        ) from None
