"""Run servers for as long as somebody holds this process's standard input.

A test process that is killed can't end what it has started; its end of a pipe closes all the same.
Run by its path: it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

LOG = "log"
"""The file of the directory that takes what the commands print."""


def lead(directory: Path) -> None:
    """Run in `directory` each command that a line of input gives; at its end leave nothing.

    A line is a list of words in JSON and is answered with the process's number. When the input
    ends, the process groups of all commands are killed and the directory is removed.
    """
    started: list[tuple[subprocess.Popen[bytes], threading.Thread]] = []
    try:
        with (directory / LOG).open("ab") as log:
            for line in sys.stdin:
                process = subprocess.Popen(
                    json.loads(line),
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                # Unless somebody waits for it, a process that has ended keeps its number.
                waiting = threading.Thread(target=process.wait, daemon=True)
                waiting.start()
                started.append((process, waiting))
                print(process.pid, flush=True)
    finally:
        for process, waiting in started:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            waiting.join()
        shutil.rmtree(directory, ignore_errors=True)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    lead(Path(sys.argv[1]))
