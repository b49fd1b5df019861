"""Processes that start together where there is no database yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from slip_rocks.place import MARKER, Place

from tests.together import NUMBER, ROUNDS, Together

OPEN = """
import os
from pathlib import Path
from slip_rocks.options import RocksStateOptions
from slip_rocks.state import RocksStateStore

held = []

def act(path):
    while held:
        held.pop().close()
    store = RocksStateStore(Path(path.replace("PID", str(os.getpid()))), RocksStateOptions())
    held.append(store)
    store.attach("a")
    store.write({"a": {b"k": b"v"}})
    return store.get("a", b"k").decode()
"""


def test_one_directory_is_had_by_one_process(tmp_path: Path) -> None:
    """The others are told that it is in use; nobody takes its new files for another program's."""
    with Together(OPEN) as opened:
        for number in range(ROUNDS):
            answers = sorted(opened(tmp_path / str(number) / "db"))
            assert answers.pop() == "v"
            assert [a for a in answers if not a.startswith("StateInUseError: the state in ")] == []


def test_directories_of_one_new_place_are_had_by_all(tmp_path: Path) -> None:
    """Each process makes its own, and whoever comes first what is above it."""
    with Together(OPEN) as opened:
        for number in range(ROUNDS):
            assert opened(tmp_path / str(number) / "rocks" / "PID") == ["v"] * NUMBER


def test_a_database_that_is_made_meanwhile_is_not_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only looks holds no lock: between two looks its owner may have begun to write."""
    looking, making = Place(tmp_path / "db", "state"), Place(tmp_path / "db", "state")
    (tmp_path / "db").mkdir()
    read_marker = Place._marker

    def read_and_be_overtaken(place: Place) -> str | None:
        monkeypatch.undo()
        found = read_marker(place)
        making.prepare()
        (tmp_path / "db" / "CURRENT").touch()
        return found

    monkeypatch.setattr(Place, "_marker", read_and_be_overtaken)
    assert not looking.look()
    assert (tmp_path / "db" / MARKER).exists()
