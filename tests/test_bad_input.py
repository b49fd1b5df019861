"""What is wrong is told in one sentence, with its exit code, and costs nothing of what was kept."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Write: TypeAlias = Callable[..., Path]

ORDERS = """
    from slipcore import Cache, Sink, Topic, handle

    async def numbers():
        yield 1

"""


def told(result: subprocess.CompletedProcess[str], code: int) -> str:
    """The one sentence on stderr."""
    assert "Traceback" not in result.stderr
    assert (result.returncode, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


# --- names and settings: refused before anything starts, by plan as by run ----------------


@pytest.mark.parametrize(
    ("handler", "sentence"),
    [
        pytest.param(
            '@handle(Topic("orders", backend="sqlit"))',
            "There is no source or topic backend 'sqlit': there are memory, sqlite. "
            "Did you mean 'sqlite'?",
            id="backend",
        ),
        pytest.param(
            '@handle(Topic("orders", {"partitons": 3}))',
            "topic 'orders' has no setting 'partitons' (code). Did you mean 'partitions'?",
            id="option",
        ),
        pytest.param(
            '@handle(Topic("orders", {"partitions": "three"}))',
            "topic 'orders': 'partitions' is to be int | None, and code says 'three'",
            id="mistyped option",
        ),
        pytest.param(
            '@handle(Topic("orders", {"bootstrap_servers": "localhost:9092"}))',
            "There is no source or topic backend 'kafka': there are memory, sqlite. It ",
            id="missing extra",
        ),
        pytest.param(
            "@handle(numbers(), sink=[5])",
            "app.py:7: Handler show: 5 is no sink, because it can't be called; "
            "a sink is a function, a topic, a cache or an ISink.",
            id="sink that can't be called",
        ),
        pytest.param(
            "@handle(numbers(), sink=print)",
            "app.py:7: Handler show: sink= takes a list of sinks, not <built-in function print>; "
            "write sink=[...].",
            id="sink that is no list",
        ),
        pytest.param(
            "@handle([1, 2, 3])",
            "app.py:7: list is no AsyncIterable. Wrap it: `async def messages():` with "
            "`for item in ...: yield item`, and handle(messages()).",
            id="source that is no stream",
        ),
        pytest.param(
            '@handle(numbers(), sink=[print], delivery="exactly-once")',
            "Handler show asks for delivery='exactly-once', which needs one transaction domain "
            "for its sources, sinks and state; numbers offers none.",
            id="guarantee that nothing can give",
        ),
        pytest.param(
            '@handle(numbers(), sink=[Sink("inbox")])',
            "sink 'inbox' has no backend: write backend=... where it is made, or backend = ... "
            "under [sinks.inbox] in slip.toml.",
            id="no backend",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_wrong_name_or_setting_in_code(
    slip: Slip, write: Write, committed: Path, command: str, handler: str, sentence: str
) -> None:
    """The sentence names the thing and the way out; nothing starts: exit code 2."""
    write("app.py", ORDERS, f"{handler}\ndef show(number):\n    return number\n")
    result = slip(command, "app.py", SLIP_DISABLE_PLUGINS="*")
    assert told(result, 2).startswith(sentence)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "SLIP_CACHES__KEPT__PTH",
            "elsewhere.db",
            "cache 'kept' has no setting 'pth' (environment SLIP_CACHES__KEPT__PTH). "
            "Did you mean 'path'?",
        ),
        (
            "SLIP_DEFAULTS__CACHE",
            "rocks",
            "There is no cache backend 'rocks': there are memory, sqlite. It ",
        ),
        (
            "SLIP_PLUGINS",
            "nothere",
            "SLIP_PLUGINS names the plugin 'nothere', which is not installed",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_wrong_variable(
    slip: Slip,
    write: Write,
    committed: Path,
    command: str,
    variable: str,
    value: str,
    sentence: str,
) -> None:
    """A setting, a backend or a plugin that the environment names and nobody knows: exit code 2."""
    write("app.py", Path("keeping.py"))
    env = {"SLIP_DISABLE_PLUGINS": "*", variable: value}
    assert told(slip(command, "app.py", **env), 2).startswith(sentence)


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        (
            "[app]\nname = 'shop'\n[topics.orders\nbackend = 'memory'\n",
            "slip.toml:3 is no valid TOML: ",
        ),
        (
            "[app]\nname = 'shop'\n\n[topcs.orders]\nbackend = 'memory'\n",
            "slip.toml:4: there is no section [topcs]. Did you mean 'topics'?",
        ),
        (
            "[caches.kept]\npath = 3\n",
            "cache 'kept': 'path' is to be str | None, and slip.toml:2 says 3",
        ),
        (
            "[caches.kept]\n\nbackend = 'sqlit'\n",
            "There is no cache backend 'sqlit': there are memory, sqlite. Did you mean 'sqlite'?",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_wrong_configuration_file(
    slip: Slip, write: Write, committed: Path, command: str, toml: str, sentence: str
) -> None:
    """A syntax error, a section or a setting of slip.toml is told with its line: exit code 2."""
    write("app.py", Path("keeping.py"))
    path = write("slip.toml", toml)
    result = slip(command, "app.py", SLIP_DISABLE_PLUGINS="*")
    path.unlink()
    assert sentence in told(result, 2)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_two_plugins_with_one_name(slip: Slip, write: Write, committed: Path, command: str) -> None:
    """Using the name is an error that names both plugins and how to disable one: exit code 2."""
    write(
        "app.py",
        """
        from slipcore import App, Sink, hookimpl
        from slipcore.plugins import Plugins

        class Post:
            @hookimpl
            def register_sinks(self, register):
                register("mail", "nowhere:Mail")

        class EntryPoint:
            value, dist = "post", None

            def __init__(self, name):
                self.name = name

            def load(self):
                return Post()

        app = App("post", plugins=Plugins(entry_points=[EntryPoint("post"), EntryPoint("mailer")]))

        async def numbers():
            yield 1

        @app.handle(numbers(), sink=[Sink("inbox", backend="mail", app=app)])
        def show(number):
            return number
        """,
    )
    sentence = told(slip(command, "app.py"), 2)
    assert sentence == (
        "The sink backend 'mail' is registered by mailer and by post: disable one of them, "
        "e.g. with SLIP_DISABLE_PLUGINS=post."
    )


def test_a_parameter_that_nobody_supplies(slip: Slip, write: Write, committed: Path) -> None:
    """A handler's second parameter without a source for it is refused at start: exit code 2."""
    write("app.py", Path("keeping.py"), replace={"(number: int)": "(number: int, rate: float)"})
    sentence = told(slip("run", "app.py", "-q"), 2)
    assert sentence.startswith("Handler keep has parameters that nobody supplies: 'rate'.")


