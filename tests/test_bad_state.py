"""State that can't be had is told in one sentence, and nothing of what was kept is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Start: TypeAlias = Callable[..., subprocess.Popen[str]]
Write: TypeAlias = Callable[..., Path]


def told(result: subprocess.CompletedProcess[str], code: int) -> str:
    """The one sentence on stderr."""
    assert "Traceback" not in result.stderr
    assert (result.returncode, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def test_state_that_another_process_has(
    slip: Slip, start_slip: Start, write: Write, committed: Path
) -> None:
    """The second owner is refused, with the first one's process id: exit code 2."""
    write(
        "holder.py",
        """
        from asyncio import sleep
        from slipcore import Cache, handle

        kept = Cache("kept")

        async def forever():
            yield 1
            await sleep(60)

        @handle(forever())
        def hold(number):
            print(kept["n2"], flush=True)
        """,
    )
    write("app.py", Path("keeping.py"))
    holder = start_slip("run", "holder.py", "-q")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "20\n"
    sentence = told(slip("run", "app.py", "-q"), 2)
    assert f"kept in {committed / '.slip/slip.db'} is in use by process {holder.pid}:" in sentence
    holder.kill()
    holder.wait()
    assert slip("run", "app.py", "-q").returncode == 0


def set_aside(directory: Path) -> Callable[[], None]:
    """Move the state away; what is handed back puts it in its place again."""
    state, aside = directory / ".slip", directory / "aside"
    state.rename(aside)

    def back() -> None:
        shutil.rmtree(state) if state.is_dir() else state.unlink()
        aside.rename(state)

    return back


def foreign_bytes(path: Path) -> None:
    path.write_bytes(b"kept by another program, and long enough to be looked at" * 4)


def foreign_directory(path: Path) -> None:
    path.mkdir()
    (path / "CURRENT").write_text("MANIFEST-000001\n")


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE notes (text)")
    db.close()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (foreign_bytes, "is no SQLite file, not a file of slipcore"),
        (foreign_directory, "is a directory, as backends other than sqlite keep"),
        (foreign_database, "is a SQLite file with application id 0x0, not a file of slipcore"),
    ],
)
def test_state_of_another_backend(
    slip: Slip, write: Write, committed: Path, make: Callable[[Path], None], sentence: str
) -> None:
    """What is not slipcore's own is refused by name and left as it is: exit code 2."""
    back = set_aside(committed)
    (committed / ".slip").mkdir()
    path = committed / ".slip" / "slip.db"
    make(path)
    write("app.py", Path("keeping.py"))
    assert f"{path} {sentence}" in told(slip("run", "app.py", "-q"), 2)
    back()


def test_state_of_a_newer_format(slip: Slip, write: Write, committed: Path) -> None:
    """A file of a later version is not touched, and both versions are told: exit code 2."""
    path = committed / ".slip" / "slip.db"

    def mark(version: int) -> int:
        db = sqlite3.connect(path)
        ((before,),) = db.execute("PRAGMA user_version").fetchall()
        db.execute(f"PRAGMA user_version = {version}")
        db.close()
        return int(before)

    ours = mark(999)
    write("app.py", Path("keeping.py"))
    sentence = told(slip("run", "app.py", "-q"), 2)
    assert f"{path} has format 999, and this slipcore reads format {ours}" in sentence
    mark(ours)


def test_a_state_directory_that_cannot_be_made(slip: Slip, write: Write, committed: Path) -> None:
    """Where its place is taken by a file, the file is named: exit code 2."""
    back = set_aside(committed)
    (committed / ".slip").write_text("not a directory")
    write("app.py", Path("keeping.py"))
    sentence = told(slip("run", "app.py", "-q"), 2)
    state = committed / ".slip"
    assert sentence == (
        f"can't create {state / 'slip.db'}: {state} is a file, and is to be a directory; move the "
        "file away, or name another path"
    )
    back()


def test_a_state_directory_that_is_read_only(
    slip: Slip, write: Write, committed: Path, slip_environment: dict[str, str]
) -> None:
    """Without the right to write the file and the way out are named: exit code 1."""
    write("app.py", Path("keeping.py"))
    state = committed / ".slip"
    if os.getuid() != 0:
        state.chmod(0o500)
        (state / "slip.db").chmod(0o400)
        result = slip("run", "app.py", "-q")
        state.chmod(0o700)
        (state / "slip.db").chmod(0o600)
    else:  # who may write anywhere needs a file system that says no
        mount = f"mount --bind {state} {state} && mount -o remount,ro,bind {state}"
        run = f"exec {sys.executable} -m slipcore.cli run app.py -q"
        result = subprocess.run(
            ["unshare", "-m", "sh", "-c", f"({mount}) || exit 77; {run}"],
            cwd=committed,
            env=slip_environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        if result.returncode == 77 or "unshare" in result.stderr:
            pytest.skip("root, and no file system can be made read-only here")
    sentence = told(result, 1)
    assert sentence.startswith(f"can't write to {state / 'slip.db'}: ")
    assert sentence.endswith("make the file and its directory writable for this user")


def test_a_disk_that_is_full(slip: Slip, write: Write, committed: Path) -> None:
    """What does not fit is refused whole, with the advice to make room: exit code 1."""
    write(
        "app.py",
        """
        import sqlite3

        connect = sqlite3.connect

        def connect_to_a_small_disk(*args, **kwargs):
            db = connect(*args, **kwargs)
            db.execute("PRAGMA max_page_count = 20")
            return db

        sqlite3.connect = connect_to_a_small_disk
        """,
        Path("keeping.py"),
        replace={"number * 10": 'number * 10 if number < 2 else "x" * 500_000'},
    )
    sentence = told(slip("run", "app.py", "-q"), 1)
    assert sentence.startswith(f"can't write state to {committed / '.slip/slip.db'}: ")
    assert "disk is full; free some space, then it can be tried again" in sentence
