"""The examples as tests of apps see them: in memory, their waiting skipped, crashed on the way."""

from __future__ import annotations

from ast import literal_eval
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from slipcore.testing import AppTest
from tests.test_examples import EXAMPLES, SYNCHRONIZATION

Capture = pytest.CaptureFixture[str]


def lines(capsys: Capture) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_demo(capsys: Capture) -> None:
    """The fish comes with every tick, and each tick in its time."""
    with AppTest(EXAMPLES / "demo.py") as app:
        app.run()
        assert lines(capsys) == ["🐟 - blub"]
        app.advance(1)
        assert lines(capsys) == ["🐟 - blub"]
        app.advance(2)
        assert (lines(capsys), app.running) == (["🐟 - blub"], False)


def test_timer(capsys: Capture) -> None:
    """It triggers once a second, three times."""
    with AppTest(EXAMPLES / "timer.py") as app:
        app.run()
        counts = [0]
        for _ in range(4):
            app.advance(1)
            counts.append(counts[-1] + len(lines(capsys)))
        assert (counts, app.running) == ([0, 1, 2, 3, 3], False)


def test_yield(capsys: Capture) -> None:
    """Two results for 0, one for even numbers, none for odd ones."""
    with AppTest(EXAMPLES / "yield_.py") as app:
        app.run()
        assert not app.running
    assert lines(capsys) == ["zero: 0", "even: 0", "even: 2", "even: 4"]


def test_shared_source(capsys: Capture) -> None:
    """Both handlers see each item before the next one is pulled."""
    with AppTest(EXAMPLES / "shared_source.py") as app:
        app.run()
        for emoji in "🏆📞🐟":
            app.advance(0.01)
            assert lines(capsys) == [f"first: {emoji}", f"second: {emoji}"]


def test_vectorised(capsys: Capture) -> None:
    """The sums of its lists add up to what the long trips of each cab were."""
    with AppTest(EXAMPLES / "vectorised.py") as app:
        app.run()
        sums: dict[str, float] = {}
        for line in lines(capsys):
            cab, kilometres = literal_eval(line)
            sums[cab] = sums.get(cab, 0.0) + kilometres
        streams = {stream.name: stream for stream in app.app.streams}
        assert streams["memory:trips"].lanes[0].handled_records == 1_000
    assert sums == {"cab 0": 5083.0, "cab 1": 5077.0, "cab 2": 5040.0}


@pytest.mark.parametrize(
    ("pipes", "first", "rest"),
    [
        ([], ["(0, 1)"], ["(1, 2)", "(2, 3)", "(3, 4)"]),
        (["accumulate"], ["0", "1"], ["3", "6", "10"]),
        (["accumulate", "pairwise"], ["(0, 1)"], ["(1, 3)", "(3, 6)", "(6, 10)"]),
    ],
)
def test_pipes(capsys: Capture, pipes: list[str], first: list[str], rest: list[str]) -> None:
    """The pipes of its arguments; `pairwise` without any."""
    with AppTest(EXAMPLES / "pipes.py", args=pipes) as app:
        app.run()
        app.advance(0.2)
        assert lines(capsys) == first
        app.advance(0.3)
        assert lines(capsys) == rest


def test_sliding_window(capsys: Capture) -> None:
    """Each event's window; after a crash its events begin anew, as those of the program do."""
    with AppTest(EXAMPLES / "sliding_window.py") as app:
        app.run()
        app.advance(0.3)
        first = [
            "Sliding window ending at 0.0: {'🏆': 1}",
            "Sliding window ending at 0.5: {'🏆': 1, '📞': 1}",
            "Sliding window ending at 1.0: {'🏆': 1, '📞': 1, '🐟': 1}",
        ]
        assert lines(capsys) == first
        assert app.cache("state/emoji")["sliding_events"] == [
            ("🏆", 0.0), ("📞", 0.5), ("🐟", 1.0)
        ]  # fmt: skip
        app.crash()
        app.run()
        app.advance(0.3)
        assert lines(capsys) == first


