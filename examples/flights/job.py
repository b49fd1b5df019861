"""The job: feed two topics, join each flight with the weather before it, count and sum.

Why the totals are exact, whatever is killed and whichever stream runs ahead:

- *Feeding* repeats items after a kill, because a file's position is saved after the topic was
  written. A flight carries its place in the year, so that a repeat is known for what it is;
  weather that comes again puts the same value under the same key.
- *Joining* sends a flight on once the weather of its airport has reached the flight's hour. One
  that comes earlier waits in a cache, and goes on with the weather that it waited for. So the
  flights of an airport are sent in their order, and joined with the same weather each time.
- *Counting* leaves out what is not beyond the airport's last flight that was counted. That
  flight's place, the totals and the topic's position land in one write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from slipcore import App, Limits, Record
from slipcore.config import Config

from . import data
from .data import Flight, Weather
from .feed import InOrder, feed

MAX_AGE: Final = 3 * 3_600_000
"""Milliseconds after which an observation says nothing about a flight."""

AIRPORTS: Final = {"partitions": 3}
"""Settings of topics with one key for each of New York's airports."""


class Departure(msgspec.Struct, frozen=True, gc=False):
    """A flight and the kind of weather that it left in."""

    id: int
    carrier: str
    delay: int | None
    kind: str


class Job:
    """The app, its topics and what it keeps.

    Args:
        directory: for the files that it reads, in `data/`.
        state: for its state; a slip.toml there, or the environment, chooses other backends.
        wanted: how many flights of the year to count; more than last time goes on from there.

    Attributes:
        conditions: airport and time -> kind of weather.
        reached: airport -> time of its last observation.
        waiting: airport, time and place -> a flight that came before its weather.
        counted: airport -> place of the last flight in the totals.
        totals: carrier and kind of weather -> flights, and the minutes that they left late.
    """

    def __init__(self, directory: Path, state: Path, wanted: int) -> None:
        config = Config.load(cwd=state)
        self.app = app = App("flights", config=config, limits=Limits(commit=0.25))
        self.conditions = app.cache("conditions")
        self.reached = app.cache("reached")
        self.waiting = app.cache("waiting", type=Flight)
        self.counted = app.cache("counted")
        self.totals = app.cache("totals")
        self.wanted = wanted
        self.done = sum(flights for flights, _ in self.totals.values())
        self._looked_up: dict[str, tuple[int, str]] = {}
        if self.done < wanted:
            self._bind(directory)

    def _bind(self, directory: Path) -> None:
        app = self.app
        weather = app.topic("weather", AIRPORTS, type=Weather)
        flights = app.topic("flights", AIRPORTS, type=Flight)
        departures = app.topic("departures", AIRPORTS, type=Departure)
        weather_file = InOrder("weather.csv", data.weather(directory))
        flights_file = InOrder("flights.csv", data.flights(directory, self.wanted))

        app.handle(weather_file, sink=[weather], name="feed weather")(feed)
        app.handle(flights_file, sink=[flights], name="feed flights")(feed)
        app.handle(weather, sink=[departures], name="remember")(self.remember)
        app.handle(flights, sink=[departures], name="join")(self.join)
        app.handle(departures, name="count")(self.count)

    def remember(self, record: Record) -> Iterator[tuple[str, Departure]]:
        """Keep the weather of an hour; what has waited for it goes on."""
        airport, time = record.key, record.timestamp
        self.conditions[airport, time] = kind_of(record.value)
        if time <= self.reached.get(airport, -1):
            return  # fed again after a kill
        self.reached[airport] = time
        for key, flight in list(self.waiting.items(prefix=(airport,))):
            if flight.time > time:
                return
            del self.waiting[key]
            yield airport, self.joined(flight)

    def join(self, record: Record) -> tuple[str, Departure] | None:
        """Send a flight on with its weather, or let it wait for that."""
        flight = record.value
        if flight.time > self.reached.get(flight.origin, -1):
            self.waiting[flight.origin, flight.time, flight.id] = flight
            return None
        return flight.origin, self.joined(flight)

    def joined(self, flight: Flight) -> Departure:
        """A flight with the last weather at its airport at or before its time."""
        time, kind = self._looked_up.get(flight.origin, (-1, ""))
        if time != flight.time:  # the flights of an hour come together
            kind = self.kind_at(flight.origin, flight.time)
            self._looked_up[flight.origin] = flight.time, kind
        return Departure(flight.id, flight.carrier, flight.delay, kind)

    def kind_at(self, airport: str, time: int) -> str:
        """The kind of weather that was last observed by a time, if that is not too long ago."""
        observed = self.conditions.items(
            backwards=True, from_key=(airport, time), prefix=(airport,)
        )
        for (_, since), kind in observed:
            return str(kind) if time - since <= MAX_AGE else "unknown"
        return "unknown"

    def count(self, record: Record) -> None:
        """Add a flight to its total; the app ends with the last that is wanted."""
        departure = record.value
        if departure.id <= self.counted.get(record.key, 0):
            return
        self.counted[record.key] = departure.id
        flights, minutes = self.totals.get((departure.carrier, departure.kind), (0, 0))
        self.totals[departure.carrier, departure.kind] = (
            flights + 1,
            minutes + (departure.delay or 0),
        )
        self.done += 1
        if self.done >= self.wanted:
            self.app.stop()


def kind_of(weather: Weather) -> str:
    """The first of its kinds that a pilot would speak of."""
    if weather.rain > 0:
        return "precipitation"
    if weather.visibility < 3:
        return "low visibility"
    if weather.wind is not None and weather.wind >= 20:
        return "windy"
    return "clear"
