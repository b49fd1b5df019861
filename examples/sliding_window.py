"""A sliding window of 3 seconds of event time, kept in a cache and counted with each event.
Run it: python sliding_window.py
"""

from asyncio import run, sleep
from collections import Counter
from collections.abc import AsyncIterator

from slipcore import Cache, handle, stream

cache = Cache('state/emoji')
# The cache outlives the program, and the events below begin anew with each run.
cache.delete('sliding_events')


async def messages() -> AsyncIterator[tuple[str, float]]:
    events = [
        ('🏆', 0.0), ('📞', 0.5), ('🐟', 1.0), ('👌', 2.0),
        ('🏆', 3.5), ('📞', 4.0), ('🐟', 5.0), ('👌', 5.5)
    ]  # fmt: skip
    for emoji, ts in events:
        await sleep(0.1)
        yield emoji, ts


window_size_seconds = 3.0


@handle(messages(), sink=[print])
async def sliding_handler(event: tuple[str, float]) -> str:
    _, event_time = event

    events = cache.get('sliding_events', [])
    events.append(event)

    # Keep events within window_size_seconds of current event_time
    events = [(e, t) for e, t in events if event_time - t <= window_size_seconds]
    cache.put('sliding_events', events)

    counts = Counter(emoji for emoji, _ in events)
    return f'Sliding window ending at {event_time}: {dict(counts)}'


if __name__ == '__main__':
    run(stream())
