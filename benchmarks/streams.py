"""Kafka Streams, from Maven Central, where there is a Java that compiles."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.common import ROOT, UnavailableError, progress

FOLDER: Final = ROOT / ".bench" / "streams"
SOURCE: Final = Path(__file__).parent / "contenders" / "Streams.java"
ROCKSDB: Final = "9.7.3"

HASHES: Final = {
    "kafka-streams": "3e275e8a224035b7dab6344eef518fc125f6f17f3ac191b16d5ef5b55dada0a6",
    "rocksdbjni": "5ca63e0e955f101f7af1c1fb8ce260b5d3a5701cea7d8c2852b9d56031a57221",
}
"""SHA-256 of what is fetched."""


@cache
def command() -> Sequence[str | Path]:
    """What runs it; its arguments follow.

    Raises:
        UnavailableError: there is no compiler, or its jars can't be had.
    """
    compiler, java = shutil.which("javac"), shutil.which("java")
    if compiler is None or java is None:
        raise UnavailableError("there is no JDK here: javac is not on the path")
    classes = f"{_jars()}/*:{_kafka()}/*"
    progress("kafka: compiling Kafka Streams")
    done = subprocess.run(
        [compiler, "-cp", classes, "-d", FOLDER, SOURCE],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UnavailableError(f"javac failed: {done.stderr.strip()[:160]}")
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return [java, "-cp", f"{FOLDER}:{classes}", quiet, "Streams"]


def _kafka() -> Path:
    """What a broker is made of has the clients, Jackson and a logger."""
    from tests.servers.downloads import cache as kept
    from tests.servers.downloads import fetched, jars

    return fetched(kept() / "jars", jars())


def _jars() -> Path:
    from tests.servers.downloads import KAFKA, Jar, fetched
    from tests.servers.process import ServerError

    wanted = [
        Jar("org.apache.kafka", "kafka-streams", KAFKA, HASHES["kafka-streams"]),
        Jar("org.rocksdb", "rocksdbjni", ROCKSDB, HASHES["rocksdbjni"]),
    ]
    progress("kafka: fetching Kafka Streams from Maven Central")
    try:
        return fetched(FOLDER / "jars", wanted)
    except ServerError as error:
        raise UnavailableError(str(error)) from error
