"""The checker finds each thing that can be wrong, and nothing where all is well."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.bare import Entry
from tests.faults.bare_state import State
from tests.faults.checker import End, Evidence, Sample, chained, judge

ORDERS = [("a", "o0"), ("b", "o1"), ("a", "o2"), ("b", "o3")]
HASHES = {"a": chained(chained("", "o0"), "o2"), "b": chained(chained("", "o1"), "o3")}


def order(offset: int, **special: Any) -> Entry:
    key, name = ORDERS[offset]
    return Entry(0, offset, 0, key.encode(), json.dumps({"id": name, **special}).encode())


def result(stands: int, offset: int, count: int, by: str = "w1") -> Entry:
    key, name = ORDERS[offset]
    told = {"id": name, "count": count, "partition": 0, "offset": offset, "by": by}
    return Entry(0, stands, 1000 + stands, key.encode(), json.dumps(told).encode())


def letter(stands: int, offset: int, value: bytes | None = None) -> Entry:
    place = (("slip-dlq-partition", b"0"), ("slip-dlq-offset", b"%d" % offset))
    of = order(offset, bad="raises")
    return Entry(0, stands, 0, of.key, of.value if value is None else value, place)


def state(a: int = 2, position: int = 3) -> State:
    return State(
        {
            "a": {"count": a, "hash": HASHES["a"], "last": ""},
            "b": {"count": 2, "hash": HASHES["b"], "last": ""},
        },
        {0: position},
    )


RESULTS = [result(0, 0, 1), result(1, 1, 1), result(2, 2, 2), result(3, 3, 2)]
AGAIN = [*RESULTS, result(4, 3, 2, "w2")]


def well() -> Evidence:
    """What a run has left in which nothing happened."""
    return Evidence(
        counts=True,
        policy="raise",
        acknowledged=["o0", "o1", "o2", "o3"],
        orders=[order(offset) for offset in range(4)],
        results=RESULTS,
        committed={0: 4},
        samples=[Sample({0: 2}, {0: 2}, {})],
        states=[state()],
    )


def test_nothing_is_wrong_where_all_is_well() -> None:
    """The records are counted, and there is no complaint."""
    verdict = judge(well())
    assert verdict.complaints == []
    assert (verdict.records, verdict.lost, verdict.repeated, verdict.wrong) == (4, 0, 0, 0)


def test_a_repeat_that_a_kill_explains() -> None:
    """An order that was not committed when its worker was killed may come again, once."""
    killed = End("w1", orderly=False, committed={0: 2})
    verdict = judge(replace(well(), results=AGAIN, ends=[killed]))
    assert verdict.complaints == []
    assert (verdict.repeated, verdict.bound) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"acknowledged": ["o0", "o9"]}, "1 orders were acknowledged and are not in the topic"),
        ({"results": RESULTS[:3]}, "I1: 1 orders have no result: 0@3"),
        ({"orders": [order(n) for n in range(3)]}, "I1: 1 results are of no order that has one"),
        ({"results": AGAIN}, "I3: 1 results came again"),
        ({"results": AGAIN, "ends": [End("w1", True, {0: 2})]}, "I3: 1 results came again"),
        ({"results": AGAIN, "ends": [End("w1", False, {0: 4})]}, "I3: 1 results came again"),
        ({"results": AGAIN, "ends": [End("w2", False, {0: 4})]}, "I3: 1 results came again"),
        ({"results": AGAIN, "ends": [End("w1", False, {0: 2}, until=1)]}, "I3: 1 results"),
        (
            {"results": [result(0, 2, 2), result(1, 1, 1), result(2, 0, 1), result(3, 3, 2)]},
            "I4: results of a are not in the order of their orders",
        ),
        ({"results": [*RESULTS[:3], result(3, 3, 3)]}, "I5: 1 results have a wrong number: 0@3"),
        ({"states": [state(a=3)]}, "I5: state 1 of 1 is wrong for 1 keys: a has (3"),
        ({"states": [state(position=1), state()]}, "I5: state 1 of 2 is wrong for 2 keys"),
        ({"states": [State({}, {0: 3})]}, "I5: state 1 of 1 is wrong for 2 keys: a has None"),
        ({"samples": [Sample({0: 3}, {0: 2}, {})]}, "I6: 1 orders were committed before"),
        ({"committed": {0: 3}}, "1 orders are not committed at the end: 0@3"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], complaint: str) -> None:
    """Each invariant has its complaint, with the places."""
    complaints = judge(replace(well(), **changes)).complaints
    assert [each for each in complaints if each.startswith(complaint)] != []


@pytest.mark.parametrize(
    ("letters", "policy", "complaint"),
    [
        ([letter(0, 3)], "dead letter", None),
        ([], "skip", None),
        ([], "dead letter", "I1: 1 bad orders have no letter: 0@3"),
        ([letter(0, 3)], "skip", "I1: 1 letters are of no bad order: 0@3"),
        ([letter(0, 3), letter(1, 3)], "dead letter", "I3: letters came more often than"),
        ([letter(0, 3, b"{}")], "dead letter", "the letter of (0, 3) does not have the order's"),
    ],
)
def test_bad_orders_have_letters(letters: list[Entry], policy: str, complaint: str | None) -> None:
    """One each, with the order's own bytes, where the policy is to write them."""
    counted = {**state().counts, "b": {"count": 1, "hash": chained("", "o1"), "last": ""}}
    evidence = replace(
        well(),
        policy=policy,
        orders=[*(order(n) for n in range(3)), order(3, bad="raises")],
        results=RESULTS[:3],
        letters=letters,
        samples=[],
        states=[State(counted, {0: 3})],
    )
    complaints = judge(evidence).complaints
    assert [each[: len(complaint or "")] for each in complaints] == (
        [complaint] if complaint else []
    )
