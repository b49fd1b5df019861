"""The servers of a test run: one of each kind, had in the first way that works.

An address in `SLIP_TEST_KAFKA` or `SLIP_TEST_REDIS` comes first, then what is installed, then what
Python packages bring and what is downloaded. A test that asks for a server that can't be had
fails; `--offline` leaves such tests out and says so.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.servers.kafka import GivenKafka, Kafka
from tests.servers.process import Server, ServerError
from tests.servers.redis import GivenRedis, Redis

KAFKA = "SLIP_TEST_KAFKA"
REDIS = "SLIP_TEST_REDIS"
GROUPS = {"kafka": "kafka", "secure_kafka": "kafka", "redis": "redis"}
"""The fixtures that give a server, and what it is called where tests are counted."""

left_out = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--offline", action="store_true", help="leave out the tests that need real servers"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "servers(*names): the test starts real servers itself, of these kinds: kafka, redis",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--offline"):
        return
    counted = config.stash.setdefault(left_out, Counter())
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        needed = _servers_of(item)
        counted[" and ".join(sorted(needed))] += bool(needed)
        (dropped if needed else kept).append(item)
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for names, number in sorted((+config.stash.get(left_out, Counter())).items()):
        terminalreporter.write_line(f"left out (--offline): {number} tests that need {names}")


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """A broker for tests that name their topics and groups as nobody else does."""
    address = os.environ.get(KAFKA)
    if not address:
        yield request.getfixturevalue("secure_kafka")
        return
    given = GivenKafka(address)
    _check(given, KAFKA, address)
    yield given


@pytest.fixture(scope="session")
def secure_kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """The same, always a process of this run: it has listeners for SASL and TLS too."""
    broker = Kafka()
    _start(request, broker)
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A Redis server for tests that name their keys as nobody else does."""
    url = os.environ.get(REDIS)
    if url:
        given = GivenRedis(url)
        _check(given, REDIS, given.address)
        yield given
        return
    server = Redis()
    _start(request, server)
    yield server
    server.close()


def _servers_of(item: pytest.Item) -> set[str]:
    fixtures = getattr(item, "fixturenames", ())
    marked = [name for mark in item.iter_markers("servers") for name in mark.args]
    return {GROUPS[name] for name in fixtures if name in GROUPS} | set(marked)


def _start(request: pytest.FixtureRequest, server: Server) -> None:
    # A first download takes its time: its progress has to be seen.
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    try:
        with capture.global_and_fixture_disabled():
            server.__enter__()
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)


def _check(server: Server, variable: str, address: str) -> None:
    try:
        answers = server.answers()
    except OSError:
        answers = False
    if not answers:
        pytest.fail(
            f"No server answers at {address}, which {variable} names: start it, or unset "
            f"{variable} to have one started for the tests.",
            pytrace=False,
        )
