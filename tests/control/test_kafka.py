"""A running app on Kafka is reached like any other."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from slipcore.testing.reader import unique
from tests.servers.kafka import Kafka

Write: TypeAlias = Callable[..., Path]
Start: TypeAlias = Callable[..., subprocess.Popen[str]]
Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

DEADLINE = 40.0

SHOWING = """
from asyncio import sleep
from slipcore import Topic, handle

numbers = Topic("TOPIC")

async def counted():
    for number in range(2000):
        yield str(number), str(number)
        await sleep(0.01)

@handle(counted(), sink=[numbers])
def feed(pair):
    return pair

@handle(numbers)
def show(number):
    print(number.partition, number.value, flush=True)
"""


def test_partitions_of_a_broker_are_told_and_paused(
    kafka: Kafka, slip: Slip, start_slip: Start, write: Write
) -> None:
    """Position, end and lag of each; a pause keeps the partitions, and loses nothing."""
    topic = unique("reached")
    write("showing.py", SHOWING, replace={"TOPIC": topic})
    settings = f'bootstrap_servers = "{kafka.address}"\npartitions = 2\ngroup_id = "{topic}"\n'
    write("slip.toml", f'[topics.{topic}]\nbackend = "kafka"\n{settings}')
    process = start_slip("run", "showing.py", "-q")

    def show() -> dict[str, Any]:
        result = slip("status", "--json")
        rows = json.loads(result.stdout)[0]["bindings"] if result.returncode == 0 else []
        return next((row for row in rows if row["name"] == "show"), {})

    def until(condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE
        while not condition(row := show()):
            assert time.monotonic() < deadline, row
        return row

    until(lambda row: row and row["partitions"] and all(p["position"] for p in row["partitions"]))
    assert slip("pause", "--source", topic).returncode == 0
    before = show()
    assert before["state"] == "paused"
    behind = until(lambda row: row["lag"] > before["lag"] + 50)
    assert behind["handled"] == before["handled"]
    assert [p["partition"] for p in behind["partitions"]] == [0, 1]
    for place in behind["partitions"]:
        assert place["end"] - place["position"] >= place["lag"] - 5
    assert slip("resume", "--source", topic).returncode == 0
    until(lambda row: row["handled"] > behind["handled"] + behind["lag"])
    assert slip("stop").returncode == 0
    stdout, _ = process.communicate(timeout=DEADLINE)
    numbers = sorted(int(line.split()[1]) for line in stdout.splitlines())
    assert numbers == list(range(len(numbers)))
