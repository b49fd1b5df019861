"""The benchmarks: each runs at a tiny size, finds wrong output, and says what has changed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as command
from benchmarks import (
    batch,
    concurrency,
    engine,
    growth,
    kafka,
    latency,
    pictures,
    report,
    start,
    state,
    topics,
    where,
)
from benchmarks.common import (
    Row,
    Run,
    Settings,
    Table,
    Turn,
    UnavailableError,
    WrongOutputError,
    alternate,
    compared,
    run_of,
    versions,
)
from benchmarks.contenders.functions import Tally
from slipcore.interfaces import partition_for
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

TINY = Settings(rounds=1, peers=False, scale=0.0005)
ROOT = Path(__file__).parent.parent


# --- each of them runs --------------------------------------------------------------------------


def check(tables: list[Table]) -> None:
    """All has a figure but what this checkout does not have yet."""
    for table in tables:
        for row in table.rows:
            assert row.figure is not None or "unexpected keyword" in row.note, (table.name, row)
        assert table.rows[0].contender == table.baseline
        assert table.rows[0].ratio == 1.0


def test_records_side_by_side_are_measured_beside_lanes() -> None:
    """For each number in hand."""
    tables = concurrency.run(TINY)
    check(tables)
    assert len(tables) == len(concurrency.SIZES)


def test_the_other_frameworks_versions_do_not_take_the_place_of_our_own() -> None:
    """Both are named where they differ, since both take part."""
    ours = versions()["aiokafka"]
    run = run_of([], {"aiokafka": "0.0.1", "bytewax": "0.21.1", "uvloop": versions()["uvloop"]})
    assert run.versions["aiokafka"] == ours
    assert run.versions["aiokafka (theirs)"] == "0.0.1"
    assert run.versions["bytewax"] == "0.21.1"
    assert "uvloop (theirs)" not in run.versions


def test_where_time_goes_is_told_by_the_innermost_frame_that_is_known() -> None:
    """Threads that wait for work are left out."""
    stacks = """\
<module> (own.py:71);run (asyncio/runners.py:190);on_dict (own.py:48) 3
<module> (own.py:71);run (asyncio/runners.py:190);decode (slipcore/backends/codecs.py:104) 5
<module> (own.py:71);send (slip_kafka/producing.py:125);_build (aiokafka/producer/x.py:1) 2
run (threading.py:982);_worker (concurrent/futures/thread.py:81) 50
run (threading.py:982);_write_once (slip_rocks/database.py:189) 4
"""
    assert where.counted(stacks) == {
        "handler": 3,
        "decode and encode": 5,
        "write to Kafka": 2,
        "state": 4,
    }


def test_handlers_of_lists_are_measured_beside_one_of_records() -> None:
    """One job, in NumPy and in Polars."""
    check(batch.run(TINY))


def test_the_engine_is_measured_beside_loops() -> None:
    """Every case, from an AsyncIterable and from the memory topic."""
    tables = engine.run(TINY)
    check(tables)
    assert [table.name.partition(".")[2] for table in tables] == list(engine.CASES)
    assert [row.contender for row in tables[0].rows] == [
        "by hand",
        "slipcore, AsyncIterable",
        "slipcore, memory topic",
    ]


def test_kafka_is_measured_from_outside(kafka_at: str) -> None:
    """The rate, CPU and memory of a contender whose output was right, and no topic is left."""
    inputs = kafka.Inputs(kafka_at)
    for name in ("aiokafka, batched", "slipcore"):
        turn = kafka.turn(inputs, name, kafka.Job("json", "", 120), 500)
        assert turn.figure > 0
        assert turn.fault == ""
        assert set(turn.more) == {"CPU s per 100,000", "peak MB", "MB over idle"}
    inputs.delete()


def test_latency_is_measured_by_stamps(kafka_at: str) -> None:
    """Percentiles of what the reader saw, the higher ones not below the lower ones."""
    turn = latency.turn(kafka_at, "slipcore", 1000.0, 500)
    assert 0 < turn.more["p50 ms"] <= turn.figure <= turn.more["p99.9 ms"]


@pytest.fixture
def kafka_at(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> str:
    """The broker's address."""
    return kafka.address


