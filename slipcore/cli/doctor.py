"""`slip doctor`: whether everything that is configured answers, and what is missing there."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final

import click
import msgspec

from slipcore.app import App
from slipcore.cli.configured import (
    UNNAMED,
    Configured,
    by_default,
    in_code,
    in_file_and_environment,
    of_backends,
    sections,
)
from slipcore.cli.exits import FAILED, MISCONFIGURED
from slipcore.cli.printing import PIPED_WIDTH, print_json, say_failure
from slipcore.config import Config
from slipcore.interfaces import Probed, Probing, Secret, SlipError
from slipcore.settings import MASK, Setting, mask

RESERVE: Final = 8.0
"""Seconds of the deadline that are kept back, half of it at the most: before them a backend has to
say itself why there is no answer."""

INDENT: Final = "  "


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one backend with one set of options. Field names are stable.

    Attributes:
        backend: None where none could be chosen.
        resources: what stands on it, as "topic words".
        status: "answered", "failed", "misconfigured", or "not checked" where the backend offers
            no way to ask.
        answered: who did; None: nobody.
        version: of the server or library; None: it can't be told.
        missing: what is not there yet, a sentence each.
        seconds: how long it took.
        problem: why it did not answer, or what is set wrong.
    """

    backend: str | None
    resources: list[str]
    status: str
    answered: str | None = None
    version: str | None = None
    missing: list[str] = []
    seconds: float = 0.0
    problem: str | None = None


@dataclass(slots=True)
class _Asked:
    """Resources that one question is asked for."""

    backend: str
    load: Callable[[], object]
    options: Any
    resources: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def examine(app: App | None, *, timeout: float, as_json: bool) -> int:
    """Ask all backends at once, print what they say, and return the exit code.

    Where one neither answered nor gave up in time, the process ends here.

    Args:
        app: whose resources; None: all that is configured, and the defaults.
        timeout: seconds for all of it.
    """
    # What clients log while they try is told again, better, by what they raise.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        own = app if app is not None else App(config=Config.load())
        own.plugins.load()
        wrong, asked = _to_ask(own, _resources(own, of_app=app is not None))
        wrong += [_misconfigured(problem) for _, problem in sections(own.config, own.plugins)]
    except SlipError as error:
        say_failure(str(error))
        return MISCONFIGURED
    found, all_done = _ask_all(asked, own, timeout)
    checked = [*found, *wrong]
    if as_json:
        print_json(checked)
    else:
        click.echo("\n".join(_lines(checked)))
    statuses = {row.status for row in checked}
    code = FAILED if "failed" in statuses else 0
    code = MISCONFIGURED if "misconfigured" in statuses else code
    if not all_done:  # threads that a client waits in would keep the process
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _resources(app: App, *, of_app: bool) -> list[Configured]:
    config, plugins = app.config, app.plugins
    configured = in_file_and_environment(config, plugins)
    if of_app:
        return [*in_code(app), *(it for it in configured if it.kind == "codec")]
    found = [*configured, *by_default(config, plugins)]
    return [*found, *of_backends(config, plugins, found)]


def _to_ask(app: App, resources: Sequence[Configured]) -> tuple[list[Checked], list[_Asked]]:
    """What can't be asked, and the questions, one for all that has equal options."""
    wrong: list[Checked] = []
    asked: list[_Asked] = []
    for resource in resources:
        title = _title(resource)
        choice = resource.choice
        if choice is None or resource.problem is not None:
            backend = choice.backend.name if choice is not None else None
            wrong.append(_misconfigured(resource.problem, backend, title))
            continue
        options = choice.options()
        if resource.kind == "codec" and not isinstance(options, Probing):
            continue  # it talks to nobody
        for one in asked:
            if one.backend == choice.backend.name and one.options == options:
                break
        else:
            one = _Asked(choice.backend.name, choice.backend.load, options)
            asked.append(one)
        if resource.name != UNNAMED:
            one.names.append(resource.name)
        one.resources.append(title)
    return wrong, asked


