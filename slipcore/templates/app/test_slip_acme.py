"""acme counts words: run in memory, whatever slip.toml says, without a server."""

from __future__ import annotations

from pathlib import Path

from slipcore.testing import AppTest

APP = Path(__file__).parent / "slip_acme.py"


def test_words_are_counted() -> None:
    """Each word goes on with its count, and the totals are kept."""
    with AppTest(APP) as app:
        for word in ("to", "be", "or", "not", "to", "be"):
            app.send("words", word)
        app.run()
        assert app.sent("counts") == [
            ("to", 1),
            ("be", 1),
            ("or", 1),
            ("not", 1),
            ("to", 2),
            ("be", 2),
        ]
        assert dict(app.cache("totals").items()) == {"be": 2, "not": 1, "or": 1, "to": 2}


def test_a_crash_counts_nothing_twice() -> None:
    """The totals and the position of their topic are one write, so that they stay exact."""
    with AppTest(APP) as app:
        for word in ("to", "be", "to"):
            app.send("words", word)
        app.run(crash_after=2)
        app.run()
        assert dict(app.cache("totals").items()) == {"be": 1, "to": 2}