def test_state_is_measured_on_every_backend(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation beside the client alone, and opening what a killed process left."""
    monkeypatch.setenv(state.VARIABLE, redis.url)
    tables = state.run(TINY)
    check(tables)
    names = {table.name for table in tables}
    assert {"state.memory-get", "state.rocks-scan", "state.redis-put", "state.sqlite-open"} < names


def test_growth_is_measured() -> None:
    """Records, partitions, bindings, keys and memory."""
    tables = growth.run(TINY)
    check(tables)
    assert [table.name.partition(".")[2] for table in tables] == [
        "records",
        "partitions",
        "bindings",
        "keys",
        "memory",
    ]


def test_start_up_is_measured() -> None:
    """An import and commands beside a bare interpreter, in milliseconds more."""
    (table,) = start.run(TINY)
    check([table])
    assert float(table.rows[0].more["ms more"]) == 0.0


def test_the_slope_of_memory_is_that_of_a_line() -> None:
    """Ten more bytes at each step are a slope of ten."""
    assert growth.slope_of([100, 110, 120, 130]) == pytest.approx(10.0)


# --- wrong output is found ----------------------------------------------------------------------

Change = Callable[[list[tuple[bytes, bytes, int]]], None]


def output(job: str, records: int = 200) -> list[tuple[bytes, bytes, int]]:
    """What a right contender writes: keys, values, partitions."""
    counts: dict[bytes, int] = {}
    written = []
    for number in range(records):
        key = topics.key_of(number % 20)
        number_of_user = (number // 20) * 10_000 + number % 20  # the key comes back then
        counts[key] = counts.get(key, 0) + 1
        value = topics.json_value(number_of_user, 120)
        if job == "count":
            value = b"%d" % counts[key]
        written.append((key, value, partition_for(key, 4)))
    return written


def fault_of(job: str, written: list[tuple[bytes, bytes, int]], records: int = 200) -> str:
    found = topics.Output(job, records)
    for each in written:
        found.take(*each)
    return found.fault()


def test_what_is_lost_is_found() -> None:
    """A record less."""
    assert fault_of("pass", output("pass")[:-1]) == "wrong output: 199 records instead of 200"


def test_what_is_out_of_order_is_found() -> None:
    """Two records of a key that have changed places."""
    written = output("pass")
    written[0], written[20] = written[20], written[0]
    assert "1 out of the order of their key" in fault_of("pass", written)


def test_what_was_not_changed_is_found() -> None:
    """The job was to change it."""
    assert "200 with another value" in fault_of("json", output("pass"))


def test_what_is_in_another_partition_is_found() -> None:
    """Half of them are where their key does not belong."""
    written = [
        (key, value, (partition + number % 2) % 4)
        for number, (key, value, partition) in enumerate(output("pass"))
    ]
    assert "50% not in the partition of their key" in fault_of("pass", written)


def test_a_count_that_is_left_out_is_found() -> None:
    """Counts of a key go up by one."""
    written = output("count")
    key, _, partition = written[199]
    written[199] = (key, b"12", partition)
    assert "1 out of the order of their key" in fault_of("count", written)


def test_all_of_a_topic_is_right_where_nothing_was_changed(kafka_at: str) -> None:
    """An input is the right output of a pass-through, and no right output of another job."""
    topic = f"bench-{uuid4().hex[:8]}"
    asyncio.run(topics.fill(kafka_at, topic, 300, topics.json_value, 120))
    assert topics.check(kafka_at, topic, "pass", 300) == ""
    assert topics.check(kafka_at, topic, "json", 300) == "wrong output: 300 with another value"
    asyncio.run(topics.delete(kafka_at, topic))


def test_an_engine_that_loses_a_record_is_found() -> None:
    """The count and the checksum are those of all records."""
    tally = Tally()
    for number in range(9):
        tally.sink(number * 2)
    with pytest.raises(WrongOutputError, match=r"\(9, 72\) came out, not \(10, 90\)"):
        engine.CASES["sync-1"].check("slipcore", tally, 10)


# --- figures ------------------------------------------------------------------------------------


def test_ratios_are_those_of_the_same_round() -> None:
    """A round that was slow for all changes nothing."""
    table = compared("t", "T", "ns", {"bare": [10.0, 100.0], "own": [20.0, 200.0]}, baseline="bare")
    own = table.rows[1]
    assert (own.figure, own.ratio, own.ratio_low, own.ratio_high) == (110.0, 2.0, 2.0, 2.0)


def test_contenders_take_turns() -> None:
    """All of them in each round, after one that does not count."""
    order: list[str] = []

    def contender(name: str) -> Callable[[], float]:
        def take() -> float:
            order.append(name)
            return float(len(order))

        return take

    taken = alternate({"a": contender("a"), "b": contender("b")}, 2, what="test")
    assert order == ["a", "b"] * 3
    assert taken == {"a": [Turn(3.0), Turn(5.0)], "b": [Turn(4.0), Turn(6.0)]}


def test_who_takes_no_part_is_in_the_table_with_the_reason() -> None:
    """And without a figure."""

    def absent() -> float:
        raise UnavailableError("there is no such thing here")

    taken = alternate({"bare": lambda: 1.0, "peer": absent}, 1, what="test")
    assert compared("t", "T", "ns", taken, baseline="bare").rows[1] == Row(
        contender="peer", note="there is no such thing here"
    )


def runs(ratio: float, spread: float = 0.01) -> dict[str, Run]:
    """A run in which slipcore had this ratio."""
    figures = [ratio - spread, ratio, ratio + spread]
    taken = {"bare": [1.0] * 3, "slipcore": figures}
    return {"engine": run_of([compared("engine.x", "X", "ns", taken, baseline="bare")])}


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (2.0, 3.0, "2.00 -> 3.00  +50% WORSE"),
        (2.0, 1.0, "2.00 -> 1.00  -50% better"),
        (2.0, 2.1, "2.00 -> 2.10  +5%"),
    ],
)
def test_a_change_is_reported(then: float, now: float, said: str) -> None:
    """Against the last figures, and small ones without a verdict."""
    lines = report.changes(runs(then), runs(now)).splitlines()
    assert lines[1].strip() == f"engine.x: slipcore  {said}"


def test_ranges_that_overlap_are_no_change() -> None:
    """Then nothing can be told."""
    text = report.changes(runs(2.0, spread=1.0), runs(2.5, spread=1.0))
    assert "WORSE" not in text


def test_without_committed_figures_that_is_said() -> None:
    """There is nothing to compare with."""
    assert report.changes({}, runs(1.0)) == "There are no committed figures to compare with."


def test_figures_are_kept_with_tables_and_pictures(tmp_path: Path) -> None:
    """What was measured before and not again stays; the picture is a picture."""
    results = tmp_path / "results.json"
    report.keep({"state": runs(1.0)["engine"]}, results, tmp_path / "pages")
    report.keep(runs(2.0), results, tmp_path / "pages")
    assert list(report.load(results)) == ["engine", "state"]
    page = (tmp_path / "pages" / "engine.md").read_text(encoding="utf-8")
    assert "| slipcore | 2.00 | 2.00 | 1.99 .. 2.01 |" in page
    picture = ElementTree.fromstring((tmp_path / "pages" / "engine.svg").read_text())
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"


def test_a_picture_has_a_bar_for_each_contender() -> None:
    """In proportion to its ratio, up to ten times."""
    tables = runs(2.0, spread=0.0)["engine"].tables
    bars = ElementTree.fromstring(pictures.ratios(tables)).iter("{http://www.w3.org/2000/svg}rect")
    first, second = (float(bar.attrib["width"]) for bar in bars)
    assert second == pytest.approx(2 * first, abs=0.2)


# --- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", ["", ".engine", ".kafka", ".latency", ".state", ".growth", ".start"]
)
def test_help_says_what_is_measured(module: str) -> None:
    """And how it is run."""
    words = [sys.executable, "-m", f"benchmarks{module}", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"python -m benchmarks{module}" in done.stdout
    assert "--quick" in done.stdout


def test_wrong_output_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are measured first."""

    def wrong(settings: Settings) -> list[Table]:
        raise WrongOutputError("9 came out, not 10")

    monkeypatch.setitem(command.BENCHMARKS, "engine", wrong)
    monkeypatch.setitem(command.BENCHMARKS, "growth", lambda _: runs(1.0)["engine"].tables)
    assert command.main(["--only", "engine,growth", "--no-peers"]) == 1
    said = capsys.readouterr()
    assert "engine: wrong output: 9 came out, not 10" in said.err
    assert "engine.x" in said.out


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are."""
    with pytest.raises(SystemExit, match="2"):
        command.main(["--only", "engin"])
    assert "no benchmark engin: there are engine, " in capsys.readouterr().err
