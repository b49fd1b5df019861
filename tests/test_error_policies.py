"""Error policies as a user meets them: `slip run` over sqlite, `[errors]`, `slip plan`, kill -9."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from slipcore import App, Out, Record, dead_letter, retry, skip
from slipcore.config import Config
from slipcore.interfaces import ConfigError
from slipcore.plugins import Plugins

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Write: TypeAlias = Callable[..., Path]

ERRORS = """
    [errors]
    decoding = "dead_letter"
    handling = ["retry", "dead_letter"]
    dead_letter = "dead"
    retries = 2
    backoff = 0.01
"""

SHOP = """
    from slipcore import Cache, Topic, handle
    from slipcore.current import current_app

    orders, done, count = Topic("orders", codec="json"), Topic("done"), Cache("count")


    @handle(orders, sink=[done])
    def order(record):
        count["tries"] = (count["tries"] or 0) + 1
        print("trying", record.value, flush=True)
        if record.value == "bad":
            raise ValueError("no such thing")
        if record.value == "last":
            current_app().stop()
        return str(record.value)
"""

KILLED_AT_COMMIT = """
    import os
    import signal
    from pathlib import Path

    from slipcore.backends.sqlite.topic import SqliteTopic

    committing = SqliteTopic.commit


    async def commit(self, positions, epoch):
        if not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        await committing(self, positions, epoch)


    SqliteTopic.commit = commit
"""


def app_in(directory: Path, **environ: str) -> App:
    return App("checker", config=Config.load(directory, environ), plugins=Plugins(entry_points=[]))


def fill(directory: Path, *values: bytes | None) -> None:
    async def work() -> None:
        app = app_in(directory)
        async with app.topic("orders", codec="raw").make() as topic:
            for value in values:
                topic.send(Out(value, b"k", headers=(("trace", b"7"),)))
            await topic.flush()
        app.close()

    asyncio.run(work())


def read(directory: Path, topic: str, records: int) -> list[Record]:
    async def work() -> list[Record]:
        app = app_in(directory)
        found: list[Record] = []
        async with asyncio.timeout(20):
            async for record in app.topic(topic, codec="raw"):
                found.append(record)
                if len(found) == records:
                    break
        app.close()
        return found

    return asyncio.run(work())


def kept(directory: Path) -> dict[Any, Any]:
    app = app_in(directory)
    found = dict(app.cache("count").items())
    app.close()
    return found


def test_poison_of_each_kind_is_put_aside(slip: Slip, write: Write, tmp_path: Path) -> None:
    """As slip.toml says; the rest goes on, and a second run finds nothing to do again."""
    write("slip.toml", ERRORS)
    write("shop.py", SHOP)
    fill(tmp_path, b'"a"', b"{", b'"bad"', b"\xff\xfe", b'"b"', b"[" * 5000, b'"last"')
    result = slip("run", "shop.py")
    assert result.returncode == 0, result.stderr
    tried = [line for line in result.stdout.splitlines() if line.startswith("trying")]
    assert tried == ["trying a", *["trying bad"] * 3, "trying b", "trying last"]
    letters = read(tmp_path, "dead", 4)
    assert [letter.value for letter in letters] == [b"{", b'"bad"', b"\xff\xfe", b"[" * 5000]
    told = [dict(letter.headers) for letter in letters]
    assert [it["slip-dlq-stage"] for it in told] == [b"decoding", b"handling", *[b"decoding"] * 2]
    assert [it["slip-dlq-offset"] for it in told] == [b"1", b"2", b"3", b"5"]
    assert [it["trace"] for it in told] == [b"7"] * 4
    assert told[1]["slip-dlq-error"] == b"builtins.ValueError"
    assert told[1]["slip-dlq-tries"] == b"3"
    assert kept(tmp_path) == {"tries": 3}
    assert [record.value for record in read(tmp_path, "done", 3)] == [b"a", b"b", b"last"]


def test_kill_9_between_a_dead_letter_and_its_commit(
    slip: Slip, write: Write, tmp_path: Path
) -> None:
    """Nothing is lost, and state counts each record once."""
    write("slip.toml", ERRORS)
    write("shop.py", KILLED_AT_COMMIT, SHOP)
    fill(tmp_path, b'"a"', b"{", b'"bad"', b'"last"')
    assert slip("run", "shop.py").returncode == -signal.SIGKILL
    fill(tmp_path, b'"last"')
    again = slip("run", "shop.py")
    assert again.returncode == 0, again.stderr
    letters = read(tmp_path, "dead", 2)
    assert {letter.value for letter in letters} == {b"{", b'"bad"'}
    assert kept(tmp_path) == {"tries": 3}


def test_a_stop_during_a_back_off_ends_in_order(
    slip_environment: dict[str, str], write: Write, tmp_path: Path, start: Any
) -> None:
    """Exit code 0; what came before is committed, and the record is the first of the next run."""
    write("slip.toml", ERRORS.replace("0.01", "50"))
    write("shop.py", SHOP)
    fill(tmp_path, b'"a"', b'"bad"', b'"last"')
    process = start("run", "shop.py")
    for line in process.stdout:
        if line == "trying bad\n":
            break
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, "trying" in rest) == (0, False), errors
    assert kept(tmp_path) == {"tries": 1}


@pytest.fixture
def start(
    slip_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `slip` in the test's directory, and see that it does not outlive the test."""
    from tests.conftest import SLIP

    started: list[subprocess.Popen[str]] = []

    def call(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*SLIP, *args],
            cwd=tmp_path,
            env=slip_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_a_plan_names_the_policies_and_their_cost(slip: Slip, write: Write, tmp_path: Path) -> None:
    """Of code and of slip.toml, with the topic that dead letters go to."""
    write("slip.toml", ERRORS)
    write(
        "shop.py",
        SHOP.replace(
            "sink=[done])", "sink=[done], on_sink_error=[retry(None, on=OSError), skip()])"
        ).replace("handle\n", "handle, retry, skip\n", 1),
    )
    text = slip("plan", "shop.py").stdout
    assert "failures  decoding: dead letter to dead\n" in text
    assert "handling: retry 2 times, else dead letter to dead\n" in text
    assert "sinking: retry for ever on OSError, else skip\n" in text
    assert "skip: records that fail in sinking are dropped\n" in text
    assert "dead, a topic on sqlite" in text
    (binding,) = json.loads(slip("plan", "shop.py", "--json").stdout)["bindings"]
    assert [policy["stage"] for policy in binding["policies"]] == [
        "decoding",
        "handling",
        "sinking",
    ]
    assert binding["policies"][0]["letters"][0]["backend"] == "sqlite"


