"""Start a server for a person: `python -m tests.servers kafka`, or `redis`; Ctrl-C ends it.

With a command behind it the server lives as long as that one, whose topics are on it. With `fetch`
nothing is started: what a server is made of is fetched, while somebody can see the progress.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from tests.servers.downloads import KAFKA
from tests.servers.kafka import Kafka, prepare
from tests.servers.process import Server, ServerError, is_free
from tests.servers.redis import Redis

KAFKA_PORT = 9092
REDIS_PORT = 6379

ABOUT_KAFKA = """\
Kafka {version} runs at {server.address}. In slip.toml:

    [backends.kafka]
    bootstrap_servers = "{server.address}"

For SASL (PLAIN or SCRAM-SHA-256) it is {server.sasl_address}, with TLS too
{server.sasl_ssl_address}: user "{server.user}", password "{server.password}". For TLS alone it is
{server.ssl_address}. The authority's certificate is in {server.ca_file}.
Tests use it with SLIP_TEST_KAFKA={server.address}.
"""
ABOUT_REDIS = """\
Redis runs at {server.address}. In slip.toml:

    [backends.redis]
    url = "{server.url}"

Tests use it with SLIP_TEST_REDIS={server.url}.
"""
END = "Ctrl-C ends it, and what it holds is gone then."


def main(words: list[str]) -> int:
    """Run the server that the first word names until it is interrupted or ends by itself."""
    name, *command = words or [""]
    if name == "fetch":
        return _fetch()
    if name not in ("kafka", "redis"):
        print("Name the server to start: python -m tests.servers kafka, or redis.", file=sys.stderr)
        return 2
    port = KAFKA_PORT if name == "kafka" else REDIS_PORT
    given = port if is_free(port) else None
    server = Kafka(given) if name == "kafka" else Redis(given)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with server:
            return _run(command, _settings(name, server)) if command else _wait(name, server)
    except KeyboardInterrupt:
        return 0
    except ServerError as error:
        print(error, file=sys.stderr)
    return 1


def _fetch() -> int:
    try:
        prepare()
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _wait(name: str, server: Server) -> int:
    about = ABOUT_KAFKA if name == "kafka" else ABOUT_REDIS
    print(about.format(server=server, version=KAFKA) + END, flush=True)
    while server.running:
        time.sleep(0.5)
    print(f"{server.title} has ended. {server.log_tail()}", file=sys.stderr)
    return 1


def _run(command: list[str], settings: dict[str, str]) -> int:
    process = subprocess.Popen(command, env=os.environ | settings)
    try:
        return process.wait()
    except KeyboardInterrupt:  # the command has got it too, and ends in order
        return process.wait()


def _settings(name: str, server: Kafka | Redis) -> dict[str, str]:
    """What puts the topics of a command on the server."""
    if isinstance(server, Kafka):
        address = {
            "SLIP_BACKENDS__KAFKA__BOOTSTRAP_SERVERS": server.address,
            # Kafka deletes by the time that a record speaks of, which may be years ago.
            "SLIP_BACKENDS__KAFKA__TOPIC_CONFIG": '{"retention.ms": -1}',
        }
    else:
        address = {"SLIP_BACKENDS__REDIS__URL": server.url}
    return {"SLIP_DEFAULTS__TOPIC": name, **address}


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
