"""Records that can't be decoded: a rule for each binding, and where they go."""

from __future__ import annotations

from typing import Any

import pytest

from slipcore import App, Record, Topic, dead_letter, skip
from slipcore.interfaces import DecodeError
from slipcore.testing import AppTest

from .conftest import Boom, headers


@pytest.mark.parametrize("poison", [b"\xff", b"\xff\x00" * 100])
def test_records_that_can_not_be_decoded_are_put_aside(app: App, poison: bytes) -> None:
    """Their bytes are in the letter; tombstones never reach the codec; the others are handled."""
    topic, raw = app.topic("in", codec="json"), app.topic("in", codec="raw")
    seen = []

    @app.handle(topic, on_decode_error=dead_letter("dead"))
    def handler(record: Record) -> None:
        seen.append(record.value)

    with AppTest(app) as test:
        for value in (poison, b"1", poison, poison, None, b"2", poison):
            test.send(raw, value, key=b"k")
        test.run()
        assert seen == [1, None, 2]
        letters = test.records("dead")
        assert [letter.value for letter in letters] == [poison] * 4
        assert [headers(le)["slip-dlq-offset"] for le in letters] == [b"0", b"2", b"3", b"6"]
        assert headers(letters[0])["slip-dlq-stage"] == b"decoding"
        test.stop()
        test.run()
        assert len(test.records("dead")) == 4


def test_each_binding_has_its_own_way_with_what_can_not_be_decoded(app: App) -> None:
    """One skips and one puts aside what both read."""
    topic, raw = app.topic("in", codec="json"), app.topic("in", codec="raw")
    first: list[Any] = []
    second: list[Any] = []

    @app.handle(topic, name="a", on_decode_error=skip())
    def a(record: Record) -> None:
        first.append(record.value)

    @app.handle(topic, name="b", on_decode_error=dead_letter("dead"))
    def b(record: Record) -> None:
        second.append(record.value)

    with AppTest(app) as test:
        for value in (b"1", b"?", b"2"):
            test.send(raw, value)
        test.run()
        assert (first, second) == ([1, 2], [1, 2])
        assert [headers(r)["slip-dlq-binding"] for r in test.records("dead")] == [b"b"]


def test_what_can_not_be_decoded_raises_without_a_rule_for_it(app: App) -> None:
    """on_error is about the handler alone."""
    topic, raw = app.topic("in", codec="json"), app.topic("in", codec="raw")

    @app.handle(topic, on_error=skip())
    def handler(record: Record) -> None:
        """Never called."""

    with AppTest(app) as test:
        test.send(raw, b"?")
        with pytest.raises(DecodeError):
            test.run()


def test_the_topic_of_dead_letters_gets_bytes_whatever_its_codec(app: App) -> None:
    """A topic given as an object keeps its codec for its readers."""
    dead: Topic = app.topic("dead", codec="text")

    @app.handle(app.topic("in", codec="json"), on_error=dead_letter(dead))
    def handler(record: Record) -> None:
        raise Boom

    with AppTest(app) as test:
        test.send("in", [1, 2])
        test.run()
        assert [record.value for record in test.records(dead)] == ["[1,2]"]
