"""What an `AppTest` runs, and on what: apps as they stand, everything in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slipcore import App, Limits, Out, Record, Sink, Source
from slipcore.config import Config
from slipcore.current import current_app, use_app
from slipcore.interfaces import ConfigError, DeadlineError, EncodeError
from slipcore.testing import AppTest

from .conftest import APPS, bind_words


class TestBackends:
    """Everything is in memory, whatever code and configuration say."""

    def test_code_and_configuration_are_overruled(self, tmp_path: Path) -> None:
        """Backends in code, claimed by settings, in the file; not installed, with settings."""
        (tmp_path / "slip.toml").write_text(
            '[defaults]\ntopic = "redis"\ncheckpoint_store = "sqlite"\n'
            '[backends.kafka]\nbootstrap_servers = "nowhere:1"\n'
            '[topics.c]\nbackend = "nats"\nservers = ["nats://nowhere"]\ncodec = "json"\n'
        )
        app = App("shop", config=Config.load(tmp_path, {}))
        a = app.topic("a", {"bootstrap_servers": "nowhere:1", "sasl_mechanism": "PLAIN"})
        b, c = app.topic("b", backend="rabbit"), app.topic("c")
        kept = app.cache("kept", backend="rocks")
        app.handle(a, b, sink=[c])(lambda record: {"was": record.value})
        app.handle(c)(lambda record: kept.put(record.value["was"], record.offset))
        with AppTest(app) as test:
            test.send("a", "1")
            test.send("b", "2")
            test.run()
            assert test.sent("c") == [(None, {"was": "1"}), (None, {"was": "2"})]
            assert dict(kept.items()) == {"1": 0, "2": 1}

    def test_sources_and_sinks_by_name(self, app: App) -> None:
        """They are fed and looked at like topics, and take any object."""
        orders, mails = Source("orders", app=app), Sink("mails", app=app)
        app.handle(orders, sink=[mails])(lambda record: Out({"to": record.value}, record.key))
        with AppTest(app) as test:
            test.send("orders", ("any", object), key=7)
            test.run(crash_after=1)
            assert test.sent(mails) == []
            test.run()
            assert test.sent("mails") == [(7, {"to": ("any", object)})]
            assert test.sent("orders") == []

    def test_typed_values(self, app: App) -> None:
        """What is sent and looked at is coded as the topic does it."""

        class Order(msgspec.Struct, frozen=True):
            id: int

        orders = app.topic("orders", type=Order)
        app.handle(orders, sink=[app.topic("ids", type=int)])(lambda record: record.value.id)
        with AppTest(app) as test:
            test.send("orders", Order(7), headers=[("trace", b"1")])
            test.run()
            assert test.sent("ids") == [(None, 7)]
            (record,) = test.records(orders)
            assert (record.value, record.headers) == (Order(7), (("trace", b"1"),))
            with pytest.raises(EncodeError, match="can't encode a value"):
                test.send("ids", object())

    def test_topics_that_no_handler_binds(self, app: App) -> None:
        """A handler that calls a topic has sent to it."""
        log = app.topic("log")

        async def note(record: Record) -> None:
            await log("noted", record.value)

        app.handle(app.topic("in"))(note)
        with AppTest(app) as test:
            test.send("in", "a")
            test.run()
            assert test.sent("log") == [("noted", "a")]
            assert test.sent(log) == [("noted", "a")]

    def test_a_loop_over_a_topic(self, app: App) -> None:
        """`complete` awaits what a test wants to do itself."""

        async def first() -> Any:
            async for record in app.topic("in"):
                return record.value
            return None

        app.handle(app.topic("other"))(lambda _: None)
        with AppTest(app) as test:
            test.complete(app.topic("in")("key", "value"))
            assert test.complete(first()) == "value"

    @pytest.mark.parametrize(
        ("look", "message"),
        [
            (lambda t: t.send("wrods", "x"), "App('shop') has no topic or source 'wrods'. "
             "Did you mean 'words'?"),
            (lambda t: t.sent("total"), "App('shop') has no topic, sink or source 'total'. "
             "There are counted, words."),
            (lambda t: t.cache("count"), "App('shop') has no cache 'count'. "
             "Did you mean 'counts'?"),
            (lambda t: t.send(print, "x"), "<built-in function print> is no topic or source and "
             "no name of one."),
        ],
        ids=["send", "sent", "cache", "function"],
    )  # fmt: skip
    def test_unknown_names(self, words: App, look: Callable[[AppTest], Any], message: str) -> None:
        """A name that the app does not have is told with those that it has."""
        with AppTest(words) as test, pytest.raises(ConfigError) as caught:
            look(test)
        assert str(caught.value) == message


class TestSubjects:
    """An App, a module, a file, or the current app."""

    def test_a_file(self) -> None:
        """It is loaded as a program, and nothing of that is left."""
        before = current_app(), sys.path.copy(), set(sys.modules)
        with AppTest(APPS / "counting.py") as test:
            test.run()
            assert test.cache("counts")["be"] == 2
            assert test.app.name == "counting"
            assert test.module.counts["be"] == 2
        assert (current_app(), sys.path, set(sys.modules)) == before

    def test_a_file_starts_anew_after_a_crash(self, tmp_path: Path) -> None:
        """Variables and generators begin again, what was durable is there."""
        file = tmp_path / "shop.py"
        file.write_text(
            "from slipcore import Topic, handle\n"
            "numbers, out, seen = Topic('numbers'), Topic('out'), []\n"
            "async def two():\n    yield '1'\n    yield '2'\n"
            "@handle(two(), sink=[numbers])\ndef feed(number):\n    return number\n"
            "@handle(numbers, sink=[out])\n"
            "def note(record):\n    seen.append(record.value)\n    return ''.join(seen)\n"
        )
        with AppTest(str(file)) as test:
            test.run()
            former = test.module
            assert test.sent("out") == [(None, "1"), (None, "12")]
            test.crash()
            test.run()
            assert test.module is not former
            assert test.sent("out") == [(None, "1"), (None, "12"), (None, "1"), (None, "12")]
            assert test.sent(former.out) == test.sent("out")

    def test_one_app_of_a_file(self) -> None:
        """An app is named behind a colon, as for `slip run`."""
        with pytest.raises(ConfigError, match="name one"):
            AppTest(APPS / "two.py").__enter__()
        with AppTest(f"{APPS / 'two.py'}:first") as test:
            assert test.app is test.module.first

    def test_state_that_a_file_asks_for_while_it_is_loaded(self, tmp_path: Path) -> None:
        """Apps of its own are in memory from their first line on; no state directory is made."""
        file = tmp_path / "shop.py"
        file.write_text(
            "from pathlib import Path\nfrom slipcore import App\n"
            "from slipcore.config import Config\n"
            "app = App('shop', config=Config.load(Path(__file__).parent, {}))\n"
            "kept = app.cache('kept')\nat_start = dict(kept.items())\n"
            "@app.handle(app.topic('in'))\n"
            "def keep(record):\n    kept[record.key] = record.value\n"
        )
        with AppTest(file) as test:
            test.send("in", "1", key="a")
            test.run()
            assert test.module.at_start == {}
            test.stop()
            test.run()
            assert test.module.at_start == {"a": "1"}
        assert list(tmp_path.iterdir()) in ([file], [file, tmp_path / "__pycache__"])

    def test_the_current_app(self, app: App) -> None:
        """What `handle` and `stream` act on."""
        former = use_app(bind_words(app))
        try:
            with AppTest() as test:
                assert test.app is app
                with pytest.raises(ConfigError, match="was given as an App"):
                    _ = test.module
        finally:
            use_app(former)

    def test_limits_of_the_app_hold(self, app: App) -> None:
        """A deadline of the app is one of the clock that stands still."""

        async def slowly(record: Record) -> None:
            await asyncio.sleep(100)

        app.limits = Limits(stop=5.0)
        app.handle(app.topic("in"))(slowly)
        with AppTest(app) as test:
            test.send("in", "a")
            test.complete(asyncio.sleep(0))
            test._start()
            test.advance(1)
            with pytest.raises(DeadlineError, match="Stopped after 5 s with unfinished work"):
                test.stop()


def test_pytest_is_not_needed() -> None:
    """Any runner will do."""
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from slipcore.testing import AppTest\n"
        "from slipcore import App\n"
        "app = App('plain')\n"
        "app.handle(app.topic('in'), sink=[app.topic('out')])(lambda r: r.value)\n"
        "with AppTest(app) as test:\n"
        "    test.send('in', 'a'); test.run(); print(test.sent('out'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[(None, 'a')]\n"
