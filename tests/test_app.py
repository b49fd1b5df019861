"""App, Conf and the current app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipcore import App, Cache, Conf, ISource, Limits, Record, Topic, handle, stream
from slipcore.config import Config
from slipcore.current import current_app, use_app
from slipcore.interfaces import ConfigError, ConnectError
from slipcore.plugins import Plugins


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """The current app, new and in a directory of its own."""
    app = App("tests", config=Config.load(cwd=tmp_path, environ={}))
    former = use_app(app)
    yield app
    use_app(former)
    app.close()


async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


def test_conf_is_merged_into_topics_as_they_are_made(app: App) -> None:
    """A topic takes what is there at that moment; what it is given itself wins."""
    Conf({"bootstrap_servers": "localhost:29091", "group_id": "default-demo"})
    first = Topic("emoji", {"bootstrap_servers": "localhost:29092"})
    Conf({"security_protocol": "SASL_SSL", "sasl_plain_password": "mypass"})
    second = Topic("conf", {"group_id": "demo"})
    assert first.conf == {"bootstrap_servers": "localhost:29092", "group_id": "default-demo"}
    assert second.conf == {
        "bootstrap_servers": "localhost:29091",
        "group_id": "demo",
        "security_protocol": "SASL_SSL",
        "sasl_plain_password": "mypass",
    }


def test_conf_shows_no_secret(app: App) -> None:
    """Its repr masks passwords."""
    shown = repr(Conf({"sasl_plain_username": "me", "sasl_plain_password": "mypass"}))
    assert "mypass" not in shown
    assert "me" in shown


def test_exit_hooks_and_named_iterables_of_conf(app: App) -> None:
    """register_iterable, register_handler, register_exit_hook and start."""
    seen: list[Any] = []
    conf = Conf()

    async def bye() -> None:
        seen.append("bye")

    conf.register_iterable("numbers", numbers(2))
    conf.register_handler("numbers", seen.append)
    conf.register_exit_hook(bye)
    asyncio.run(conf.start())
    assert seen == [0, 1, "bye"]


def test_the_module_level_functions_act_on_the_current_app(app: App) -> None:
    """handle, stream, Topic and Cache."""
    got: list[int] = []
    handle(numbers(2), sink=[got.append])(lambda n: n)
    asyncio.run(stream())
    assert got == [0, 1]
    assert (Topic("t").app, Cache("c").app, current_app()) == (app, app, app)


def test_a_topic_with_a_setting_of_kafka_names_what_brings_it(tmp_path: Path) -> None:
    """Where nothing that claims the setting is installed."""
    app = App("shop", plugins=Plugins([]), config=Config.load(cwd=tmp_path, environ={}))
    app.handle(app.topic("emoji", {"bootstrap_servers": "localhost:29091"}))(print)
    with pytest.raises(ConfigError, match="slip-kafka"):
        asyncio.run(app.stream())


def test_exactly_once_is_refused_where_nothing_can_give_it(app: App) -> None:
    """The weakest link is named, at start."""
    app.handle(numbers(1), sink=[print], delivery="exactly-once")(lambda n: n)
    with pytest.raises(ConfigError, match="exactly-once"):
        asyncio.run(app.stream())


def test_the_plan_names_backends_reasons_and_guarantees(app: App) -> None:
    """Topics are at least once with state effectively once; an iterable cannot replay."""
    topic, counts = app.topic("orders"), app.cache("counts", backend="sqlite")

    @app.handle(topic, sink=[app.topic("out"), print])
    def count(record: Any) -> None:
        counts["n"] = 1

    app.handle(numbers(1), name="numbers")(lambda n: None)
    first, second = app.plan().bindings
    assert (first.delivery, first.state_delivery) == ("at-least-once", "effectively-once")
    assert [(s.name, s.backend, s.reason) for s in first.sources] == [
        ("orders", "sqlite", "the embedded default")
    ]
    assert [(s.name, s.kind) for s in first.sinks] == [("out", "topic"), ("print", "function")]
    assert [(s.name, s.backend, s.reason) for s in first.state] == [
        ("counts", "sqlite", "backend= in code")
    ]
    assert (second.delivery, second.state_delivery) == ("at-most-once", None)
    assert any("cannot replay" in reason for reason in second.reasons)


def test_the_plan_says_what_memory_costs(app: App) -> None:
    """What a topic or a cache in memory holds is lost with the process."""
    counts = app.cache("counts", backend="memory")

    @app.handle(app.topic("durable"), name="state")
    def state(record: Any) -> None:
        counts["n"] = 1

    app.handle(app.topic("volatile", backend="memory"), name="topic")(lambda record: None)
    first, second = app.plan().bindings
    assert (first.delivery, first.state_delivery) == ("at-least-once", "at-most-once")
    assert second.delivery == "at-most-once"
    assert "volatile is in memory: what it holds is lost with the process" in second.reasons


def test_the_plan_says_what_two_stores_cost(app: App, tmp_path: Path) -> None:
    """They can't be written at once."""
    first = app.cache("first")
    second = app.cache("second", backend="memory")

    @app.handle(app.topic("in"))
    def handler(record: Any) -> None:
        first["n"] = second["n"] = 1

    (plan,) = app.plan().bindings
    assert plan.state_delivery == "at-least-once"
    assert any("state in 2 stores" in reason for reason in plan.reasons)


def test_the_plan_refuses_a_codec_that_is_not_there(app: App) -> None:
    """As the start would."""
    app.handle(app.topic("in", codec="jsn"))(print)
    with pytest.raises(ConfigError, match="'jsn'.*asked for by topic 'in', codec in code"):
        app.plan()


def test_the_plan_refuses_what_the_start_refuses(app: App) -> None:
    """Topics that are one source and differ; parameters that nobody supplies."""
    app.handle(app.topic("in", codec="json"), name="first")(print)
    app.handle(app.topic("in", codec="text"), name="second")(print)
    with pytest.raises(ConfigError, match="one source"):
        app.plan()
    app.bindings.clear()
    app.handle(numbers(1), name="third")(lambda n, env: None)
    with pytest.raises(ConfigError, match="nobody supplies: 'env'"):
        app.plan()
    assert app.plan(env="dev").bindings[0].name == "third"


def test_a_source_that_does_not_open_is_named(app: App) -> None:
    """With the seconds that it was given."""

    class Stuck(ISource):
        async def open(self) -> None:
            await asyncio.sleep(3600)

        async def read(self, max_records: int) -> list[Record]:
            return []

    stuck = App("stuck", config=app.config, limits=Limits(start=0.1))
    stuck.handle(Stuck())(print)
    with pytest.raises(ConnectError, match=r"Stuck.*did not open within 0\.1 s"):
        asyncio.run(stuck.stream())


def test_what_the_file_says_of_a_resource_is_used_and_told(tmp_path: Path) -> None:
    """Backend and settings by name; the environment over the file; code over both."""
    (tmp_path / "slip.toml").write_text(
        '[app]\nname = "shop"\n\n[topics.orders]\nbackend = "memory"\npartitions = 3\n'
    )
    environ = {"SLIP_TOPICS__ORDERS__PARTITIONS": "4"}
    app = App(config=Config.load(cwd=tmp_path, environ=environ))
    choice = app.topic("orders").choice()
    assert (app.name, choice.backend.name, choice.reason) == ("shop", "memory", "slip.toml:5")
    assert choice.options().partitions == 4
    assert app.topic("orders", {"partitions": 5}).choice().options().partitions == 5
    with pytest.raises(ConfigError, match=r"partition_count.*partitions"):
        app.topic("orders", {"partition_count": 5}).choice().options()
