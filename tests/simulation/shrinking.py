"""A failing scenario becomes a small one, which still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.scenario import Scenario, in_words


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    """The smallest scenario that is found by leaving things out, one after the other."""
    while True:
        smaller = next((each for each in _smaller(scenario) if fails(each)), None)
        if smaller is None:
            return scenario
        scenario = smaller


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    steps = scenario.steps
    size = len(steps) // 2
    while size:
        for start in range(0, len(steps), size):
            yield replace(scenario, steps=steps[:start] + steps[start + size :])
        size //= 2
    if len(scenario.bindings) > 1:
        for number in range(len(scenario.bindings)):
            yield replace(scenario, bindings=(scenario.bindings[number],))
    for number, shape in enumerate(scenario.bindings):
        for plainer in (
            replace(shape, kind="plain", width=None),
            replace(shape, width=None),
            replace(shape, keeps=False),
            replace(shape, holds=None),
            replace(shape, sinks=min(shape.sinks, 1)),
        ):
            if plainer != shape:
                bindings = list(scenario.bindings)
                bindings[number] = plainer
                yield replace(scenario, bindings=tuple(bindings))
    for plainer_scenario in (
        replace(scenario, commit=20.0),
        replace(scenario, commit_records=None),
        replace(scenario, slow=0.0),
        replace(scenario, retries=0),
    ):
        if plainer_scenario != scenario:
            yield plainer_scenario


def story(scenario: Scenario) -> str:
    """The app and what happens to it, a line each."""
    lines = [
        f"topics of {scenario.partitions} partitions; commits each {scenario.commit:g} s or "
        f"{scenario.commit_records} records; calls take up to {scenario.slow:g} s; "
        f"{scenario.retries} retries"
    ]
    lines += [f"binding {number}: {shape}" for number, shape in enumerate(scenario.bindings)]
    lines += [f"{number:3}. {in_words(step)}" for number, step in enumerate(scenario.steps, 1)]
    return "\n".join(lines)
