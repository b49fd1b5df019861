"""An app, and what fails in it so many times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipcore import App, Record
from slipcore.config import Config


class Boom(Exception):
    """What handlers fail with."""


class Flaky:
    """Fails so many times for some values, and keeps what it was given."""

    def __init__(self, **times: int) -> None:
        self.times = times
        self.seen: list[str] = []

    def __call__(self, value: str) -> str:
        self.seen.append(value)
        if self.times.get(value, 0) > 0:
            self.times[value] -= 1
            raise Boom(value)
        return value


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App("policies", config=Config(tmp_path))
    yield app
    app.close()


def headers(record: Record) -> dict[str, bytes]:
    return dict(record.headers)
