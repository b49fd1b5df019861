"""What is on its way is all that is kept of outputs: it can be read back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slip_kafka.batches import Batch, codec_of

from slipcore.interfaces import Out

SOME = st.none() | st.binary(max_size=40)
OUTPUTS = st.lists(
    st.builds(
        Out,
        SOME,
        SOME,
        st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2).map(tuple),
        st.none() | st.integers(0, 2**41),
        st.none() | st.just(3),
    ),
    max_size=20,
)


async def batch_of(outputs: list[Out], compression: str | None) -> Batch:
    """A batch with outputs, as the producer fills it."""
    batch = Batch(3, 1 << 20, codec_of(compression))
    for index, out in enumerate(outputs):
        assert batch.write(index, out.timestamp, out.key, out.value, list(out.headers)) is not None
        if out.headers or out.timestamp is not None or out.partition is not None:
            batch.more[index] = out.headers, out.timestamp, out.partition
        batch.numbers.append(10 * index)
    return batch


@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
@given(outputs=OUTPUTS, closed=st.booleans())
def test_outputs_are_read_back_as_they_were(
    compression: str | None, outputs: list[Out], closed: bool
) -> None:
    """Tombstones, empty values and headers too; before it is sent, and after."""

    async def work() -> list[tuple[int, Out]]:
        batch = await batch_of(outputs, compression)
        if closed:
            batch.closed()._build()
        return list(batch.numbered())

    assert asyncio.run(work()) == [(10 * index, out) for index, out in enumerate(outputs)]