def test_joins(capsys: Capture) -> None:
    """Each activity meets the weather of its hour."""
    with AppTest(EXAMPLES / "joins.py") as app:
        app.run()
        app.advance(0.1)
        times = [datetime(2023, 1, 1, hour).timestamp() for hour in (10, 11, 12, 13)]
        assert list(app.cache("state/weather").keys()) == times
    assert lines(capsys) == [
        "The weather during swimming was 🌞",
        "The weather during walking home was ⛅",
        "The weather during shopping was 🌦️",
        "The weather during lunch was 🌧",
    ]


def test_synchronization(capsys: Capture) -> None:
    """The downtime is found, the stream paused, and the faulty enrichment corrected."""
    with AppTest(EXAMPLES / "synchronization.py") as app:
        app.run()
        app.advance(10)
        assert (lines(capsys), app.running) == (SYNCHRONIZATION, False)
        sent = [value["value"] for _, value in app.sent("activity")]
        assert sent == ["swimming", "walking home", "shopping", "lunch"]


def test_synchronization_killed_while_it_is_down(capsys: Capture) -> None:
    """What was found while the weather was in hand is forgotten with it, and found again."""
    with AppTest(EXAMPLES / "synchronization.py") as app:
        app.run()
        app.advance(1.7)
        assert lines(capsys)[-1] == "The weather during shopping was ⛅"
        app.crash()
        app.run()
        module: Any = app.module
        assert module.checkpoint.state_marker == datetime(2023, 1, 1, 10, 30)
        lines(capsys)
        app.advance(10)
        expected = [line.replace("'0': 2", "'0': 6") for line in SYNCHRONIZATION]
        assert lines(capsys) == expected


def test_endpoint() -> None:
    """The time comes once a second, without anyone to serve it to."""
    with AppTest(EXAMPLES / "endpoint.py") as app:
        app.run()
        app.advance(2)
        assert list(app.cache("db").keys()) == ["time"]
        (stream,) = app.app.streams
        assert stream.lanes[0].handled_records == 3


HOUR = 3_600_000
FLIGHTS_CSV = [
    (1, "EWR", "UA", 10), (2, "EWR", "UA", -4), (2, "JFK", "AA", ""), (9, "JFK", "AA", 7)
]  # fmt: skip
"""Hour, airport, carrier and minutes late."""
WEATHER_CSV = [(1, "EWR", 0.0), (1, "JFK", 0.1), (2, "EWR", 0.2)]
"""Hour, airport and inches of rain."""

TOTALS = {
    ("UA", "clear"): (1, 10),
    ("UA", "precipitation"): (1, -4),
    ("AA", "precipitation"): (1, 0),
    ("AA", "unknown"): (1, 7),
}


PROGRAM = """
from pathlib import Path

from examples.flights.job import Job

directory = Path(__file__).parent
app = Job(directory, directory, 4).app
"""


@pytest.fixture
def flights_app(tmp_path: Path) -> Path:
    """A program with the demo's job, on a year of four flights."""
    data = tmp_path / "data"
    data.mkdir()
    flights = (f"{h * HOUR},{origin},{c},{delay}\n" for h, origin, c, delay in FLIGHTS_CSV)
    (data / "flights.csv").write_text("".join(flights))
    weather = (f"{h * HOUR},{origin},{rain},10,5\n" for h, origin, rain in WEATHER_CSV)
    (data / "weather.csv").write_text("".join(weather))
    program = tmp_path / "flights_program.py"
    program.write_text(PROGRAM)
    return program


def test_flights(flights_app: Path) -> None:
    """Each flight meets the weather before it, and is in the total of its kind."""
    with AppTest(flights_app) as app:
        app.run()
        assert not app.running
        assert dict(app.cache("totals").items()) == TOTALS


@pytest.mark.parametrize("crash", [*range(1, 16), "flush", "write"])
def test_flights_killed(flights_app: Path, crash: Any) -> None:
    """Killed at any place, and started again, it counts each flight once."""
    with AppTest(flights_app) as app:
        app.run(crash_after=crash)
        assert not (flights_app.parent / ".slip").exists()
        app.run()
        assert dict(app.cache("totals").items()) == TOTALS
