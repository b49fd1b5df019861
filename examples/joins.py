"""A temporal join: the weather at the time of each activity, found by the nearest earlier key.
Run it: python joins.py
"""

from asyncio import run, sleep
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime as dt
from typing import Any

from slipcore import Cache, handle, stream

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

weather_cache = Cache('state/weather')


async def async_iterable(it: Iterable[Any], interval: float = 0.01) -> AsyncIterator[Any]:
    for msg in it:
        await sleep(interval)
        yield msg


@handle(async_iterable(weather_messages), sink=[weather_cache])
def weather_handler(w: dict[str, Any]) -> Iterator[Any]:
    unix_ts = w['timestamp'].timestamp()
    yield unix_ts, w


# The join holds while the weather comes in time, so the activities take theirs.
@handle(async_iterable(activity_messages, interval=0.02), sink=[print])
def activity_handler(a: dict[str, Any]) -> Iterator[Any]:
    unix_ts = a['timestamp'].timestamp()

    for w in weather_cache.values(backwards=True, from_key=unix_ts):
        yield f'The weather during {a["value"]} was {w["value"]}'
        return

    yield a['value'], '?'


if __name__ == '__main__':
    run(stream())
