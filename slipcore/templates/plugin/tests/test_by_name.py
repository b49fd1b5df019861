"""acme is there by name for who has the distribution installed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from slipcore import App, Cache, Record, Topic


def test_an_app_uses_it_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """slip.toml names acme, and a topic's records are counted in a cache."""
    (tmp_path / "slip.toml").write_text('[defaults]\ntopic = "acme"\ncache = "acme"\n')
    monkeypatch.chdir(tmp_path)
    app = App("counting")
    words, counts = Topic("words", app=app), Cache("counts", app=app)

    @app.handle(words)
    def count(record: Record) -> None:
        counts[record.value] = (counts[record.value] or 0) + 1
        if record.value == "end":
            app.stop()

    async def run() -> None:
        for word in ("to", "be", "or", "not", "to", "be", "end"):
            await words(word)
        async with asyncio.timeout(10):
            await app.stream()

    asyncio.run(run())
    assert dict(counts.items()) == {"be": 2, "end": 1, "not": 1, "or": 1, "to": 2}
    app.close()
