"""A handler of lists: what one read gave is one data frame, in Polars.
Run it: python vectorised.py
"""

from asyncio import run
from collections.abc import AsyncIterator, Iterator
from struct import Struct

import numpy as np
import polars as pl

from slipcore import Record, Topic, handle, stream

TRIP = Struct('<q2d')
COLUMNS = np.dtype([('cab', '<i8'), ('kilometres', '<f8'), ('hours', '<f8')])

trips = Topic('trips', codec='raw', backend='memory')


async def driven() -> AsyncIterator[bytes]:
    for n in range(1_000):
        yield TRIP.pack(n % 3, n % 50, 0.5)


@handle(driven(), sink=[trips])
def send(trip: bytes) -> bytes:
    return trip


@handle(trips, sink=[print], batch=True)
def long_trips(records: list[Record]) -> Iterator[tuple[str, float]]:
    rows = b''.join([record.value for record in records])
    by_cab = (
        pl.DataFrame(np.frombuffer(rows, COLUMNS))
        .filter(pl.col('kilometres') / pl.col('hours') > 60)
        .group_by('cab', maintain_order=True)
        .agg(pl.col('kilometres').sum())
    )
    for cab, kilometres in by_cab.iter_rows():
        yield f'cab {cab}', kilometres


if __name__ == '__main__':
    run(stream())
