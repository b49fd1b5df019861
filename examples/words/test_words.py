from pathlib import Path

from slipcore.testing import AppTest

APP = Path(__file__).with_name("words.py")


def test_words_are_counted():
    with AppTest(APP) as app:
        app.run()
        assert app.sent("words")[:2] == [("to", "to"), ("be", "be")]
        assert dict(app.cache("counts").items()) == {"be": 2, "not": 1, "or": 1, "to": 2}


def test_what_is_fed_is_counted():
    with AppTest(APP) as app:
        app.run()
        app.send("words", "be", key="be")
        app.run()
        assert app.cache("counts")["be"] == 3


def test_a_crash_counts_no_word_twice():
    with AppTest(APP) as app:
        app.run()
        app.send("words", "be", key="be")
        app.run(crash_after=1)  # the word is handled, and nothing of it is stored
        assert app.cache("counts")["be"] == 2
        app.run()  # the word comes again; lines() gives its own again too
        assert app.cache("counts")["be"] == 2 + 1 + 2