def _ask_all(asked: Sequence[_Asked], app: App, timeout: float) -> tuple[list[Checked], bool]:
    """All answers within the deadline, and whether every question has come to its end."""
    answers: SimpleQueue[tuple[int, Probed | str | None, float]] = SimpleQueue()
    waiting: set[int] = set()
    found: dict[int, Checked] = {}
    for number, one in enumerate(asked):
        try:
            one.load()  # what can't be loaded could not run either
        except SlipError as error:
            found[number] = _checked(one, _without_secrets(str(error), one.options), 0.0)
        else:
            waiting.add(number)

    def run(number: int) -> None:
        answers.put((number, *_ask(asked[number], app, timeout)))

    began = time.monotonic()  # how long the imports took says nothing of the servers
    for number in waiting:
        # A thread for each, and none that is waited for: a client may block, or never return.
        Thread(target=run, args=(number,), daemon=True).start()
    while waiting and (left := began + timeout - time.monotonic()) > 0:
        try:
            number, answer, seconds = answers.get(timeout=left)
        except Empty:
            break
        waiting.discard(number)
        found[number] = _checked(asked[number], answer, seconds)
    for number in waiting:
        found[number] = _checked(
            asked[number], f"there was no answer within {timeout:g} s", timeout
        )
    return [found[number] for number in sorted(found)], not waiting


def _ask(one: _Asked, app: App, timeout: float) -> tuple[Probed | str | None, float]:
    """What it says, or why it says nothing, or None where it can't be asked; and the seconds."""
    began = time.monotonic()
    answer: Probed | str | None
    patience = timeout - min(RESERVE, timeout / 2)
    try:
        if isinstance(one.options, Probing):
            answer = asyncio.run(one.options.probe(one.names, app.scope, patience))
        elif not getattr(one.options, "outlives_process", True):
            answer = Probed("in memory, as long as the process lives")
        else:
            answer = None
    except SlipError as error:
        answer = _without_secrets(str(error), one.options)
    except Exception as error:  # a client's own mistake is told as it is, and the others go on
        answer = _without_secrets(f"{type(error).__name__}: {error}", one.options)
    return answer, time.monotonic() - began


def _checked(one: _Asked, answer: Probed | str | None, seconds: float) -> Checked:
    row = Checked(
        backend=one.backend,
        resources=one.resources,
        status="failed",
        seconds=round(seconds, 3),
        problem=answer if isinstance(answer, str) else None,
    )
    if isinstance(answer, Probed):
        return msgspec.structs.replace(
            row,
            status="answered",
            answered=answer.answered,
            version=answer.version,
            missing=list(answer.missing),
        )
    if answer is None:
        why = "it can't be asked without being opened, which could make what is not there"
        return msgspec.structs.replace(row, status="not checked", problem=why)
    return row


def _misconfigured(
    problem: str | None, backend: str | None = None, resource: str | None = None
) -> Checked:
    resources = [resource] if resource is not None else []
    return Checked(backend=backend, resources=resources, status="misconfigured", problem=problem)


def _without_secrets(text: str, options: Any) -> str:
    for name in getattr(options, "__struct_fields__", ()):
        value = getattr(options, name)
        if isinstance(value, Secret) and value.reveal():
            text = text.replace(value.reveal(), MASK)
    return str(mask({"problem": Setting(text, "")})["problem"])


def _title(resource: Configured) -> str:
    kind = resource.kind.replace("_", " ")
    return f"any other {kind}" if resource.name == UNNAMED else f"{kind} {resource.name}"


def _lines(checked: Sequence[Checked]) -> Iterator[str]:
    width = max((len(row.backend or "?") for row in checked), default=0)
    for row in checked:
        status = row.status if row.status == "answered" else click.style(row.status, bold=True)
        took = f" in {row.seconds:.2f} s" if row.status in ("answered", "failed") else ""
        yield f"{row.backend or '?':<{width}}  {status}{took}"
        for text in (
            row.answered,
            row.problem,
            f"for {', '.join(row.resources)}" if row.resources else None,
            *(f"missing: {sentence}" for sentence in row.missing),
        ):
            if text:
                yield from textwrap.wrap(
                    text,
                    PIPED_WIDTH,
                    initial_indent=INDENT,
                    subsequent_indent=INDENT * 2,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
