"""What several sources have written comes into the store as it was written last."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from slipcore.backends.memory import MemoryStateOptions, open_state_store
from slipcore.engine.delivery import Lane
from slipcore.engine.generations import Generation
from slipcore.engine.state import CURRENT, Space, StateWriter
from slipcore.testing import LocalScope

STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([b"a", b"b", None])), min_size=1, max_size=20
)
"""Which lane writes which key; None: its next generation begins."""


@given(STEPS)
@example([(0, b"a"), (1, b"a"), (0, b"a"), (0, None), (0, b"a")])
def test_the_last_write_counts(steps: list[tuple[int, bytes | None]]) -> None:
    """Whatever lane or generation it came from, and whatever is written together with it."""
    store = open_state_store("s", MemoryStateOptions(), LocalScope("s", Path("unused")))
    store.attach("s")
    space = Space(store, "s", 10)

    async def scenario() -> None:
        lanes = [Lane.bare(f"lane{n}") for n in range(3)]
        generations = [[Generation(lane, (), 0)] for lane in lanes]
        last: dict[bytes, bytes] = {}
        for number, (lane, key) in enumerate(steps):
            if key is None:
                generations[lane].append(Generation(lanes[lane], (), 0))
                continue
            CURRENT.set(generations[lane][-1])
            space.put(key, b"%d" % number)
            last[key] = b"%d" % number
        ready = {each: None for own in generations for each in own}
        for each in ready:
            lanes[lanes.index(each.lane)]._handled.append(each)
        await StateWriter(lanes)._write(ready)
        assert {key: store.get("s", key) for key in last} == last
        assert space.pending == {}

    asyncio.run(scenario())
    store.close()
