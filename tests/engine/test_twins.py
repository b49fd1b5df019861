"""Each fast path beside its plain twin: random programs come out the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .programs import FOREVER, KINDS, Outcome, Program, by_engine, by_hand, programs

RANDOM = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)


def both(program: Program, source: str, *, batch: bool = False) -> tuple[Outcome, Outcome]:
    async def run() -> tuple[Outcome, Outcome]:
        async with asyncio.timeout(20):
            return await by_engine(program, source=source, batch=batch), await by_hand(program)

    return asyncio.run(run())


def check(program: Program, engine: Outcome, hand: Outcome) -> None:
    """Equal, but for outputs of a record that failed for good: a topic may not have them yet."""
    assert engine.failed == hand.failed
    assert engine.state == hand.state
    for kind, mine, theirs, certain in zip(
        program.sinks, engine.sent, hand.sent, hand.certain, strict=True
    ):
        if kind == "topic":
            assert mine == theirs[: len(mine)]
            assert len(mine) >= certain
            assert hand.failed or len(mine) == len(theirs)
        else:
            assert mine == theirs


@pytest.mark.parametrize("kind", KINDS)
@RANDOM
@given(program=programs())
def test_batches_of_a_topic_are_handled_as_by_a_loop_over_its_records(
    kind: str, program: Program
) -> None:
    """Outputs, state, dead letters and the committed position: slices, cuts and all."""
    program = replace(program, kind=kind)
    engine, hand = both(program, "topic")
    check(program, engine, hand)
    assert engine.dead == hand.dead
    assert engine.position == hand.position


@pytest.mark.parametrize("kind", KINDS)
@RANDOM
@given(program=programs())
def test_an_iterable_is_handled_as_by_a_loop_over_its_items(kind: str, program: Program) -> None:
    """With nothing but plain functions in one loop, with state or sinks to flush in another."""
    program = replace(program, kind=kind)
    engine, hand = both(program, "iterable")
    check(program, engine, hand)
    assert len(engine.dead) == len(hand.dead)


@RANDOM
@pytest.mark.parametrize("source", ["topic", "iterable"])
@given(
    program=programs(
        kinds=("function", "coroutine function"),
        rules=(("skip",), ("dead_letter",), ("retry", "skip")),
        failures=(0, 0, 0, FOREVER),
    )
)
def test_lists_are_handled_as_their_records_are(source: str, program: Program) -> None:
    """Only what fails by itself is skipped or put aside, and nothing else comes twice."""
    engine, hand = both(program, source, batch=True)
    check(program, engine, hand)
    assert len(engine.dead) == len(hand.dead)
    if source == "topic":
        assert (engine.dead, engine.position) == (hand.dead, hand.position)


@RANDOM
@given(program=programs(rules=((),), failures=(0, 0, 0, FOREVER)))
def test_a_list_without_a_rule_is_handled_as_its_records_are_or_not_at_all(
    program: Program,
) -> None:
    """Where one of them fails, none is finished."""
    engine, hand = both(replace(program, kind="coroutine function"), "topic", batch=True)
    if hand.failed:
        hand = Outcome([[] for _ in program.sinks], [{} for _ in hand.state], failed=True)
        hand.certain = [0 for _ in program.sinks]
    check(program, engine, hand)
    assert engine.position == hand.position