def test_a_codec_that_is_not_there(slip: Slip, write: Write, committed: Path) -> None:
    """A codec's name is a backend's name: the nearest one is told, exit code 2."""
    write("app.py", ORDERS, '@handle(Topic("orders", codec="jsn"))\ndef show(order): ...\n')
    sentence = told(slip("run", "app.py", "-q", SLIP_DISABLE_PLUGINS="*"), 2)
    assert sentence.startswith("There is no codec backend 'jsn': there are json, msgpack, pickle")
    assert "Did you mean 'json'?" in sentence


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def show(:\n", "app.py did not import: app.py:1: invalid syntax."),
        (
            "import nothere_at_all\n",
            "app.py did not import: ModuleNotFoundError: No module named 'nothere_at_all'",
        ),
        ("1 / 0\n", "app.py did not import: ZeroDivisionError: division by zero"),
    ],
)
def test_an_app_file_that_does_not_import(
    slip: Slip, write: Write, committed: Path, command: str, text: str, sentence: str
) -> None:
    """The first line says what and where, whatever traceback follows is the file's: exit code 2."""
    write("app.py", text)
    result = slip(command, "app.py")
    first, *rest = result.stderr.splitlines()
    assert (result.returncode, first) == (2, f"Error: {sentence}")
    files = [line for line in rest if line.startswith("  File ")]
    assert all(str(committed / "app.py") in line for line in files)


# --- records ------------------------------------------------------------------------------


def test_a_value_that_its_codec_cannot_encode(slip: Slip, write: Write, committed: Path) -> None:
    """The topic, the codec, what it takes and who sent it are named: exit code 1."""
    write(
        "app.py", ORDERS, '@handle(numbers(), sink=[Topic("out")])\ndef show(n): return object()\n'
    )
    sentence = told(slip("run", "app.py", "-q"), 1)
    assert sentence.startswith(
        "Topic('out') can't encode a value: the codec text writes str, not object"
    )
    assert "app/show/numbers" in sentence


def test_a_value_that_cannot_be_kept_exactly(slip: Slip, write: Write, committed: Path) -> None:
    """A handler that puts an object into a cache is told where, and the former value stays."""
    write(
        "app.py",
        ORDERS,
        'kept = Cache("kept")\n\n@handle(numbers())\ndef show(n): kept["n0"] = object()\n',
    )
    sentence = told(slip("run", "app.py", "-q"), 1)
    assert sentence.startswith(
        "Handler show failed (app.py:10): Cache('kept') can't keep the value"
    )


def test_bytes_that_do_not_decode(slip: Slip, write: Write, committed: Path) -> None:
    """The record is named by topic, partition and offset, and comes again at the next run."""
    write(
        "first.py",
        ORDERS,
        """
        @handle(numbers(), sink=[Topic("orders", codec="raw")])
        def send(n):
            yield b"good"
            yield b"\\xff"
        """,
    )
    assert slip("run", "first.py", "-q").returncode == 0
    write(
        "second.py",
        ORDERS,
        '@handle(Topic("orders"), sink=[print])\ndef show(order): return order.value\n',
    )
    first = slip("run", "second.py", "-q")
    again = slip("run", "second.py", "-q")
    for result in (first, again):
        assert result.returncode == 1
        assert result.stderr.startswith("Error: Record orders[0]@1 can't be decoded: ")
        assert 'choose codec="raw" for bytes' in result.stderr
        assert result.stderr.count("\n") == 1
    assert (first.stdout, again.stdout) == ("good\n", "")
