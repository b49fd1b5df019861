"""Whatever happens to an app, nothing is lost, and state and positions never part.

`make simulate` runs ten thousand of these scenarios and `make simulate BUGS=1` shows what each of
the deliberate bugs is noticed by.
"""

from __future__ import annotations

from itertools import chain
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation import bugs
from tests.simulation.__main__ import first_noticed
from tests.simulation.found import FOUND
from tests.simulation.scenario import Scenario, Shape, draw, in_words
from tests.simulation.shrinking import shrink, story
from tests.simulation.simulation import simulate

NOTICED_AT: Final[dict[bugs.Bug, int]] = {
    bugs.one_too_far: 7,
    bugs.a_forgotten_gap: 0,
    bugs.a_stale_epoch: 1,
    bugs.an_undo_left_out: 63,
    bugs.an_undo_in_the_wrong_order: 63,
    bugs.a_flush_not_awaited: 6,
    bugs.a_failed_flush_forgotten: 21,
    bugs.a_commit_before_the_state: 8,
    bugs.state_before_its_outputs: 0,
    bugs.a_position_beside_its_state: 0,
    bugs.a_cut_that_drops: 12,
    bugs.a_seek_that_does_not_wait: 65,
    bugs.a_revocation_that_does_not_wait: 90,
    bugs.writes_that_land_apart: 8,
    bugs.the_groups_position_wins: 1,
    bugs.the_fastest_binding_counts: 1,
    bugs.a_last_commit_left_out: 0,
    bugs.stale_positions: 57,
    bugs.a_reader_that_repeats: 1,
    bugs.a_commit_beyond_a_gap: 18,
    bugs.writes_out_of_order_that_land_apart: 23,
    bugs.a_key_that_does_not_wait: 1,
    bugs.an_undo_one_by_one: 398,
}
"""Deliberate bug -> a scenario that fails with it, to try first: `make simulate BUGS=1`."""


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_nothing_is_lost_whatever_happens(first: int) -> None:
    """Made-up apps come through made-up histories; `make simulate` tries many more."""
    for number in range(first, first + 100):
        assert simulate(draw(Random(number))) is None, f"make simulate SEED={number}"


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_nothing_is_lost_in_histories_that_hypothesis_makes_up(random: Random) -> None:
    """Hypothesis looks for the smallest scenario that fails."""
    scenario = draw(random)
    assert simulate(scenario) is None, story(scenario)


@pytest.mark.parametrize("scenario", FOUND.values(), ids=list(FOUND))
def test_what_was_wrong_once_stays_right(scenario: Scenario) -> None:
    """Scenarios that failed are kept."""
    assert simulate(scenario) is None, story(scenario)


@pytest.mark.parametrize("bug", bugs.BUGS, ids=lambda bug: bug.__name__)
def test_a_deliberate_bug_is_noticed(bug: bugs.Bug) -> None:
    """An engine that is wrong fails a scenario that it passes otherwise."""
    number = first_noticed(bug, chain([NOTICED_AT[bug]], range(1_000)))
    assert number is not None
    assert simulate(draw(Random(number[0]))) is None


def test_a_failing_scenario_is_made_smaller() -> None:
    """What does not matter is left out, and what is left is told in words."""
    scenario = Scenario(
        partitions=(1,),
        bindings=(Shape("async", keeps=True, sinks=2), Shape("plain")),
        commit=1.0,
        commit_records=4,
        slow=0.5,
        timing=1,
        steps=(("idle",), ("produce", 0, 0, 3, 1), ("turns", 4), ("crash",), ("pause", 0)),
    )
    small = shrink(scenario, lambda other: ("crash",) in other.steps)
    assert small.steps == (("crash",),)
    assert [(b.kind, b.keeps, b.sinks) for b in small.bindings] == [("plain", False, 1)]
    assert story(small).endswith("  1. the process dies now")


def test_every_step_has_words() -> None:
    """A history can be read."""
    steps = {step for number in range(200) for step in draw(Random(number)).steps}
    assert len({step[0] for step in steps}) == 19
    for step in steps:
        assert in_words(step)
