"""Start a server for a person: `python -m tests.servers kafka`, or `redis`; Ctrl-C ends it."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

from tests.servers.downloads import KAFKA
from tests.servers.kafka import Kafka
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
    """Run the server that the one word names until it is interrupted or ends by itself."""
    if words == ["kafka"]:
        server: Server = Kafka(KAFKA_PORT if is_free(KAFKA_PORT) else None)
        about = ABOUT_KAFKA
    elif words == ["redis"]:
        server = Redis(REDIS_PORT if is_free(REDIS_PORT) else None)
        about = ABOUT_REDIS
    else:
        print("Name the server to start: python -m tests.servers kafka, or redis.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with server:
            print(about.format(server=server, version=KAFKA) + END, flush=True)
            while server.running:
                time.sleep(0.5)
            print(f"{server.title} has ended. {server.log_tail()}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    except ServerError as error:
        print(error, file=sys.stderr)
    return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