def settled(app: App) -> Any:
    from slipcore.errorpolicies import settle

    return settle(app).policies


def test_code_wins_over_the_file_stage_by_stage(tmp_path: Path) -> None:
    """And [] raises whatever the file says."""
    environ = {
        "SLIP_ERRORS__HANDLING": "retry, skip",
        "SLIP_ERRORS__DECODING": "skip",
        "SLIP_ERRORS__RETRY_ON": "OSError, json.JSONDecodeError",
        "SLIP_ERRORS__RETRIES": "7",
    }
    app = app_in(tmp_path, **environ)
    topic = app.topic("in")
    app.handle(topic, name="a")(print)
    app.handle(topic, name="b", on_error=[], on_decode_error=dead_letter(print))(print)
    policies = settled(app)
    tried = retry(7, on=(OSError, json.JSONDecodeError))
    assert policies["a"].handling == (tried, skip())
    assert policies["a"].decoding == (skip(),)
    assert policies["b"].handling == ()
    assert policies["b"].decoding == (dead_letter(print),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"HANDLING": "dead_letter"}, "HANDLING: dead_letter needs a topic"),
        ({"HANDLING": "ignore"}, "'ignore' is no policy. There are raise, retry, skip"),
        ({"HANDLING": "retry", "RETRY_ON": "OsEror"}, "there is no error 'OsEror'"),
        ({"HANDLING": "retry", "RETRY_ON": "print"}, "'print' is no type of Exception"),
        ({"HANDLING": "retry", "BACKOFF": "0"}, "backoff is more than 0 seconds"),
        ({"HANDLING": "retry", "RETRIES": "many"}, "'retries' is to be"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(
    tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    """In one sentence that says where they are written."""
    app = app_in(tmp_path, **{f"SLIP_ERRORS__{key}": value for key, value in settings.items()})
    app.handle(app.topic("in"))(print)
    with pytest.raises(ConfigError, match=message):
        app.plan()


def test_config_checks_the_section(slip: Slip, write: Write) -> None:
    """`slip config --check` says what is wrong with it, and shows what is in force."""
    write("slip.toml", ERRORS)
    write("shop.py", SHOP)
    good = slip("config", "--check")
    assert good.returncode == 0, good.stdout + good.stderr
    write("slip.toml", ERRORS.replace('"retry", ', '"rety", '))
    bad = slip("config", "--check")
    assert bad.returncode != 0
    assert "'rety' is no policy" in bad.stdout + bad.stderr
