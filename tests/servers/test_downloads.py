"""Kafka's jars: what is fetched is what was meant, and what can't be is said."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.servers import downloads
from tests.servers.downloads import Jar, fetched, jars
from tests.servers.process import ServerError

ROOT = Path(__file__).parents[2]
CONTENT = b"not really a jar"
JAR = Jar("org.example", "thing", "1.0", sha256(CONTENT).hexdigest())
FETCH = """if True:
    import sys
    from pathlib import Path
    from tests.servers.downloads import Jar, fetched
    fetched(Path(sys.argv[1]), [Jar("org.example", "thing", "1.0", sys.argv[2])])
"""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that has the one jar; the jar's place in it."""
    place = tmp_path / "mirror/org/example/thing/1.0/thing-1.0.jar"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    monkeypatch.setenv("SLIP_TEST_MAVEN", (tmp_path / "mirror").as_uri())
    return place


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.mark.usefixtures("mirror")
def test_a_file_is_fetched(kept: Path) -> None:
    """It is there under its name, whole, with nothing beside it."""
    assert fetched(kept, [JAR]) == kept
    assert {each.name: each.read_bytes() for each in kept.iterdir()} == {"thing-1.0.jar": CONTENT}


def test_what_is_there_is_not_fetched(mirror: Path, kept: Path) -> None:
    """A second time nobody is asked."""
    fetched(kept, [JAR])
    mirror.unlink()
    fetched(kept, [JAR])


@pytest.mark.usefixtures("mirror")
def test_what_was_damaged_is_fetched_again(kept: Path) -> None:
    """A kept file that is not what it should be is replaced."""
    fetched(kept, [JAR])
    (kept / "thing-1.0.jar").write_bytes(CONTENT[:5])
    fetched(kept, [JAR])
    assert (kept / "thing-1.0.jar").read_bytes() == CONTENT


def test_a_file_that_is_another(mirror: Path, kept: Path) -> None:
    """The error names the address, both hashes and the ways out, and nothing is kept."""
    mirror.write_bytes(b"something else")
    with pytest.raises(ServerError) as raised:
        fetched(kept, [JAR])
    assert str(raised.value) == (
        f"{mirror.as_uri()} has the SHA-256 {sha256(b'something else').hexdigest()} and should "
        f"have {JAR.sha256}: what answers there is not Maven Central's file; name a mirror with "
        "SLIP_TEST_MAVEN=https://..., or a broker that runs with SLIP_TEST_KAFKA=host:port, or "
        "leave out what needs servers with `make test-offline`."
    )
    assert list(kept.iterdir()) == []


def test_no_network(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the address, the reason and the ways out."""
    monkeypatch.setenv("SLIP_TEST_MAVEN", "http://127.0.0.1:1")
    monkeypatch.setattr(downloads, "ATTEMPTS", 2)
    with pytest.raises(ServerError) as raised:
        fetched(kept, [JAR])
    assert str(raised.value).startswith(
        "Kafka 4.1.0 can't be downloaded, http://127.0.0.1:1/org/example/thing/1.0/thing-1.0.jar "
        "fails (<urlopen error [Errno 111] Connection refused>): name a mirror with"
    )


@pytest.mark.usefixtures("mirror")
def test_two_processes_at_once(kept: Path) -> None:
    """Both have the file in the end, and nothing else is there."""
    command = [sys.executable, "-c", FETCH, str(kept), JAR.sha256]
    both = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [each.wait(timeout=20) for each in both] == [0, 0]
    assert [each.name for each in kept.iterdir()] == ["thing-1.0.jar"]


def test_jars_are_what_kafka_needs() -> None:
    """The list is complete, names each file once, and has a hash for each."""
    found = jars()
    assert len({jar.name for jar in found}) == len(found) == 46
    assert all(len(jar.sha256) == 64 for jar in found)
    kafka = next(jar for jar in found if jar.artifact == "kafka_2.13")
    assert kafka.url("https://repo.maven.apache.org/maven2/") == (
        "https://repo.maven.apache.org/maven2/org/apache/kafka/kafka_2.13/4.1.0/"
        "kafka_2.13-4.1.0.jar"
    )
