"""No password gets out: not into output, logs, reprs, plans, configurations or tracebacks."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.servers.process import free_ports
from tests.servers.redis import Redis

SECRETS = {
    "file": "f1le-s3cret",
    "environment": "env1ron-s3cret",
    "url": "ur1-s3cret",
    "code": "c0de-s3cret",
    "token": "t0ken-s3cret",
    "query": "qu3ry-s3cret",
}

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Write: TypeAlias = Callable[..., Path]

SETTINGS = """
[app]
name = "shop"

[defaults]
checkpoint_store = "sqlite"

[topics.orders]
backend = "kafka"
bootstrap_servers = "127.0.0.1:{port}"
security_protocol = "SASL_PLAINTEXT"
sasl_plain_username = "me"
sasl_plain_password = "{file}"
connect_timeout = 0.3

[topics.bills]
backend = "kafka"
bootstrap_servers = "127.0.0.1:{port}"
security_protocol = "SASL_PLAINTEXT"
sasl_plain_username = "me"
connect_timeout = 0.3

[topics.typed]
backend = "sqlite"
codec = "avro"

[codecs.avro]
registry = "http://me:{url}@127.0.0.1:{port}"
timeout = 0.3

[caches.kept]
backend = "redis"
url = "redis://me:{url}@127.0.0.1:{port}/0"
connect_timeout = 0.3

[backends.redis]
url = "redis://:{url}@127.0.0.1:{port}/0"
connect_timeout = 0.3
"""
APP = """
import logging
import os
import sys
import traceback

if "TALKATIVE" in os.environ:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, force=True)
    logging.getLogger().setLevel(logging.DEBUG)

from slipcore import Cache, Conf, Topic, handle
from slipcore.current import current_app

orders = Topic("orders")
bills = Topic("bills")
paid = Topic("paid", {{"bootstrap_servers": "127.0.0.1:{port}", "connect_timeout": 0.3,
    "security_protocol": "SASL_PLAINTEXT", "sasl_plain_username": "me",
    "sasl_plain_password": "{code}"}})
typed = Topic("typed")
kept = Cache("kept")
first = {{"orders": orders, "bills": bills, "paid": paid, "typed": typed}}[
    os.environ.get("FIRST", "orders")]


@handle(first, sink=[kept, paid, bills, orders])
def pass_on(record):
    return record.key, record.value
"""
DUMP = """
import asyncio
import pickle
import pprint
import traceback

import shop
from slipcore import App
from slipcore.current import current_app
from slipcore.interfaces import SlipError

app = current_app()
print(repr(app), repr(app.config), repr(app.plan()), app.bindings)
for each in (shop.orders, shop.bills, shop.paid, shop.typed):
    print(repr(each), str(each))
    choice = each.choice()
    print(repr(choice), choice.shown)
    print(repr(choice.options()))
    try:
        print(repr(each.make()))
    except SlipError:
        traceback.print_exc()
print(repr(shop.kept))
for kind in ("topics", "caches", "codecs"):
    pprint.pprint({name: app.config.entry(kind, name) for name in app.config.names(kind)})
for use in (lambda: shop.kept["k"], lambda: asyncio.run(app.stream())):
    try:
        use()
    except Exception as error:
        print(repr(error), error.args)
        traceback.print_exc()
        print("".join(traceback.format_exception(error, chain=True)))
