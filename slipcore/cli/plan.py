"""A plan as text: 80 columns, plain where it is piped."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import click

from slipcore.choice import EMBEDDED
from slipcore.cli.printing import near
from slipcore.plan import BindingPlan, Plan, ResourcePlan

WIDTH = 80
DEFAULT_CODEC = EMBEDDED["codec"]
LABEL = 10
"""Columns of the words that stand before the names."""


def plan_text(plan: Plan) -> str:
    """The plan for people."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield click.style(f"App {plan.app}", bold=True)
    yield from _entry("group", plan.group)
    yield from _entry("state", near(plan.state_dir))
    yield from _entry("config", near(plan.config) if plan.config else "no slip.toml found")
    for binding in plan.bindings:
        yield ""
        yield from _binding(binding)


def _binding(binding: BindingPlan) -> Iterator[str]:
    yield click.style(f"Handler {binding.name}", bold=True)
    yield from _resources("from", binding.sources)
    if binding.pipes:
        yield from _entry("through", ", ".join(binding.pipes))
    yield from _resources("to", binding.sinks)
    yield from _resources("state", binding.state)
    yield from _entry("outputs", click.style(binding.delivery, bold=True))
    if binding.state_delivery is not None:
        yield from _entry("state is", click.style(binding.state_delivery, bold=True))
    if binding.weakest is not None:
        weakest = binding.weakest
        yield from _entry("weakest", f"{weakest.name}, {_article(weakest.kind)}")
    for number, policy in enumerate(binding.policies):
        rules = ", else ".join(policy.rules)
        yield from _entry("failures" if number == 0 else "", f"{policy.stage}: {rules}")
        for letters in policy.letters:
            yield from _entry("", f"  {_described(letters)}")
    if binding.batch:
        yield from _entry("batch", "the handler takes the records of a read as one list")
    if binding.timeout is not None:
        yield from _entry("timeout", f"{binding.timeout:g} s for each call")
    if binding.concurrency > 1 or binding.threads is not None:
        where = "" if binding.threads is None else f", in {binding.threads} threads"
        order = f"of each {binding.order} in order"
        text = f"{binding.concurrency} records at a time{where}, {order}"
        yield from _entry("in hand", text)
    for number, reason in enumerate(binding.reasons):
        yield from _entry("because" if number == 0 else "", reason)


def _resources(label: str, resources: list[ResourcePlan]) -> Iterator[str]:
    for number, resource in enumerate(resources):
        yield from _entry(label if number == 0 else "", _described(resource))
        codec = f"codec {resource.codec}" if resource.codec not in (None, DEFAULT_CODEC) else ""
        for line in (codec, _settings(resource.settings), *resource.notes):
            if line:
                yield from _entry("", f"  {line}")


def _described(resource: ResourcePlan) -> str:
    if resource.backend is None:
        return f"{resource.name}, {_article(resource.kind)}"
    why = f" ({resource.reason})" if resource.reason else ""
    return f"{resource.name}, {_article(resource.kind)} on {resource.backend}{why}"


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _entry(label: str, text: str) -> Iterator[str]:
    first = f"  {label:<{LABEL}}"
    rest = " " * (len(first) + len(text) - len(text.lstrip()) + 2)
    # A long path or address is worth more whole than the margin is.
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [first.rstrip()]
