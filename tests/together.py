"""Processes that do one thing at the same moment, again and again."""

from __future__ import annotations

import subprocess
import sys
from typing import IO, Final, Self

NUMBER: Final = 6
"""More than there are processors, so that some are interrupted in between."""

ROUNDS: Final = 20

_LOOP = """
import sys
{act}
print("ready", flush=True)
for line in sys.stdin:
    try:
        answer = act(line.rstrip("\\n"))
    except Exception as error:
        answer = f"{{type(error).__name__}}: {{error}}"
    print(answer, flush=True)
"""


class Together:
    """Calls a function in processes of their own, in all of them at once.

    Args:
        act: the source of a module with a function `act(argument)` that returns a line.
    """

    def __init__(self, act: str) -> None:
        self._act = act
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        words = [sys.executable, "-c", _LOOP.format(act=self._act)]
        pipe = subprocess.PIPE
        for _ in range(NUMBER):
            self._processes.append(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True))
        assert self._answers() == ["ready"] * NUMBER
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def __call__(self, argument: object) -> list[str]:
        """What the function returns in each, or what it raises."""
        for process in self._processes:
            stdin = _given(process.stdin)
            stdin.write(f"{argument}\n")
            stdin.flush()
        return self._answers()

    def _answers(self) -> list[str]:
        return [_given(process.stdout).readline().rstrip("\n") for process in self._processes]


def _given(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
