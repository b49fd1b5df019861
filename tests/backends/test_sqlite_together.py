"""Threads and processes that start together where there is nothing yet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from slipcore.backends.sqlite.file import SlipFile
from tests.together import NUMBER, ROUNDS, Together

OPEN = """
from pathlib import Path
from slipcore.backends.sqlite.file import SlipFile

def act(path):
    file = SlipFile(Path(path))
    file.acquire()
    file.close()
    return "had it"
"""

USE = """
import asyncio, os
from pathlib import Path
from slipcore import App
from slipcore.config import Config

async def work(app):
    await app.topic("orders", {"partitions": 3})("k", app.name)
    app.cache(app.name)["k"] = 1
    app.checkpoint_store().save("c", app.name.encode())

def act(directory, number=os.getpid()):
    app = App(f"shop-{number}", config=Config(Path(directory)))
    try:
        asyncio.run(work(app))
        return f"{app.cache(app.name)['k']} {app.checkpoint_store().load('c').decode()[:5]}"
    finally:
        app.close()
"""

CLAIM = """
from pathlib import Path
from slipcore import App
from slipcore.config import Config

held = []

def act(directory):
    while held:
        held.pop().app.close()
    held.append(App("shop", config=Config(Path(directory))).cache("counts"))
    held[0]["k"] = 1
    return "owned"
"""


def test_a_file_is_had_by_all_processes(tmp_path: Path) -> None:
    """Whichever of them makes it."""
    with Together(OPEN) as opened:
        for number in range(ROUNDS):
            path = tmp_path / str(number) / "slip.db"
            assert opened(path) == ["had it"] * NUMBER


def test_a_file_is_had_by_all_threads(tmp_path: Path) -> None:
    """Those of one process lose no lock to each other, at any moment."""
    together = Barrier(NUMBER)

    def create(path: Path) -> None:
        together.wait(30)
        file = SlipFile(path)
        try:
            file.acquire()
        finally:
            file.close()

    with ThreadPoolExecutor(NUMBER) as pool:
        for number in range(2 * ROUNDS):
            list(pool.map(create, [tmp_path / str(number) / "slip.db"] * NUMBER))


def test_apps_make_one_topic_and_state_of_their_own_together(tmp_path: Path) -> None:
    """In processes: none fails, and no record is lost."""
    with Together(USE) as use:
        for number in range(ROUNDS):
            assert use(tmp_path / str(number)) == ["1 shop-"] * NUMBER
            assert records_in(tmp_path / str(number)) == NUMBER


def test_apps_in_threads_make_one_topic_together(tmp_path: Path) -> None:
    """So do those of one process."""
    namespace: dict[str, object] = {}
    exec(USE, namespace)
    act = namespace["act"]
    assert callable(act)
    together = Barrier(NUMBER)

    def one(directory: Path, number: int) -> object:
        together.wait(30)
        return act(directory, number)

    with ThreadPoolExecutor(NUMBER) as pool:
        for n in range(ROUNDS):
            places = [tmp_path / str(n)] * NUMBER
            assert list(pool.map(one, places, range(NUMBER))) == ["1 shop-"] * NUMBER
            assert records_in(tmp_path / str(n)) == NUMBER


def test_one_state_is_had_by_one_process(tmp_path: Path) -> None:
    """The others are told that it is in use, and by whom."""
    with Together(CLAIM) as claimed:
        for number in range(ROUNDS):
            answers = sorted(claimed(tmp_path / str(number)))
            assert answers.pop() == "owned"
            assert [a for a in answers if not a.startswith("StateInUseError: the state ")] == []


def records_in(directory: Path) -> int:
    """How many the topic holds, as its file says."""
    file = SlipFile(directory / ".slip" / "slip.db")
    db = file.acquire_reader()
    try:
        ((count,),) = db.execute("SELECT count(*) FROM records").fetchall()
        return int(count)
    finally:
        db.close()
        file.close()