app.close()
"""


@pytest.fixture
def secret_app(write: Write) -> dict[str, str]:
    """An app that was told passwords in each way; the rest of them is in the environment."""
    values = {**SECRETS, "port": str(free_ports(1)[0])}
    write("slip.toml", SETTINGS.format(**values))
    write("shop.py", APP.format(**values))
    return {
        "SLIP_TOPICS__BILLS__SASL_PLAIN_PASSWORD": SECRETS["environment"],
        "SLIP_CODECS__AVRO__USERNAME": "me",
        "SLIP_CODECS__AVRO__PASSWORD": SECRETS["environment"],
        "TALKATIVE": "1",
    }


def told(*texts: str) -> list[str]:
    """The ways in which a password got out."""
    return [name for name, secret in SECRETS.items() if any(secret in text for text in texts)]


COMMANDS = [
    "plan shop.py",
    "plan shop.py --json",
    "plan shop.py --graph",
    "config shop.py",
    "config shop.py --json",
    "config --check",
    "doctor shop.py --timeout 3",
    "doctor shop.py --timeout 3 --json",
    "backends",
    "plugins",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_tells_no_secret(slip: Slip, secret_app: dict[str, str], command: str) -> None:
    """Nothing of what is configured in a file, by variables, in a URL and in code."""
    result = slip(*command.split(), **secret_app)
    assert result.stdout
    assert told(result.stdout, result.stderr) == []


@pytest.mark.parametrize(
    ("options", "first"),
    [
        *itertools.product([["-q"], ["--log-json"]], ["orders"]),
        *itertools.product([[]], ["bills", "paid", "typed"]),
    ],
)
def test_a_run_tells_no_secret(
    slip: Slip, secret_app: dict[str, str], options: list[str], first: str
) -> None:
    """Where nothing answers, with a log of all levels and with a traceback."""
    result = slip("run", "shop.py", *options, **secret_app, FIRST=first)
    assert result.returncode in (1, 2), result.stderr
    assert told(result.stdout, result.stderr) == []


def test_objects_and_their_failures_tell_no_secret(
    secret_app: dict[str, str], write: Write, tmp_path: Path, slip_environment: dict[str, str]
) -> None:
    """Neither a repr of what has secrets, nor an error, its arguments, its causes."""
    write("dump.py", DUMP)
    result = subprocess.run(
        [sys.executable, "dump.py"],
        cwd=tmp_path,
        env={**slip_environment, **secret_app},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "ConnectError" in result.stderr
    assert told(result.stdout, result.stderr) == []


MISTAKES = {
    "unknown setting": ('sasl_plain_password = "', 'sasl_plain_pasword = "'),
    "no text": ('sasl_plain_password = "f1le-s3cret"', 'sasl_plain_password = ["f1le-s3cret"]'),
    "no URL": ("redis://me:", "redis:/me:"),
    "no port": (
        '/0"\nconnect_timeout = 0.3\n\n[backends',
        '/x"\nconnect_timeout = 0.3\n\n[backends',
    ),
    "no scheme": ("http://me:", "htp://me:"),
    "no TOML": ('sasl_plain_password = "f1le-s3cret"', 'sasl_plain_password = "f1le-s3cret'),
    "a query": ('"\ntimeout = 0.3', '/?token=qu3ry-s3cret"\ntimeout = 0.3'),
    "no user": ('sasl_plain_username = "me"\nsasl_plain_password', "x = 1\nsasl_plain_password"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_tell_no_secret(
    slip: Slip, secret_app: dict[str, str], tmp_path: Path, mistake: str
) -> None:
    """What is wrong is named, and its value is not."""
    path = tmp_path / "slip.toml"
    before, after = MISTAKES[mistake]
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    for command in ("run shop.py", "config --json"):
        result = slip(*command.split(), **secret_app)
        assert told(result.stdout, result.stderr) == [], command


@pytest.fixture
def guarded() -> Iterator[Redis]:
    """A server with a password."""
    with Redis(password=SECRETS["url"]) as server:
        yield server


@pytest.mark.servers("redis")
def test_a_run_that_signs_on_tells_no_secret(slip: Slip, write: Write, guarded: Redis) -> None:
    """Where the server is there, with a log of all levels."""
    write(
        "slip.toml",
        f'[defaults]\ntopic = "redis"\ncache = "redis"\n[backends.redis]\nurl = "{guarded.url}"\n',
    )
    write(
        "shop.py",
        """
        import logging
        logging.basicConfig(level=logging.DEBUG)
        """,
        Path("counting.py"),
        replace={"    return word.key, (counts[word.key] or 0) + 1": "    raise ValueError(word)"},
    )
    result = slip("run", "shop.py")
    assert re.search("ValueError", result.stderr)
    assert told(result.stdout, result.stderr) == []
