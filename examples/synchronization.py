"""A checkpoint finds a stream down, pauses the one that needs it, and corrects what went wrong.
Run it in an empty directory (topic and checkpoint outlive it): python synchronization.py
"""

from asyncio import run, sleep
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime as dt
from datetime import timedelta
from typing import Any

from slipcore import Cache, Topic, handle, stream
from slipcore.checkpointing import Checkpoint, Dependency
from slipcore.codecs import JsonCodec
from slipcore.core import READ_FROM_END
from slipcore.current import current_app

weather_messages = iter([
    {'timestamp': dt(2023, 1, 1, 10), 'value': '🌞'},
    {'timestamp': dt(2023, 1, 1, 11), 'value': '⛅'},
    {'timestamp': dt(2023, 1, 1, 12), 'value': '🌦️'},
    {'timestamp': dt(2023, 1, 1, 13), 'value': '🌧'},
])  # fmt: skip

activity_messages = iter([
    {'timestamp': dt(2023, 1, 1, 10, 30), 'value': 'swimming'},  # 🌞
    {'timestamp': dt(2023, 1, 1, 11, 30), 'value': 'walking home'},  # ⛅
    {'timestamp': dt(2023, 1, 1, 12, 30), 'value': 'shopping'},  # 🌦️
    {'timestamp': dt(2023, 1, 1, 13, 10), 'value': 'lunch'},  # 🌧
])  # fmt: skip


async def async_iterable(it: Iterable[Any]) -> AsyncIterator[Any]:
    for msg in it:
        await sleep(0.4)
        yield msg


weather_stream = async_iterable(weather_messages)
activity_stream = async_iterable(activity_messages)

activity = Topic(
    'activity',
    {'auto_offset_reset': 'earliest', 'group_id': 'activity'},
    codec=JsonCodec(),
    offset=READ_FROM_END,
)

checkpoints_cache = Cache('state/checkpoints', target_table_size=10000)
weather_cache = Cache('state/weather')


async def downtime_callback(c: Checkpoint, d: Dependency) -> None:
    print('\tThe stream is automatically paused.')


async def recovery_callback(c: Checkpoint, d: Dependency) -> None:
    offsets = d.checkpoint_state
    print(f'\tDowntime resolved, going back to offset {offsets} for reprocessing.')
    await activity.seek({int(p): o for p, o in offsets.items()})


checkpoint = Checkpoint(
    'activity',
    dependent=activity,
    dependencies=[
        Dependency('weather_stream', weather_stream, downtime_threshold=timedelta(hours=1))
    ],
    downtime_callback=downtime_callback,
    recovery_callback=recovery_callback,
    cache=checkpoints_cache,
)


@handle(weather_stream, sink=[weather_cache])
async def handle_weather(w: dict[str, Any]) -> AsyncIterator[Any]:
    """Process weather message."""
    ts = w['timestamp']
    unix_ts = ts.timestamp()
    await checkpoint.heartbeat(ts)
    yield unix_ts, w

    if w['value'] == '⛅':
        print('\tKilling weather stream on purpose')
        await sleep(2)
        print('\tRecovering the weather stream')


@handle(activity_stream, sink=[activity])
def producer(val: dict[str, Any]) -> Iterator[Any]:
    """Send data to activity topic."""
    yield None, val


@handle(activity, sink=[print])
async def handle_activity(msg: Any) -> AsyncIterator[Any]:
    """Process activity message."""
    a = msg.value
    ts = dt.strptime(a['timestamp'], '%Y-%m-%d %H:%M:%S')
    unix_ts = ts.timestamp()

    if downtime := await checkpoint.check_pulse(ts, **{str(msg.partition): msg.offset}):
        print(f'\tDowntime detected: {downtime}, (could cause faulty enrichment)')

    if a['value'] == 'lunch':
        current_app().stop()

    for w in weather_cache.values(backwards=True, from_key=unix_ts):
        yield f'The weather during {a["value"]} was {w["value"]}'
        return

    yield a['value'], '?'


if __name__ == '__main__':
    run(stream())
