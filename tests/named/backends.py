"""Apps whose backends stand in a slip.toml, and what comes out of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from slipcore import App
from slipcore.config import Config
from slipcore.interfaces import Out

SETTINGS = """
[defaults]
topic = "{topic}"
cache = "{cache}"

[backends.sqlite]
partitions = 3

[backends.kafka]
bootstrap_servers = "{kafka}"
partitions = 3
heartbeat_interval_ms = 200
session_timeout_ms = 6000
{kafka_settings}

[backends.redis]
url = "{redis}"
partitions = 3
session_timeout = 2.0
lease = 2.0
"""


def settings(topic: str, cache: str, kafka: str, redis: str, kafka_settings: str = "") -> str:
    """The text of a slip.toml.

    Args:
        kafka: the broker's `host:port`.
        redis: the server's URL.
        kafka_settings: more lines for topics on Kafka.
    """
    return SETTINGS.format(
        topic=topic, cache=cache, kafka=kafka, redis=redis, kafka_settings=kafka_settings
    )


class Counting:
    """One run after the other of the counting app, in a directory of its own.

    Args:
        directory: where its slip.toml and its local state are.
        settings: the text of slip.toml.
        records: how many there are to be counted.
        keys: how many keys they have.
    """

    def __init__(self, directory: Path, settings: str, records: int, keys: int = 7) -> None:
        self.name = f"counting-{uuid4().hex[:8]}"
        self.directory = directory
        self.records = records
        self.keys = keys
        directory.mkdir(exist_ok=True)
        (directory / "slip.toml").write_text(settings)

    @contextmanager
    def app(self, name: str | None = None) -> Iterator[App]:
        app = App(name or self.name, config=Config.load(cwd=self.directory, environ={}))
        try:
            yield app
        finally:
            app.close()

    def fill(self) -> None:
        """Send all records, each with its number as its value."""

        async def work() -> None:
            with self.app() as app:
                async with app.topic(f"{self.name}-in").make() as topic:
                    for n in range(self.records):
                        waiting = topic.send(Out(str(n), f"k{n % self.keys}"))
                        if waiting is not None:
                            await waiting
                    await topic.flush()

        asyncio.run(work())

    def start(self) -> subprocess.Popen[str]:
        return self._run("counting.py", self.directory, self.name, self.records)

    def visit(self) -> subprocess.Popen[str]:
        """Another member of its group."""
        return self._run("visiting.py", self.directory, self.name)

    def _run(self, program: str, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(program)), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, seconds: float = 60) -> None:
        """Run to the end."""
        process = self.start()
        out, err = process.communicate(timeout=seconds)
        assert process.returncode == 0, err
        assert out.endswith("ended\n"), err

    def counts(self) -> dict[str, int]:
        with self.app() as app:
            return dict(app.cache(f"{self.name}/counts").items())

    def expected(self) -> dict[str, int]:
        counted = Counter(f"k{n % self.keys}" for n in range(self.records))
        return {**counted, "total": self.records}

    def outputs(self) -> Counter[str]:
        """The values in the output topic, once each input has one there, with repeats."""

        async def work() -> Counter[str]:
            found: Counter[str] = Counter()
            inputs: set[str] = set()
            with self.app(f"{self.name}-checker") as app:
                topic = app.topic(f"{self.name}-out")
                async with asyncio.timeout(40):
                    async for record in topic:
                        found[record.value] += 1
                        inputs.add(record.value.split()[0])
                        if len(inputs) == self.records:
                            break
                await topic.aclose()
            return found

        return asyncio.run(work())
