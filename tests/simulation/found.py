"""Scenarios in which the simulation has found the engine wrong, as small as they could be made."""

from __future__ import annotations

from typing import Final

from tests.simulation.scenario import Scenario, Shape

FOUND: Final[dict[str, Scenario]] = {
    "what a pipe held of a lost partition was committed when the partition came back": Scenario(
        partitions=(1,),
        bindings=(Shape("async", holds=1),),
        commit=20.0,
        commit_records=4,
        slow=0.0,
        timing=886,
        steps=(("produce", 0, 0, 2, 0), ("produce", 0, 0, 2, 0), ("idle",), ("lose", 0, 0)),
    ),
    "records of a partition that was released were read before it was given up": Scenario(
        partitions=(2,),
        bindings=(Shape("async"),),
        commit=0.05,
        commit_records=None,
        slow=2.0,
        timing=90,
        steps=(
            ("idle",),
            ("produce", 0, 1, 6, 0),
            ("produce", 0, 0, 1, 1),
            ("advance", 3.0),
            ("produce", 0, 0, 5, 3),
            ("advance", 3.0),
            ("lose", 0, 0),
        ),
    ),
    "such records were counted in state, without a position": Scenario(
        partitions=(2,),
        bindings=(Shape("async"), Shape("plain", keeps=True)),
        commit=20.0,
        commit_records=None,
        slow=2.0,
        timing=866,
        steps=(
            ("idle",),
            ("produce", 0, 0, 3, 3),
            ("lose", 0, 0),
            ("produce", 0, 0, 2, 3),
            ("seek", 0, 0, 11),
            ("seek", 0, 1, 2),
        ),
    ),
    "one of two bindings went on in its old place after a seek that failed half way": Scenario(
        partitions=(1, 2),
        bindings=(
            Shape("plain", topics=(0, 1), keeps=True),
            Shape("plain", topics=(0, 1), keeps=True, sinks=2),
        ),
        commit=20.0,
        commit_records=None,
        slow=0.0,
        timing=397,
        steps=(
            ("produce", 0, 0, 2, 3),
            ("turns", 17),
            ("fail", "write", 2),
            ("seek", 0, 0, 12),
            ("produce", 0, 0, 3, 0),
            ("turns", 39),
        ),
    ),
    "a commit that the group ignored in a rebalance was taken for done": Scenario(
        partitions=(2, 1),
        bindings=(Shape("plain", topics=(0, 1), keeps=True),),
        commit=20.0,
        commit_records=1,
        slow=2.0,
        timing=720,
        steps=(("produce", 0, 0, 6, 0), ("produce", 1, 0, 2, 1), ("idle",), ("lose", 0, 0)),
    ),
    "state was written without the effects that a failing flush had just discarded": Scenario(
        partitions=(2, 3),
        bindings=(Shape("generator", topics=(0, 1), keeps=True),),
        commit=20.0,
        commit_records=None,
        slow=0.01,
        timing=221,
        steps=(("fail", "flush", 2), ("produce", 1, 0, 5, 1), ("advance", 0.05)),
    ),
    "a read began between two rebalances, although the second one had closed the gate": Scenario(
        partitions=(3,),
        bindings=(Shape("plain"),),
        commit=20.0,
        commit_records=None,
        slow=2.0,
        timing=272,
        steps=(
            ("idle",),
            ("ask to stop",),
            ("turns", 24),
            ("turns", 37),
            ("revoke", 0, 1),
            ("idle",),
            ("produce", 0, 0, 6, 3),
            ("revoke", 0, 0),
            ("advance", 40.0),
        ),
    ),
    "a try that failed and was undone held up for ever what it had written over": Scenario(
        partitions=(2, 1),
        bindings=(
            Shape("plain", topics=(0, 1), keeps=True),
            Shape("plain", topics=(0, 1), keeps=True),
        ),
        commit=20.0,
        commit_records=None,
        slow=0.0,
        timing=198,
        steps=(("produce", 1, 0, 1, 3), ("lose", 0, 0), ("idle",)),
        retries=2,
    ),
}
