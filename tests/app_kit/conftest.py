"""`AppTest`: apps in memory, run to idle, with a clock that stands still, crashed as data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipcore import App, Record
from slipcore.config import Config

APPS = Path(__file__).parents[1] / "apps"


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An app whose configuration is its own."""
    return App("shop", config=Config.load(tmp_path, {}))


def bind_words(app: App) -> App:
    """Count the words of lines; each goes on with its count."""
    words, counts = app.topic("words"), app.cache("counts")

    @app.handle(words, sink=[app.topic("counted", type=int)], name="count")
    def count(record: Record) -> Iterator[tuple[str, int]]:
        for word in record.value.split():
            counts[word] = counts.get(word, 0) + 1
            yield word, counts[word]

    return app


@pytest.fixture
def words(app: App) -> App:
    return bind_words(app)
